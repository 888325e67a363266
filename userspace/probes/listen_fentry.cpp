// SPDX-License-Identifier: Apache-2.0
#include "probes/listen_fentry.hpp"

#include <array>

#include "probes/decode.hpp"
#include "probes/map_entries.hpp"

namespace bpftune::probes {
namespace {

// Without the others there are no queues and no overflows: then the next rung sees more.
constexpr std::array dispensable{
    Dispensable{"last_ack_with_cookie", "overflows by ACKs with a SYN cookie"},
    Dispensable{"listen_start", "what applications ask for, new listeners between two counts of all"},
    Dispensable{"listen_stop", "what applications asked for, while others begin to listen without end"},
    Dispensable{"connect_v4", "connects by IPv4 without a port"},
    Dispensable{"connect_v6", "connects by IPv6 without a port"},
};

} // namespace

Result<ListenFentry> ListenFentry::attach(const Options& options) {
    std::string unseen;
    auto object = attach_most<listen_fentry>(
        dispensable,
        [&](listen_fentry& listen) {
            listen.rodata->event_interval_ns = static_cast<__u64>(options.event_interval.count());
            listen.rodata->pressure_per_1024 = static_cast<__u32>(options.pressure_ratio * 1024);
            listen.rodata->fills_at_once_ns = static_cast<__u64>(options.fills_at_once.count());
            listen.bss->epoch = 1;
        },
        unseen);
    if (!object) return std::unexpected(object.error());
    return ListenFentry(std::move(*object), std::move(unseen));
}

// The map drops the least used ones before it is full: each CPU keeps so many free places for itself.
bool ListenFentry::queues_may_be_missing() const {
    constexpr std::uint64_t places_of_cpu = 128; // LOCAL_FREE_TARGET, kernel/bpf/bpf_lru_list.c
    const std::uint64_t kept = places_of_cpu * static_cast<std::uint64_t>(std::max(libbpf_num_possible_cpus(), 1));
    return object_->bss->queues_left_out > 0 ||
           object_->bss->queues_made + kept > bpf_map__max_entries(listener_queues());
}

Result<std::vector<QueueReading>> ListenFentry::queues() {
    const std::uint32_t ended = object_->bss->epoch++;
    std::vector<QueueReading> readings;
    const auto read =
        for_each_entry<__u64, listener_queue>(listener_queues(), [&](__u64 cookie, const listener_queue& queue) {
            readings.push_back(queue_reading(cookie, queue, ended));
        });
    if (!read) return std::unexpected(read.error());
    return readings;
}

} // namespace bpftune::probes
