// SPDX-License-Identifier: Apache-2.0
#include <optional>
#include <string>
#include <utility>

#include "actuators/object.hpp"
#include "sys/sysfs.hpp"
#include "tunables/codec.hpp"

namespace bpftune::actuators {
namespace {

// Of the one that it was when its queue was named; where it is `ours`, by whatever name.
Result<sys::Fd> find(const sys::Fd& sysfs, const QueueRef& queue, bool ours) {
    auto device = sys::open_device(sysfs, queue.device);
    const auto index = device ? sys::ifindex_of(*device) : std::unexpected(device.error());
    if (index && *index == queue.ifindex) return device;
    if (ours) return sys::find_device(sysfs, queue.ifindex);
    if (!index) return std::unexpected(index.error());
    return system_failure(ESTALE, "{} is another device by now, {} and not {}", queue.device, *index, queue.ifindex);
}

} // namespace

// A device that goes while it is looked at is ENODEV (net/core/net-sysfs.c), its files are ENOENT.
Error as_gone(Error error) {
    if (error.code == ENOENT || error.code == ENODEV) error.code = ESTALE;
    return error;
}

Result<sys::Fd> open_device_of(const Scope& scope, bool renamed) {
    if (!scope.queue) return failure("no network device is named");
    sys::Fd sysfs;
    {
        const auto inside = enter(scope);
        if (!inside) return std::unexpected(inside.error());
        auto mounted = sys::mount_sysfs();
        if (!mounted) return mounted;
        sysfs = std::move(*mounted);
    }
    auto device = find(sysfs, *scope.queue, renamed);
    return device ? std::move(device) : std::unexpected(as_gone(device.error()));
}

Result<ReceiveQueue> ReceiveQueue::open(const tunables::Tunable& tunable, const Scope& scope, Is is) {
    auto device = open_device_of(scope, is == Is::ours);
    if (!device) return with_context(device.error(), "{}", tunable.name);
    return ReceiveQueue(tunable, std::move(*device), fmt::format("queues/rx-{}/{}", scope.queue->queue, tunable.name));
}

Result<std::uint64_t> ReceiveQueue::value() const {
    const auto text = sys::read_below(device_, path_);
    if (!text) return with_context(as_gone(text.error()), "{}", path_);
    auto value = tunables::value_in(tunable_, *text);
    if (!value) return with_context(value.error(), "{}", path_);
    return value;
}

Result<> ReceiveQueue::set(std::uint64_t value) const {
    const auto written = sys::write_below(device_, path_, tunables::text_of(tunable_, value));
    return written ? written : std::unexpected(as_gone(written.error()));
}

} // namespace bpftune::actuators
