// SPDX-License-Identifier: Apache-2.0
#include "probes/programs.hpp"

#include <algorithm>
#include <array>

namespace bpftune::probes {
namespace {

void share(bpf_map* to, const bpf_map* from) { bpf_map__reuse_fd(to, bpf_map__fd(from)); }

// What lib/netns_record.h needs to know of this machine.
template <class Skeleton> void configure_mibs(Skeleton& object, const MibIndices& indices) {
    object.rodata->possible_cpus = static_cast<__u32>(std::max(libbpf_num_possible_cpus(), 1));
    std::ranges::copy(indices, object.rodata->mib_index);
}

Result<Census> census_of(const bpf_link* link) {
    const auto records = run_iterator(link);
    if (!records) return std::unexpected(records.error());
    return census(*records);
}

} // namespace

Result<> Programs::attach_tcp_state() {
    auto object = attach<tcp_state_tracepoint>([this](tcp_state_tracepoint& tcp) {
        tcp.rodata->event_interval_ns = static_cast<__u64>(options_.event_interval.count());
        tcp.rodata->pressure_per_1024 = static_cast<__u32>(options_.pressure_ratio * 1024);
        tcp.bss->epoch = 1;
    });
    if (!object) return std::unexpected(object.error());
    tcp_state_ = std::move(*object);
    return add_ring(tcp_state_->maps.events);
}

Result<Object<drops_tracepoint>> Programs::load_drops(bool by_listener) const {
    return attach<drops_tracepoint>([&](drops_tracepoint& drops) {
        drops.rodata->event_interval_ns = static_cast<__u64>(options_.event_interval.count());
        bpf_program__set_autoload(drops.progs.drops_by_listener, by_listener);
        bpf_program__set_autoload(drops.progs.drops_of_backlog, !by_listener);
    });
}

Result<> Programs::attach_drops() {
    if (drops_) return {};
    auto object = load_drops(true);
    if (!object) object = load_drops(false);
    if (!object) return std::unexpected(object.error());
    drops_ = std::move(*object);
    return add_ring(drops_->maps.events);
}

Result<MibIndices> Programs::mibs() {
    if (mibs_) return *mibs_;
    auto indices = mib_indices();
    if (indices) mibs_ = *indices;
    return indices;
}

Result<> Programs::attach_listeners() {
    const auto indices = mibs();
    if (!indices) return std::unexpected(indices.error());
    auto object = attach<listeners_iter>([&](listeners_iter& listeners) {
        configure_mibs(listeners, *indices);
        if (tcp_state_) share(listeners.maps.asked, tcp_state_->maps.asked);
        if (tcp_state_) share(listeners.maps.port_failures, tcp_state_->maps.port_failures);
        if (drops_) share(listeners.maps.last_ack_overflows, drops_->maps.last_ack_overflows);
    });
    if (!object) return std::unexpected(object.error());
    listeners_ = std::move(*object);
    return {};
}

Result<> Programs::attach_namespaces() {
    const auto indices = mibs();
    if (!indices) return std::unexpected(indices.error());
    auto object = attach<namespaces_iter>([&](namespaces_iter& namespaces) {
        configure_mibs(namespaces, *indices);
        if (tcp_state_) share(namespaces.maps.port_failures, tcp_state_->maps.port_failures);
    });
    if (!object) return std::unexpected(object.error());
    namespaces_ = std::move(*object);
    return {};
}

Result<Census> Programs::listeners() { return census_of(listeners_->links.listeners); }

Result<Census> Programs::namespaces() { return census_of(namespaces_->links.namespaces); }

Result<std::vector<QueueReading>> Programs::queues() {
    constexpr __u32 chunk = 512;
    const std::uint32_t ended = tcp_state_->bss->epoch++;
    const int map = bpf_map__fd(tcp_state_->maps.queues);
    std::vector<queue_key> keys(chunk);
    std::vector<queue_stats> stats(chunk);
    std::vector<QueueReading> readings;
    __u32 position = 0;
    bool first = true;
    while (true) {
        __u32 count = chunk;
        const int error = bpf_map_lookup_batch(map, first ? nullptr : &position, &position, keys.data(), stats.data(),
                                               &count, nullptr);
        if (error != 0 && error != -ENOENT) return system_failure(-error, "read the queues");
        for (__u32 i = 0; i < count; ++i) readings.push_back(queue_reading(keys[i], stats[i], ended));
        if (error != 0) return readings;
        first = false;
    }
}

Result<> Programs::add_ring(const bpf_map* events) {
    const int fd = bpf_map__fd(events);
    if (ring_) {
        if (const int error = ring_buffer__add(ring_.get(), fd, on_sample, this); error != 0)
            return system_failure(-error, "ring buffer");
        return {};
    }
    ring_.reset(ring_buffer__new(fd, on_sample, this, nullptr));
    if (!ring_) return system_failure(errno, "ring buffer");
    return {};
}

int Programs::on_sample(void* self, void* data, std::size_t size) {
    const auto happened = event({static_cast<const std::byte*>(data), size});
    if (happened) (*static_cast<Programs*>(self)->handler_)(*happened);
    return 0;
}

void Programs::drain(const Handler& handle) {
    if (!ring_) return;
    handler_ = &handle;
    ring_buffer__consume(ring_.get());
    handler_ = nullptr;
}

std::uint64_t Programs::lost_events() const {
    return (tcp_state_ ? tcp_state_->bss->lost_events : 0) + (drops_ ? drops_->bss->lost_events : 0);
}

} // namespace bpftune::probes
