// SPDX-License-Identifier: Apache-2.0
// What the controller asks for, and what became of it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/ids.hpp"
#include "core/snapshot.hpp"
#include "core/time.hpp"

namespace bpftune {

// The tunables, in the order of their rows in tunables/catalog.
enum class TunableId {
    somaxconn,
    listener_backlog,
    tcp_max_syn_backlog,
    conntrack_max,
    conntrack_buckets,
    tcp_rmem,
    tcp_wmem,
    udp_rcvbuf,
    netdev_max_backlog,
    netdev_budget_usecs,
    netdev_budget,
    ip_local_port_range,
    neigh_gc_thresh3, // of ARP
    neigh_gc_thresh2,
    neigh_gc_thresh1,
    neigh6_gc_thresh3, // of NDISC
    neigh6_gc_thresh2,
    neigh6_gc_thresh1,
    ipfrag_high_thresh,
    ip6frag_high_thresh,
    rmem_max,
    wmem_max,
    rmem_default,
    wmem_default,
    tcp_tw_reuse,
    tcp_tw_reuse_delay,
    tcp_congestion_control,
    tcp_mem, // high, as is udp_mem
    tcp_mem_pressure,
    tcp_mem_low,
    udp_mem,
    udp_mem_pressure,
    udp_mem_low,
    tcp_fastopen,
    nf_conntrack_tcp_timeout_established,
    nf_conntrack_tcp_timeout_time_wait,
    nf_conntrack_tcp_timeout_close_wait,
    rps_cpus,
    smp_affinity,
};

// What lets the running connections of a network namespace have a value that new ones begin with.
enum class Nudge {
    none, // nothing has to, or can
    buffers,
    congestion_control,
};

// Of one socket rather than of a network namespace or the node.
constexpr bool is_of_socket(TunableId tunable) {
    return tunable == TunableId::listener_backlog || tunable == TunableId::udp_rcvbuf;
}

// Of a receive queue of a network device.
constexpr bool is_of_queue(TunableId tunable) { return tunable == TunableId::rps_cpus; }

// Of an interrupt of a network device.
constexpr bool is_of_interrupt(TunableId tunable) { return tunable == TunableId::smp_affinity; }

// How an actuator reaches a socket, a listening one or one of UDP, and how history names it.
struct ListenerRef {
    std::uint64_t cookie = 0; // SO_COOKIE; what identity is checked by
    std::uint64_t inode = 0;
    Endpoint local;
    int pid = 0; // a process that held it when this was written, and its descriptor there: a hint only
    int fd = -1;

    bool operator==(const ListenerRef&) const = default;
};

// A receive queue of a network device, or an interrupt. Both name and index have to be its device's: the kernel gives
// an index to another device only when it has counted past all others, but whoever makes one may choose it
// (net/core/dev.c, dev_index_reserve). The number of an interrupt is given to others as soon as it is free.
struct QueueRef {
    std::string device;
    std::uint32_t ifindex = 0;
    std::uint32_t queue = 0; // its number, or the interrupt's

    bool operator==(const QueueRef&) const = default;
};

// Where a change applies. `listener` names the object for tunables of a socket, the cause for somaxconn, and is empty
// where no listener plays a part. `netns_pid` is a hint, as in ListenerRef. `queue` is there for tunables of one.
struct Scope {
    NetnsId netns;
    int netns_pid = 0;
    std::optional<ListenerRef> listener;
    std::optional<Pod> pod;
    std::optional<QueueRef> queue = {};

    bool operator==(const Scope&) const = default;
};

// A socket as an object of changes.
Scope scope_of(const Listener& listener);
Scope scope_of(const UdpSocket& socket);
Scope scope_of(const SteeredDevice& device); // its first receive queue
Scope scope_of(const DeviceInterrupt& interrupt);

// The thing that has one value: a sysctl of one namespace, a limit of one socket, a receive queue, or an interrupt.
struct ObjectKey {
    TunableId tunable = TunableId::somaxconn;
    NetnsId netns;
    // Of a socket's tunables, UDP's too; of a receive queue or an interrupt: the index of its device in the upper half,
    // its own number in the lower. 0 of others.
    std::uint64_t listener_cookie = 0;

    auto operator<=>(const ObjectKey&) const = default;
};
ObjectKey key_of(TunableId tunable, const Scope& scope);

// A number that speaks for a change: {"queue_peak", 97}.
struct Evidence {
    std::string name;
    std::uint64_t value = 0;

    bool operator==(const Evidence&) const = default;
};

struct Decision {
    enum class Act {
        write,     // set `to`, having journalled `from`
        recommend, // say that `to` would be set if the mode or an opt-in allowed it; write nothing
        advise,    // say what the matter is where no value would help, or none may be set; `to` is `from`
        keep,      // the trial of this object's change is over: it stays; `why` and `evidence` say for what
        roll_back, // the same, but it did not help: set `to`, the value before the trial
        give_back, // a calm has shown that a part of a raise is not needed: set `to`, which is less
        reassert,  // someone else set this object to `from`: set `to`, which is what it was
        yield,     // someone else set this object to `to`: leave it alone
        forget,    // the object is no longer seen
        release,   // the application set its listener to `to` by another listen(): it is as it wants it
    };

    Act act = Act::write;
    TunableId tunable = TunableId::somaxconn;
    Scope scope;
    std::uint64_t from = 0; // what the value is now, as far as is known; the writer checks
    std::uint64_t to = 0;
    std::string why;
    std::vector<Evidence> evidence;
    std::optional<MonoTime> event; // the kernel event that caused it

    bool operator==(const Decision&) const = default;
};

// Whether it sets a value; any other is words.
inline bool is_write(const Decision& decision) {
    using enum Decision::Act;
    return decision.act == write || decision.act == roll_back || decision.act == give_back || decision.act == reassert;
}

// What became of a Decision that is_write().
struct Outcome {
    enum class Kind {
        written,  // `value` was read back
        conflict, // it was not `from` any more but `value`, or as `error` says: not written, look again
        gone,     // the namespace, process or socket is no longer there: normal
        failed,   // `error`
    };

    Kind kind = Kind::failed;
    std::uint64_t value = 0;
    std::string error;
    bool is_tried = true; // false: what failed, or was waited for, is something else, and says nothing of the object
};

enum class ChangeState {
    recommended, // not written: the mode or an opt-in forbids it
    advice,      // no value would help, or none may be set
    applied,     // on trial
    kept,
    rolled_back,
    restored,
    yielded, // someone else changed it
    gone,    // the object ended before it could be written
    failed,
};
inline constexpr std::array all_change_states{ChangeState::recommended, ChangeState::advice,      ChangeState::applied,
                                              ChangeState::kept,        ChangeState::rolled_back, ChangeState::restored,
                                              ChangeState::yielded,     ChangeState::gone,        ChangeState::failed};
std::string_view to_string(ChangeState state);
std::optional<ChangeState> change_state(std::string_view text);

// One row of history: one write, recommendation or piece of advice, with its latest state.
struct Change {
    std::int64_t id = 0;
    WallTime time;
    std::string boot; // /proc/sys/kernel/random/boot_id
    TunableId tunable = TunableId::somaxconn;
    Scope scope;
    std::string original; // before our first write of this object
    std::string from;     // empty for advice, as `to` is
    std::string to;
    ChangeState state = ChangeState::recommended;
    std::string why;
    std::vector<Evidence> evidence;
    std::optional<std::chrono::microseconds> reaction; // from the kernel event to the read-back
};

} // namespace bpftune
