// SPDX-License-Identifier: Apache-2.0
#include "probes/programs.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <sys/epoll.h>

#include "bpf/abi/room.h"
#include "probes/map_entries.hpp"
#include "sys/clock.hpp"
#include "sys/mounts.hpp"

namespace bpftune::probes {
namespace {

// What nobody fills takes no memory.
void share(bpf_map* to, const bpf_map* from) {
    if (from != nullptr)
        bpf_map__reuse_fd(to, bpf_map__fd(from));
    else
        bpf_map__set_max_entries(to, 1);
}

// What the census puts aside, and how much.
template <class Maps> void share_flows(Maps& maps, const listeners_iter& census) {
    share(maps.flows, census.maps.flows);
    share(maps.flow_rooms, census.maps.flow_rooms);
    share(maps.flow_room_of_all, census.maps.flow_room_of_all);
}

// What lib/netns_record.h needs to know of this machine.
template <class Skeleton> void configure_mibs(Skeleton& object, const MibIndices& indices) {
    object.rodata->possible_cpus = static_cast<__u32>(std::max(libbpf_num_possible_cpus(), 1));
    std::ranges::copy(indices.tcp, object.rodata->mib_index);
    std::ranges::copy(indices.snmp_tcp, object.rodata->tcp_mib_index);
    std::ranges::copy(indices.udp, object.rodata->udp_mib_index);
    std::ranges::copy(indices.ip, object.rodata->ip_mib_index);
    const auto up_to_last = [](const auto& known) { return static_cast<__u32>(std::ranges::max(known) + 1); };
    object.rodata->mibs_read = up_to_last(indices.tcp);
    object.rodata->tcp_mibs_read = up_to_last(indices.snmp_tcp);
    object.rodata->udp_mibs_read = up_to_last(indices.udp);
    object.rodata->ip_mibs_read = up_to_last(indices.ip);
}

Result<Census> census_of(const bpf_link* link) {
    CensusRecords records;
    const auto done =
        run_iterator(link, seq_buffer, [&](std::span<const std::byte> some) { return records.take(some); });
    if (!done) return std::unexpected(done.error());
    return std::move(records).all();
}

using SysctlName = std::array<char, ABI_SYSCTL_NAME_SIZE>;

// nullopt: it is too long for BPF.
std::optional<SysctlName> name_of(std::string_view sysctl) {
    SysctlName name{};
    if (sysctl.size() >= name.size()) return std::nullopt;
    std::ranges::copy(sysctl, name.begin());
    return name;
}

// Each with its place in the list as its number.
Result<> watch(const bpf_map* watched, std::span<const std::string> sysctls) {
    std::uint64_t number = 0;
    for (const std::string& sysctl : sysctls) {
        const auto name = name_of(sysctl);
        if (!name) return failure("the name {} is too long", sysctl);
        if (bpf_map_update_elem(bpf_map__fd(watched), name->data(), &number, BPF_ANY) != 0)
            return system_failure(errno, "watch {}", sysctl);
        ++number;
    }
    return {};
}

// An iterator over one map: libbpf cannot know which.
Result<bpf_link*> iterate_over(const bpf_program* program, const bpf_map* map) {
    bpf_iter_link_info over{};
    over.map.map_fd = static_cast<__u32>(bpf_map__fd(map));
    const bpf_iter_attach_opts options{.sz = sizeof options, .link_info = &over, .link_info_len = sizeof over};
    bpf_link* link = bpf_program__attach_iter(program, &options);
    if (link == nullptr) return system_failure(errno, "attach to {}", bpf_map__name(map));
    return link;
}

// How many were put aside, or held.
Result<std::uint64_t> kept_in(const bpf_map* room_of_all) {
    room found{};
    const __u32 of_all = 0;
    if (bpf_map_lookup_elem(bpf_map__fd(room_of_all), &of_all, &found) != 0)
        return system_failure(errno, "read how many are looked at");
    return found.kept;
}

} // namespace

Result<std::string> Programs::attach_listen_fentry() {
    auto listen = ListenFentry::attach(options_);
    if (!listen) return std::unexpected(listen.error());
    listen_ = std::move(*listen);
    if (auto census = attach_listeners(); !census) {
        listen_.reset();
        return std::unexpected(census.error());
    }
    if (auto added = add_ring(listen_->events()); !added) return std::unexpected(added.error());
    return listen_->unseen();
}

Result<std::string> Programs::attach_conntrack_fentry() {
    if (conntrack_) return conntrack_->unseen();
    auto conntrack = ConntrackFentry::attach(options_);
    if (!conntrack) return std::unexpected(conntrack.error());
    conntrack_ = std::move(*conntrack);
    if (auto added = add_ring(conntrack_->events()); !added) return std::unexpected(added.error());
    return conntrack_->unseen();
}

Result<> Programs::attach_conntrack_tables() {
    if (conntrack_tables_) return {};
    auto tables = ConntrackIter::attach();
    if (!tables) return std::unexpected(tables.error());
    conntrack_tables_ = std::move(*tables);
    return {};
}

Result<> Programs::attach_tcp_state() {
    auto object = attach<tcp_state_tracepoint>([this](tcp_state_tracepoint& tcp) {
        tcp.rodata->event_interval_ns = static_cast<__u64>(options_.event_interval.count());
        tcp.rodata->pressure_per_1024 = static_cast<__u32>(options_.pressure_ratio * 1024);
        tcp.rodata->fills_at_once_ns = static_cast<__u64>(options_.fills_at_once.count());
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
    auto object = load_drops(!listen_); // which counts these itself
    if (!object && !listen_) object = load_drops(false);
    if (!object) return std::unexpected(object.error());
    drops_ = std::move(*object);
    if (auto quiet = announce_backlog_drops(false); !quiet) return quiet; // that it attaches is known now
    return add_ring(drops_->maps.events);
}

// kfree_skb fires several times in the life of a healthy connection: for nothing, while no backlog drops.
Result<> Programs::announce_backlog_drops(bool wanted) {
    if (!drops_ || drops_->links.drops_by_listener) return {};
    bpf_link*& link = drops_->links.drops_of_backlog;
    if (wanted == (link != nullptr)) return {};
    if (!wanted) {
        bpf_link__destroy(std::exchange(link, nullptr));
    } else if (link = bpf_program__attach(drops_->progs.drops_of_backlog); link == nullptr) {
        return system_failure(errno, "attach to kfree_skb");
    }
    return {};
}

// By a link: it ends with this process, and others may attach there too.
Result<> Programs::attach_sysctl() {
    const auto path = sys::cgroup2_root(options_.proc_root);
    if (!path) return std::unexpected(path.error());
    const sys::Fd root(::open(path->c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!root) return system_failure(errno, "open {}", path->string());
    auto object = attach<sysctl_cgroup>([this](sysctl_cgroup& sysctl) {
        sysctl.rodata->event_interval_ns = static_cast<__u64>(options_.event_interval.count());
        sysctl.rodata->own_pid = static_cast<__u32>(options_.own_pid);
    });
    if (!object) return std::unexpected(object.error());
    if (auto watched = watch((*object)->maps.watched, options_.sysctls); !watched) return watched;
    (*object)->links.sysctl_access = bpf_program__attach_cgroup((*object)->progs.sysctl_access, root.value());
    if ((*object)->links.sysctl_access == nullptr) return system_failure(errno, "attach to {}", path->string());
    sysctl_ = std::move(*object);
    return add_ring(sysctl_->maps.events);
}

void Programs::watch_sysctls(std::span<const std::string> sysctls) {
    if (!sysctl_) return;
    const int watched = bpf_map__fd(sysctl_->maps.watched);
    for (const std::string& sysctl : std::exchange(also_watched_, {}))
        if (const auto name = name_of(sysctl)) bpf_map_delete_elem(watched, name->data());
    std::uint64_t number = options_.sysctls.size();
    for (const std::string& sysctl : sysctls) {
        const auto name = name_of(sysctl);
        // One that is a tunable's is there already, and stays.
        if (name && bpf_map_update_elem(watched, name->data(), &number, BPF_NOEXIST) == 0)
            also_watched_.push_back(sysctl);
        ++number;
    }
}

Result<MibIndices> Programs::mibs() {
    if (mibs_) return *mibs_;
    auto indices = mib_indices();
    if (indices) mibs_ = *indices;
    return indices;
}

Result<Object<listeners_iter>> Programs::load_listeners(const MibIndices& indices, Aside aside) const {
    return attach<listeners_iter>([&](listeners_iter& listeners) {
        configure_mibs(listeners, indices);
        listeners.rodata->flows_are_looked_at = aside.flows;
        listeners.rodata->udp_is_looked_at = aside.udp;
        listeners.rodata->memory_is_looked_at = aside.flows; // the same is asked of the kernel
        bpf_map__set_autocreate(listeners.maps.flows, aside.flows);
        bpf_map__set_autocreate(listeners.maps.memory_seen, aside.flows);
        bpf_map__set_autocreate(listeners.maps.udp_sockets, aside.udp);
        bpf_map__set_autocreate(listeners.maps.udp_counts, aside.udp);
        listeners.rodata->overflows_are_counted = listen_.has_value();
        share(listeners.maps.asked, asked());
        share(listeners.maps.port_failures, port_failures());
        share(listeners.maps.listener_queues, listen_ ? listen_->listener_queues() : nullptr);
        share(listeners.maps.last_ack_overflows, drops_ ? drops_->maps.last_ack_overflows : nullptr);
    });
}

Result<Object<flows_iter>> Programs::load_flows(const listeners_iter& census) {
    auto object = attach<flows_iter>([&](flows_iter& flows) {
        share_flows(flows.maps, census);
        bpf_program__set_autoattach(flows.progs.look_at_flows, false);
    });
    if (!object) return object;
    const auto link = iterate_over((*object)->progs.look_at_flows, census.maps.flows);
    if (!link) return std::unexpected(link.error());
    (*object)->links.look_at_flows = *link;
    return object;
}

Result<Object<udp_iter>> Programs::load_udp(const listeners_iter& census) {
    auto object = attach<udp_iter>([&](udp_iter& udp) {
        share(udp.maps.udp_sockets, census.maps.udp_sockets);
        share(udp.maps.udp_counts, census.maps.udp_counts);
        share(udp.maps.udp_held, census.maps.udp_held);
        share(udp.maps.udp_rooms, census.maps.udp_rooms);
        share(udp.maps.udp_room_of_all, census.maps.udp_room_of_all);
        bpf_program__set_autoattach(udp.progs.look_at_udp, false);
    });
    if (!object) return object;
    const auto link = iterate_over((*object)->progs.look_at_udp, census.maps.udp_sockets);
    if (!link) return std::unexpected(link.error());
    (*object)->links.look_at_udp = *link;
    return object;
}

// What nobody would look at is not put aside.
Result<> Programs::attach_listeners() {
    const auto indices = mibs();
    if (!indices) return std::unexpected(indices.error());
    auto object = load_listeners(*indices, {.flows = true, .udp = true});
    auto flows = object ? load_flows(**object) : std::unexpected(object.error());
    auto udp = object ? load_udp(**object) : std::unexpected(object.error());
    if (!flows || !udp) { // each looks at the sockets of one census
        object = load_listeners(*indices, {.flows = flows.has_value(), .udp = udp.has_value()});
        if (object && flows) flows = load_flows(**object);
        if (object && udp) udp = load_udp(**object);
    }
    if (!object) return std::unexpected(object.error());
    listeners_ = std::move(*object);
    udp_ = udp ? std::move(*udp) : nullptr;
    no_udp_ = udp ? "" : udp.error().message;
    flows_ = flows ? std::move(*flows) : nullptr;
    no_flows_ = flows ? "" : flows.error().message;
    return {};
}

Result<> Programs::attach_namespaces() {
    const auto indices = mibs();
    if (!indices) return std::unexpected(indices.error());
    auto object = attach<namespaces_iter>([&](namespaces_iter& namespaces) {
        configure_mibs(namespaces, *indices);
        share(namespaces.maps.port_failures, port_failures());
    });
    if (!object) return std::unexpected(object.error());
    namespaces_ = std::move(*object);
    return {};
}

Result<> Programs::attach_sockets() {
    auto object = attach<sockets_iter>(
        [](sockets_iter& sockets) { bpf_program__set_autoattach(sockets.progs.count_sockets, false); });
    if (!object) return std::unexpected(object.error());
    const auto link = iterate_over((*object)->progs.count_sockets, (*object)->maps.parts);
    if (!link) return std::unexpected(link.error());
    (*object)->links.count_sockets = *link;
    sockets_ = std::move(*object);
    return {};
}

const bpf_map* Programs::asked() const {
    if (listen_) return listen_->asked();
    return tcp_state_ ? tcp_state_->maps.asked : nullptr;
}

const bpf_map* Programs::port_failures() const {
    if (listen_) return listen_->port_failures();
    return tcp_state_ ? tcp_state_->maps.port_failures : nullptr;
}

Result<Census> Programs::listeners() {
    if (listen_) listeners_->bss->queues_may_be_missing = listen_->queues_may_be_missing();
    return census_of(listeners_->links.listeners);
}

void Programs::fill_learned(std::span<ListenerReading> listeners) const {
    const auto look_up = [](const bpf_map* map, std::uint64_t cookie, auto& value) {
        return map != nullptr && bpf_map_lookup_elem(bpf_map__fd(map), &cookie, &value) == 0;
    };
    for (ListenerReading& listener : listeners) {
        __u32 wish = 0;
        __u64 last_acks = 0;
        listener_queue queue{};
        if (look_up(asked(), listener.queue_cookie, wish)) listener.asked = wish;
        if (drops_ && look_up(drops_->maps.last_ack_overflows, listener.queue_cookie, last_acks))
            listener.last_ack_overflows = last_acks;
        if (!listen_) continue;
        if (look_up(listen_->listener_queues(), listener.queue_cookie, queue))
            listener.overflows = queue.overflows;
        else if (!listen_->queues_may_be_missing())
            listener.overflows = 0;
    }
}

Result<Census> Programs::namespaces() { return census_of(namespaces_->links.namespaces); }

// What an earlier time left is not of this one.
void Programs::ask_for_memory(bool asked) {
    if (!listeners_) return;
    if (listeners_->bss->memory_is_asked_for == 0) listeners_->bss->memory_census = 0;
    listeners_->bss->memory_is_asked_for = asked;
}

Result<std::optional<std::vector<MemoryReading>>> Programs::memory() {
    if (!listeners_ || !listeners_->rodata->memory_is_looked_at || listeners_->bss->memory_is_asked_for == 0)
        return std::nullopt;
    const __u64 last = listeners_->bss->memory_census;
    if (last == 0) return std::nullopt;
    std::vector<MemoryReading> found;
    const auto read =
        for_each_entry<__u64, netns_memory>(listeners_->maps.netns_memories, [&](__u64, const netns_memory& each) {
            if (each.census == last) found.push_back(memory_reading(each));
        });
    if (!read) return std::unexpected(read.error());
    return found;
}

// Sockets move while they are counted: a walk that lost its way is begun again.
Result<std::optional<std::vector<SocketsReading>>> Programs::tcp_sockets() {
    if (!sockets_) return std::nullopt;
    SocketWalk walk;
    for (int attempts = 0; attempts < 3 && !walk.whole; ++attempts) {
        const auto records = run_iterator(sockets_->links.count_sockets, sizeof(sockets_record));
        if (!records) return std::unexpected(records.error());
        const auto walked = socket_walk(*records);
        if (!walked) return std::unexpected(walked.error());
        walk = *walked;
    }
    std::vector<SocketsReading> found;
    std::vector<__u64> old;
    const bpf_map* counts = sockets_->maps.sockets_of;
    const auto read = for_each_entry<__u64, netns_sockets>(counts, [&](__u64 key, const netns_sockets& each) {
        if (each.walk == walk.number)
            found.push_back(sockets_reading(each));
        else
            old.push_back(key);
    });
    if (!read) return std::unexpected(read.error());
    for (const __u64 key : old) bpf_map_delete_elem(bpf_map__fd(counts), &key);
    if (!walk.whole) return std::nullopt;
    return found;
}

Result<std::vector<CloseWaitReading>> Programs::close_waits() {
    std::vector<CloseWaitReading> found;
    if (!listeners_) return found;
    const __u64 last = listeners_->bss->last_census;
    const auto read =
        for_each_entry<__u64, netns_close_wait>(listeners_->maps.close_waits, [&](__u64, const netns_close_wait& each) {
            if (each.census == last) found.push_back(close_wait_reading(each));
        });
    if (!read) return std::unexpected(read.error());
    return found;
}

Result<> Programs::looks_at_flows() const {
    if (flows_) return {};
    return failure("{}", listeners_ ? no_flows_ : "no census of descriptors comes upon flows");
}

Result<std::vector<FlowReading>> Programs::flows() {
    const auto kept = kept_in(flows_->maps.flow_room_of_all);
    if (!kept) return std::unexpected(kept.error());
    if (*kept == 0) return std::vector<FlowReading>{};
    const auto records = run_iterator(flows_->links.look_at_flows);
    if (!records) return std::unexpected(records.error());
    return probes::flows(*records);
}

Result<> Programs::looks_at_udp() const {
    if (udp_) return {};
    return failure("{}", listeners_ ? no_udp_ : "no census of descriptors comes upon UDP sockets");
}

Result<std::vector<UdpReading>> Programs::udp() {
    const auto kept = kept_in(udp_->maps.udp_room_of_all);
    if (!kept) return std::unexpected(kept.error());
    if (*kept == 0) return std::vector<UdpReading>{};
    const auto records = run_iterator(udp_->links.look_at_udp);
    if (!records) return std::unexpected(records.error());
    return probes::udp_sockets(*records);
}

Result<> Programs::hold_udp(std::uint64_t cookie) {
    if (!udp_) return {};
    const __u8 held = 1;
    if (bpf_map_update_elem(bpf_map__fd(udp_->maps.udp_held), &cookie, &held, BPF_ANY) != 0)
        return system_failure(errno, "hold a UDP socket in sight");
    return {};
}

// Most nodes never need it, nor does anybody but the service.
Result<> Programs::attach_nudge() {
    if (nudge_) return {};
    if (!flows_) return failure("no flows are looked at");
    auto object = attach<nudge_iter>([this](nudge_iter& nudge) { share_flows(nudge.maps, *listeners_); });
    if (!object) return std::unexpected(object.error());
    nudge_ = std::move(*object);
    return {};
}

Result<std::uint32_t> Programs::nudge(Nudge what) {
    if (auto attached = attach_nudge(); !attached) return std::unexpected(attached.error());
    bpf_link_info info{};
    __u32 size = sizeof info;
    const bpf_link* link = what == Nudge::buffers ? nudge_->links.nudge_flows : nudge_->links.switch_flows;
    if (bpf_obj_get_info_by_fd(bpf_link__fd(link), &info, &size) != 0)
        return system_failure(errno, "look at what nudges connections");
    return info.id;
}

Result<std::vector<QueueReading>> Programs::queues() {
    if (listen_) return listen_->queues();
    const std::uint32_t ended = tcp_state_->bss->epoch++;
    std::vector<QueueReading> readings;
    const auto read = for_each_entry<queue_key, queue_stats>(
        tcp_state_->maps.queues,
        [&](const queue_key& key, const queue_stats& stats) { readings.push_back(queue_reading(key, stats, ended)); });
    if (!read) return std::unexpected(read.error());
    return readings;
}

Result<std::vector<NetnsId>> Programs::queues_left_out() {
    const std::uint64_t all = listen_ ? listen_->queues_left_out() : tcp_state_->bss->queues_left_out;
    std::vector<NetnsId> namespaces;
    if (std::exchange(left_out_, all) == all) return namespaces; // nearly always
    std::map<std::uint64_t, std::uint64_t> now;
    const auto read = for_each_entry<__u64, queue_rate>(
        listen_ ? listen_->queue_rates() : tcp_state_->maps.queue_rates, [&](__u64 key, const queue_rate& rate) {
            if (rate.left_out.count == 0) return;
            now[key] = rate.left_out.count;
            const auto before = left_out_of_.find(key);
            if (before == left_out_of_.end() || before->second != rate.left_out.count)
                namespaces.push_back(netns_id(rate.left_out.netns));
        });
    if (!read) return std::unexpected(read.error());
    left_out_of_ = std::move(now);
    return namespaces;
}

Result<> Programs::fill_conntrack_inserts(std::span<ConntrackReading> readings) const {
    return conntrack_->fill_inserts(readings);
}

Result<> Programs::add_ring(const bpf_map* events) {
    const int fd = bpf_map__fd(events);
    if (!ready_) ready_ = sys::Fd(::epoll_create1(EPOLL_CLOEXEC));
    if (!ready_) return system_failure(errno, "ring buffer");
    std::unique_ptr<ring_buffer, FreeRing> ring(ring_buffer__new(fd, on_sample, this, nullptr));
    if (!ring) return system_failure(errno, "ring buffer");
    const int its_own = ring_buffer__epoll_fd(ring.get());
    epoll_event awaited{.events = EPOLLIN, .data = {.fd = its_own}};
    if (::epoll_ctl(ready_.value(), EPOLL_CTL_ADD, its_own, &awaited) != 0) return system_failure(errno, "ring buffer");
    rings_.push_back(std::move(ring));
    return {};
}

int Programs::on_sample(void* self, void* data, std::size_t size) {
    auto& programs = *static_cast<Programs*>(self);
    const auto happened = event({static_cast<const std::byte*>(data), size});
    if (happened) (*programs.handler_)(*happened);
    return sys::now().mono < programs.drain_end_ ? 0 : -ETIME; // libbpf stops there, and this one is consumed
}

bool Programs::drain(const Handler& handle, Nanoseconds budget) {
    bool more = false;
    handler_ = &handle;
    for (const auto& ring : rings_) {
        drain_end_ = sys::now().mono + budget / rings_.size();
        more |= ring_buffer__consume(ring.get()) < 0;
    }
    handler_ = nullptr;
    return more;
}

std::uint64_t Programs::lost_events() const {
    return (listen_ ? listen_->lost_events() + listen_->queues_left_out() : 0) +
           (tcp_state_ ? tcp_state_->bss->lost_events + tcp_state_->bss->queues_left_out : 0) +
           (drops_ ? drops_->bss->lost_events : 0) + (conntrack_ ? conntrack_->lost_events() : 0) +
           (sysctl_ ? sysctl_->bss->lost_events : 0);
}

std::uint64_t Programs::withheld_events() const {
    return (listen_ ? listen_->withheld_events() : 0) + (tcp_state_ ? tcp_state_->bss->withheld_events : 0) +
           (conntrack_ ? conntrack_->withheld_events() : 0) + (sysctl_ ? sysctl_->bss->withheld_events : 0);
}

} // namespace bpftune::probes
