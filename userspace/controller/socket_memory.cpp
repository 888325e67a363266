// SPDX-License-Identifier: Apache-2.0
#include "controller/socket_memory.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "controller/cost.hpp"
#include "controller/gate.hpp"
#include "controller/tenant.hpp"
#include "core/words.hpp"

namespace bpftune::controller {
namespace {

constexpr std::uint64_t factor = 2;
constexpr Nanoseconds settled = std::chrono::seconds(5); // longer than it takes to tell a socket that does not move
constexpr Nanoseconds seen_by = std::chrono::minutes(1); // sockets are looked through every 30 s or sooner
constexpr std::uint64_t times_free = 2;
constexpr double most_memory_pressure = 10; // percent, as a guard lets it grow

// One of the three numbers, as a snapshot has it.
struct Limit {
    TunableId tunable;
    std::uint64_t SocketMemory::* bytes;
};

struct Limits {
    MemoryPool pool;
    std::string_view name;
    Limit most;
    std::array<Limit, 2> others; // in the order in which they are raised after it
};

constexpr std::array all_limits{
    Limits{.pool = MemoryPool::tcp,
           .name = "TCP",
           .most = {TunableId::tcp_mem, &SocketMemory::high_bytes},
           .others = {Limit{TunableId::tcp_mem_pressure, &SocketMemory::pressure_bytes},
                      Limit{TunableId::tcp_mem_low, &SocketMemory::low_bytes}}},
    Limits{.pool = MemoryPool::udp,
           .name = "UDP",
           .most = {TunableId::udp_mem, &SocketMemory::high_bytes},
           .others = {Limit{TunableId::udp_mem_pressure, &SocketMemory::pressure_bytes},
                      Limit{TunableId::udp_mem_low, &SocketMemory::low_bytes}}},
};

const SocketMemory* row_of(const Snapshot& snapshot, MemoryPool pool) {
    const auto found = std::ranges::find(snapshot.socket_memory, pool, &SocketMemory::pool);
    return found == snapshot.socket_memory.end() || found->page_bytes == 0 ? nullptr : &*found;
}

std::uint64_t pages(const SocketMemory& row, std::uint64_t bytes) { return bytes / row.page_bytes; }

// A look that finds TCP under pressure is a loss as well: everyone's buffers were shrunk.
std::uint64_t lost(const SocketMemory& row) {
    const bool tcp = row.pool == MemoryPool::tcp;
    return row.window_lost + row.window_pressures + (tcp && row.is_under_pressure() ? 1 : 0);
}

// Demand: the pages that were found in use at looks, and what found none.
Measured measured(const SocketMemory& row) {
    return {.losses = lost(row), .demand = pages(row, row.bytes) + lost(row), .use = pages(row, row.fullest_bytes)};
}

Reading reading_of(const Snapshot& snapshot, const SocketMemory& row, const Limit& limit) {
    return {.object = {limit.tunable, snapshot.host},
            .value = pages(row, row.*limit.bytes),
            .read = snapshot.time.mono,
            .in_use = pages(row, row.bytes)};
}

Reading reading_of_most(const Snapshot& snapshot, const SocketMemory& row, const Limit& limit) {
    Reading reading = reading_of(snapshot, row, limit);
    const std::uint64_t used = pages(row, row.fullest_bytes);
    reading.use = {.used = used, .wanted = factor * used, .pressed = row.was_near_limit()};
    reading.charged = used;
    reading.measured = measured(row);
    return reading;
}

// UDP's counter counts a limit of a memory cgroup as well, and TCP's of pressure an allocation that failed: it has to
// be near its own limit.
bool is_short(const SocketMemory& row) { return row.was_near_limit() && lost(row) > 0; }

std::string name_of(const Snapshot& snapshot, const MemoryHolder& holder) {
    if (holder.pod) return pod_text(*holder.pod);
    if (const std::string* name = snapshot.netns_name(holder.netns)) return *name;
    return fmt::format("network namespace {}", holder.netns.inode);
}

std::string holds_text(const Snapshot& snapshot, const SocketMemory& row) {
    if (!row.largest) return "no process holds any of it";
    const MemoryHolder& most = *row.largest;
    std::string text = fmt::format("most of it is held by {}: {}, of which {} have not moved for 3 s",
                                   name_of(snapshot, most), size_text(most.bytes), size_text(most.still_bytes));
    if (most.close_wait_bytes > 0) text += fmt::format(" and {} are in CLOSE_WAIT", size_text(most.close_wait_bytes));
    return text;
}

std::string what_is_short(const Limits& limits, const SocketMemory& row) {
    const std::string use =
        fmt::format("{}'s sockets use {} of the node's memory", limits.name, size_text(row.fullest_bytes));
    if (row.pool == MemoryPool::udp)
        return fmt::format("{} datagrams were dropped in a second or so for want of it: {}, and beyond {}, the first "
                           "number of udp_mem, none is taken where others wait",
                           row.window_lost, use, size_text(row.low_bytes));
    return fmt::format(
        "{}, and from {} on, the second number of tcp_mem, all buffers are shrunk; {} packets or orphans "
        "were dropped in a second or so",
        use, size_text(row.pressure_bytes), row.window_lost);
}

Wish finding_of(const Limits& limits, const SocketMemory& row, const Snapshot& snapshot) {
    const std::uint64_t limit = pages(row, row.high_bytes);
    Wish wish{.tunable = limits.most.tunable,
              .scope = {.netns = snapshot.host},
              .from = limit,
              .to = limit,
              .why = what_is_short(limits, row),
              .evidence = {{"bytes", row.fullest_bytes},
                           {"limit_bytes", row.limit_bytes()},
                           {"lost", row.window_lost},
                           {"pressures", row.window_pressures}},
              .demand = {limits.most.tunable, snapshot.host}};
    if (row.held_bytes) wish.evidence.push_back({"held_bytes", *row.held_bytes});
    if (row.still_bytes) wish.evidence.push_back({"unmoved_bytes", *row.still_bytes});
    if (row.largest) wish.evidence.push_back({"largest_bytes", row.largest->bytes});
    return wish;
}

// Whose demand it is, where one network namespace holds half of it or more; nullptr: several have it, or that is not
// known.
const MemoryHolder* holder_alone(const SocketMemory& row) {
    return row.largest && 2 * row.largest->bytes >= row.bytes ? &*row.largest : nullptr;
}

struct Obstacle {
    std::string_view kind;
    std::string why;
};

std::optional<Obstacle> left_out(const Gate& gate, const Limits& limits, const SocketMemory& row) {
    const MemoryHolder* holder = holder_alone(row);
    if (holder == nullptr || gate.asks(limits.most.tunable, holder->netns)) return std::nullopt;
    return Obstacle{"left out", fmt::format("{}; not raised for that one: an entry of pods or its annotation holds it "
                                            "to less, or a user has made it for himself",
                                            holds_text(gate.snapshot(), row))};
}

std::optional<Obstacle> leak_in(const Snapshot& snapshot, const SocketMemory& row) {
    if (!row.held_bytes || !row.still_bytes)
        return Obstacle{"unknown", "who holds it is not seen here, and a leak would fill any limit"};
    if (2 * *row.still_bytes >= row.bytes)
        return Obstacle{"unmoved", fmt::format("{}; a larger one would hold more of the same: look for a leak of "
                                               "sockets, or for a reader that has stopped",
                                               holds_text(snapshot, row))};
    if (2 * *row.unheld_bytes() >= row.bytes)
        return Obstacle{"unheld", fmt::format("{} are in sockets that no process holds, and {}: look for connections "
                                              "that are closed before their peers take what was sent (`ss -tanp state "
                                              "fin-wait-1`)",
                                              size_text(*row.unheld_bytes()), holds_text(snapshot, row))};
    return std::nullopt;
}

// `to`: in bytes.
std::optional<Obstacle> no_memory_for(const Snapshot& snapshot, const SocketMemory& row, std::uint64_t to) {
    const std::optional<double>& pressure = snapshot.guards.memory_pressure;
    const std::optional<std::uint64_t>& available = snapshot.guards.memory_available_bytes;
    const std::uint64_t more = to - std::min(to, row.bytes);
    if (!available || *available < times_free * more)
        return Obstacle{"memory", fmt::format("not raised: {} more could be in use then, and {} of the node's memory "
                                              "are available",
                                              size_text(more), available ? size_text(*available) : "an unknown part")};
    if (pressure.value_or(0) > most_memory_pressure)
        return Obstacle{"memory", fmt::format("not raised: tasks wait for memory {:.0f} % of the time", *pressure)};
    return std::nullopt;
}

void raise_others(Gate& gate, const Limits& limits, const SocketMemory& row, const Wish& raised, std::uint64_t to) {
    for (const Limit& other : limits.others) {
        const std::uint64_t value = pages(row, row.*other.bytes);
        if (value == 0) continue;
        Wish wish = raised;
        wish.tunable = other.tunable;
        wish.from = value;
        wish.to = std::min(value * to / raised.from, gate.bounds_of(ObjectKey{other.tunable, wish.scope.netns}).max);
        wish.expected.clear(); // the pages are charged once
        wish.askers.clear();   // and by the same
        wish.why = fmt::format("the third number goes to {}: this one keeps its proportion to it", to);
        gate.raise(std::move(wish));
    }
}

void judge(Gate& gate, const Limits& limits, const SocketMemory& row) {
    const Snapshot& snapshot = gate.snapshot();
    const ObjectKey object{limits.most.tunable, snapshot.host};
    if (!is_short(row) || row.near_for < settled || row.high_bytes == 0 || gate.puts_back(object)) return;
    if (trial_with(gate, object) != nullptr) return; // each raise is judged before the next
    if (!row.held_bytes && row.near_for < seen_by) return;
    Wish wish = finding_of(limits, row, snapshot);
    auto obstacle = leak_in(snapshot, row);
    if (!obstacle) obstacle = left_out(gate, limits, row);
    if (!obstacle) obstacle = no_memory_for(snapshot, row, factor * row.high_bytes);
    if (obstacle) {
        wish.why += "; " + obstacle->why;
        return gate.advise(std::move(wish), obstacle->kind);
    }
    wish.why += "; " + holds_text(snapshot, row);
    wish.to = factor * wish.from;
    wish.expected = {std::min(factor * pages(row, row.fullest_bytes), wish.to)};
    wish.reason = {.trial = {.object = object},
                   .cause = Cause::loss,
                   .fitted = pages(row, row.limit_bytes()),
                   .before = measured(row)};
    Askers askers;
    if (const MemoryHolder* holder = holder_alone(row))
        askers.add(tenant_in(snapshot, holder->netns, holder->pod), wish.to);
    ask_for(wish, askers.alone());
    const Wish raised = wish;
    if (const std::uint64_t to = gate.raise(std::move(wish)); to > raised.from)
        raise_others(gate, limits, row, raised, to);
}

} // namespace

namespace pools {

void read(const View& view, std::vector<Reading>& readings) {
    for (const Limits& limits : all_limits) {
        const SocketMemory* row = row_of(view.snapshot, limits.pool);
        if (row == nullptr) continue;
        readings.push_back(reading_of_most(view.snapshot, *row, limits.most));
        const Limit* next = &limits.most;
        for (const Limit& other : limits.others) {
            readings.push_back(reading_of(view.snapshot, *row, other));
            readings.back().ceiling = pages(*row, row->*std::exchange(next, &other)->bytes);
        }
    }
}

void rule(Gate& gate) {
    if (gate.snapshot().cause != Snapshot::Cause::tick) return;
    for (const Limits& limits : all_limits)
        if (const SocketMemory* row = row_of(gate.snapshot(), limits.pool)) judge(gate, limits, *row);
}

void show(const std::function<std::optional<std::uint64_t>(const ObjectKey&)>& value_of, Snapshot& snapshot) {
    for (const Limits& limits : all_limits)
        for (SocketMemory& row : snapshot.socket_memory) {
            if (row.pool != limits.pool) continue;
            const auto show_one = [&](const Limit& limit) {
                if (const auto value = value_of({limit.tunable, snapshot.host}))
                    row.*limit.bytes = *value * row.page_bytes;
            };
            show_one(limits.most);
            for (const Limit& other : limits.others) show_one(other);
        }
}

} // namespace pools
} // namespace bpftune::controller
