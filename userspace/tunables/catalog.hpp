// SPDX-License-Identifier: Apache-2.0
// The tunables: one row each. Policy keys, bounds, doctor's list, docs/tunables.md and the actuator that applies one
// come from its row. A new tunable is a new row, and code only where its kind is new.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "core/change.hpp"
#include "core/snapshot.hpp"
#include "core/time.hpp"

namespace bpftune::tunables {

// Which actuator applies it, and where it lives.
enum class Kind {
    netns_sysctl, // below /proc/sys/net, one value for each network namespace
    host_sysctl,  // below /proc/sys, one value for the node, written from the init network namespace only
    listener,     // sk_max_ack_backlog of one listening socket, which its holder may set as well, by another listen()
    udp_buffer,   // sk_rcvbuf of one UDP socket, which its holder may set as well, by SO_RCVBUF
    rx_queue,     // a file of its name in /sys/class/net/DEVICE/queues/rx-N, of one receive queue of a network device
    interrupt,    // a file of its name in /proc/irq/N, of one interrupt of a network device of the node
};

// How what is in use of a value is counted when it is to be lowered.
enum class InUse {
    nothing,           // nothing is in use of it by itself
    queue,             // what waits in the socket's accept queue, or is under way to it
    buffer,            // what waits to be read from the socket
    conntrack_entries, // of the fullest table on the node
    arp_entries,       // of the node's one table, as is the next
    ndisc_entries,
    tcp_memory_pages, // of all sockets of the node, as is the next
    udp_memory_pages,
    lower_limit, // nothing; it can't be less than Tunable::not_below
};

enum class Unit {
    count,
    bytes, // a policy may write it as a size: 16MiB
};

// What tells whether a raise helped (controller/trial.hpp).
enum class JudgedBy {
    losses,     // fewer per unit of demand
    rate,       // the connections that it was raised for are faster
    throughput, // more bytes get through in the same time, and no more packets are lost
    nothing,    // what runs does not take it, so that is not seen: it is kept at once, which is said
};

// So many times what is in use has to fit under a value that is lowered, rounded up.
struct Room {
    std::uint64_t times = 0;
    std::uint64_t of = 1;
};

struct Tunable {
    TunableId id;
    std::string_view key;  // as a recording has the id
    std::string_view name; // the kernel's spelling; the key in a policy
    Kind kind;
    std::string_view path;              // below /proc/sys; empty for other kinds
    std::optional<unsigned> field = {}; // of several numbers in its file, which, from 0; nullopt: it has one
    std::uint64_t counts_down_from = 0; // it is this less the number in its file; 0: it is that number
    // What its file says of each value, in the order of how much they grant; a file that says none of these is not
    // touched. Empty: it says a number.
    std::span<const std::string_view> words = {};
    std::string_view alias;              // another path to the same value; empty: none
    std::string_view module_option = {}; // of the kernel module, which sets it when that is loaded: MODULE.OPTION
    std::uint64_t kernel_min;            // what the kernel takes
    std::uint64_t kernel_max;
    Unit unit = Unit::count;
    std::uint64_t granule = 1;     // it rounds up to multiples of this at most
    bool is_bits = false;          // each is a switch: how much larger a value is says nothing
    bool is_cpus = false;          // a set of CPUs, of the first 64, as the kernel writes it: "ff", "1,00000000"
    bool zero_is_no_limit = false; // every other limit of 0 lets nothing in
    // Another of the same place, past which the kernel lets none of these through: raised before it, lowered after it.
    // Where this one is not named in a policy, what the policy says of that one goes for what an application asked for.
    std::optional<TunableId> bounded_by = {};
    // Another of the same place that it is sized by: raised and lowered after it.
    std::optional<TunableId> follows = {};
    // One that it is never more than: raised after it, lowered before it, though it may follow it.
    std::optional<TunableId> at_most = {};
    // Below /proc/sys, of the same place: the kernel takes no less than that one is. Not ours: it is never written.
    std::string_view not_below = {};
    std::uint64_t most_per_unit = 1; // of what it follows, for each of its own
    // Whichever of the two is reached first ends what both bound: neither is raised alone, not even by a policy's min.
    bool binds_with_leader = false;
    InUse in_use = InUse::nothing;
    JudgedBy judged_by = JudgedBy::losses;
    Nudge nudge = Nudge::none; // what lets running connections take it (bpf/nudge.iter.bpf.c)
    Room room = {};
    std::uint64_t spare = 0; // how many more than its value there may be
    // Of the same place, below /proc/sys: while that is not 0 this one bounds nothing. Empty: it always does.
    std::string_view only_if_zero = {};
    std::string_view held_at_once = {}; // what those in use did: "waited at once"
    // The most that is in use is over before anybody looks: a trial goes by how much came within a tick instead, and
    // what came before is not known after a restart.
    bool peak_is_unseen = false;
    // What comes is counted for all like it in the namespace: that it returned says nothing of this one.
    bool demand_is_shared = false;
    // What it lets in waits in the memory that udp_mem bounds: a trial of it is guarded by that.
    bool takes_udp_memory = false;
    std::string_view full_at_value = {}; // what happens at {value} while {use} are in use, {over} of them too many
    std::uint64_t default_max;           // no raise goes past it unless the policy says so
    // The calm after which it is given back unless the policy says otherwise; nullopt: never.
    std::optional<Nanoseconds> default_shrink_after;
    bool use_is_seen = true;            // else how much of it is needed is not known, and it is never given back
    bool opt_in;                        // only a policy that names it allows it
    std::string_view opt_in_where = {}; // opt-in there alone; empty: everywhere
    // What one unit in use costs the node in memory, where the kernel does not tell: as charged, and at worst.
    std::uint64_t unit_bytes;
    std::uint64_t worst_unit_bytes;
    std::optional<std::uint64_t> UnitBytes::* measured_unit_bytes = nullptr; // where it does
    std::optional<std::uint64_t> UnitBytes::* measured_worst_unit_bytes = nullptr;
    std::string_view sharers = "namespaces"; // who may each fill it, if several
    std::string_view memory;                 // how the bytes of a unit are known, and how many units are charged
    std::string_view serves = {};            // the signal whose loss it cures; empty: only a policy's min raises it
    std::string_view help;                   // one sentence
    std::string_view risk;                   // one sentence
    std::string_view source;                 // kernel file behind the facts above
    std::string_view formula;                // how much a raise asks for; the controller's rule has it in code
    std::string_view derived;                // where the formula comes from
    std::string_view assumes;                // what must hold for it to be right
};

std::span<const Tunable> catalog(); // in the order of TunableId
const Tunable& row(TunableId id);
const Tunable* find(std::string_view name);
const Tunable* find_key(std::string_view key);

// The one that `id` bounds; nullptr: none.
const Tunable* bounded_by(TunableId id);

// The one that is never more than `id` (Tunable::at_most); nullptr: none.
const Tunable* lesser_of(TunableId id);

// In which order values are lowered: what another one bounds, is followed by, or is never less than, comes before that
// one.
int lowering_rank(TunableId id);

bool means_no_limit(TunableId tunable, std::uint64_t value);

// Whether twice the value is twice as much; not of words, switches or CPUs, nor of what a number is short of another.
bool is_quantity(TunableId tunable);

} // namespace bpftune::tunables
