// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cerrno>
#include <string>

#include "actuators/object.hpp"
#include "sys/files.hpp"
#include "sys/interrupts.hpp"
#include "tunables/codec.hpp"

namespace bpftune::actuators {

// Its number alone would be another device's after this one was unplugged.
Result<Interrupt> Interrupt::open(const tunables::Tunable& tunable, const Scope& scope) {
    if (const auto init = check_is_init(scope); !init) return with_context(init.error(), "{}", tunable.name);
    const auto device = open_device_of(scope, true);
    if (!device) return with_context(device.error(), "{}", tunable.name);
    if (!std::ranges::binary_search(sys::device_interrupts(*device), scope.queue->queue))
        return system_failure(ESTALE, "{}: {} has no interrupt {} any more", tunable.name, scope.queue->device,
                              scope.queue->queue);
    return Interrupt(tunable, fmt::format("/proc/irq/{}/{}", scope.queue->queue, tunable.name));
}

Result<std::uint64_t> Interrupt::value() const {
    const auto text = sys::read_file(path_);
    if (!text) return with_context(as_gone(text.error()), "{}", path_);
    auto value = tunables::value_in(tunable_, *text);
    if (!value) return with_context(value.error(), "{}", path_);
    return value;
}

Result<> Interrupt::set(std::uint64_t value) const {
    const auto written = sys::write_file(path_, tunables::text_of(tunable_, value));
    if (written) return {};
    // Of managed ones, whose CPUs follow from the number of queues: EIO, EPERM since 6.7 (write_irq_affinity).
    if (written.error().code == EIO || written.error().code == EPERM)
        return with_context(written.error(), "the kernel keeps the CPUs of this interrupt to itself");
    return std::unexpected(as_gone(written.error()));
}

} // namespace bpftune::actuators
