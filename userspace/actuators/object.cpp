// SPDX-License-Identifier: Apache-2.0
#include "actuators/object.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "sys/files.hpp"
#include "sys/procfs.hpp"
#include "tunables/codec.hpp"
#include "tunables/undo.hpp"

namespace bpftune::actuators {
namespace {

using tunables::InUse;
using tunables::Kind;
using tunables::Tunable;

Outcome outcome_of(const Error& error) {
    return {
        .kind = error.code == ESTALE ? Outcome::Kind::gone : Outcome::Kind::failed, .value = 0, .error = error.message};
}

// A raise past what bounds it is out of date, as where the value itself was set meanwhile. On its way back the value is
// ours all the same.
Outcome outcome_of_set(const Error& error, std::uint64_t from, std::uint64_t to) {
    if (error.code != EAGAIN || to <= from) return outcome_of(error);
    return {.kind = Outcome::Kind::conflict, .value = from, .error = error.message};
}

template <class Object> Outcome not_taken(const Tunable& tunable, const Object& object, std::uint64_t from,
                                          std::uint64_t to, std::uint64_t got) {
    const auto text = [&](std::uint64_t value) { return tunables::text_of(tunable, value); };
    const auto undone = object.set(from);
    return {.kind = Outcome::Kind::failed,
            .value = got,
            .error =
                fmt::format("wrote {}, but {} was read back; {}", text(to), text(got),
                            undone ? fmt::format("put {} back", text(from))
                                   : fmt::format("putting {} back failed: {}", text(from), undone.error().message))};
}

template <class Object>
Outcome compare_and_set(const Tunable& tunable, const Object& object, std::uint64_t from, std::uint64_t to) {
    const auto before = object.value();
    if (!before) return outcome_of(before.error());
    if (*before != from) return {.kind = Outcome::Kind::conflict, .value = *before, .error = {}};
    if (const auto set = object.set(to); !set) return outcome_of_set(set.error(), from, to);
    const auto after = object.value();
    if (!after) return outcome_of(after.error());
    if (*after != to) return not_taken(tunable, object, from, to, *after);
    return {.kind = Outcome::Kind::written, .value = *after, .error = {}};
}

template <class Object>
Outcome compare_and_set(const Tunable& tunable, const Result<Object>& object, std::uint64_t from, std::uint64_t to) {
    return object ? compare_and_set(tunable, *object, from, to) : outcome_of(object.error());
}

template <class Object> Result<std::uint64_t> value_of(const Result<Object>& object) {
    if (!object) return std::unexpected(object.error());
    return object->value();
}

// Of the namespace that this thread is in. The sysctl is not shown to namespaces of other users on older kernels
// (nf_conntrack_standalone.c), the counters are.
Result<std::uint64_t> conntrack_entries_here() {
    auto count = sys::read_number("/proc/sys/net/netfilter/nf_conntrack_count");
    if (count || count.error().code != ENOENT) return count;
    const auto text = sys::read_file("/proc/thread-self/net/stat/nf_conntrack");
    if (!text && text.error().code == ENOENT)
        return system_failure(EOPNOTSUPP, "this kernel shows its table to nobody");
    if (!text) return std::unexpected(text.error());
    const auto stat = sys::parse_conntrack_stat(*text);
    if (!stat) return std::unexpected(stat.error());
    return stat->entries;
}

// The limit is compared with each namespace's own count (nf_conntrack_core.c, __nf_conntrack_alloc).
Result<std::uint64_t> entries_of_fullest_table() {
    std::uint64_t most = 0;
    const auto looked = sys::for_each_netns([&](const sys::Fd& netns) -> Result<> {
        const auto inside = sys::NetnsGuard::enter(netns);
        if (!inside) return std::unexpected(inside.error());
        const auto entries = conntrack_entries_here();
        if (!entries) return std::unexpected(entries.error());
        most = std::max(most, *entries);
        return {};
    });
    if (!looked)
        return with_context(looked.error(), "count conntrack entries ({} are in the fullest table seen)", most);
    return most;
}

// Of the init network namespace, which is where the tables' counters are.
// The same in whichever network namespace it is read.
Result<std::uint64_t> pages_of(const char* protocol) {
    const auto text = sys::read_file("/proc/thread-self/net/sockstat");
    if (!text) return std::unexpected(text.error());
    const auto pages = sys::sockstat_value(*text, protocol, "mem");
    if (!pages) return failure("sockstat has no memory of {}", protocol);
    return *pages;
}

Result<std::uint64_t> neighbours_in(const char* cache) {
    const auto text = sys::read_file(fmt::format("/proc/thread-self/net/stat/{}", cache));
    if (!text) return std::unexpected(text.error());
    const auto stat = sys::parse_neighbour_stat(*text);
    if (!stat) return std::unexpected(stat.error());
    return stat->entries;
}

std::string name_of(std::string_view path) {
    std::string name(path);
    std::ranges::replace(name, '/', '.');
    return name;
}

Result<std::uint64_t> lower_limit_of(const Tunable& tunable, const Scope& scope) {
    const auto inside = enter(scope);
    if (!inside) return with_context(inside.error(), "{}", tunable.name);
    const auto limit = sys::read_number(fmt::format("/proc/sys/{}", tunable.not_below));
    if (!limit) return with_context(limit.error(), "{}", name_of(tunable.not_below));
    return *limit;
}

// nullopt: `to` has room for what is in use.
std::optional<Outcome> no_room(const Tunable& tunable, const Result<std::uint64_t>& use, std::uint64_t to) {
    if (!use) return outcome_of(use.error());
    if (tunables::room_for(tunable.id, *use) <= to) return std::nullopt;
    if (tunable.in_use == InUse::lower_limit)
        return Outcome{.kind = Outcome::Kind::failed,
                       .value = *use,
                       .error = fmt::format("{} is {}: the kernel takes no less, and {} is", name_of(tunable.not_below),
                                            *use, to)};
    return Outcome{.kind = Outcome::Kind::failed,
                   .value = *use,
                   .error = fmt::format("{} are in use: {} is too little for them", *use, to)};
}

template <class Socket> Result<std::uint64_t> use_of(const Result<Socket>& socket) {
    if (!socket) return std::unexpected(socket.error());
    return socket->in_use();
}

// It is looked for once.
template <class Socket>
Outcome lower_socket(const Tunable& tunable, const Result<Socket>& socket, std::uint64_t from, std::uint64_t to) {
    if (!socket) return outcome_of(socket.error());
    const auto refused = no_room(tunable, socket->in_use(), to);
    return refused ? *refused : compare_and_set(tunable, *socket, from, to);
}

} // namespace

Result<std::uint64_t> read_object(const Tunable& tunable, const Scope& scope) {
    if (tunable.kind == Kind::listener) return value_of(ListeningSocket::fetch(scope));
    if (tunable.kind == Kind::udp_buffer) return value_of(ReceiveBuffer::fetch(scope));
    if (tunable.kind == Kind::rx_queue) return value_of(ReceiveQueue::open(tunable, scope, ReceiveQueue::Is::ours));
    if (tunable.kind == Kind::interrupt) return value_of(Interrupt::open(tunable, scope));
    return value_of(Sysctl::open(tunable, scope, Sysctl::For::reading));
}

Outcome write_object(const Tunable& tunable, const Scope& scope, std::uint64_t from, std::uint64_t to) {
    if (tunable.kind == Kind::listener) return compare_and_set(tunable, ListeningSocket::fetch(scope), from, to);
    if (tunable.kind == Kind::udp_buffer) return compare_and_set(tunable, ReceiveBuffer::fetch(scope), from, to);
    if (tunable.kind == Kind::rx_queue) {
        // No device has begun with any: one that has is ours, unless somebody has set it, which is compared.
        const auto is = from == 0 ? ReceiveQueue::Is::anybodys : ReceiveQueue::Is::ours;
        return compare_and_set(tunable, ReceiveQueue::open(tunable, scope, is), from, to);
    }
    if (tunable.kind == Kind::interrupt) return compare_and_set(tunable, Interrupt::open(tunable, scope), from, to);
    if (tunable.in_use == InUse::lower_limit && to < from) // the kernel would only say EINVAL
        if (const auto refused = no_room(tunable, lower_limit_of(tunable, scope), to)) return *refused;
    return compare_and_set(tunable, Sysctl::open(tunable, scope, Sysctl::For::writing), from, to);
}

Result<std::uint64_t> use_of_object(const Tunable& tunable, const Scope& scope) {
    switch (tunable.in_use) {
    case InUse::nothing: return 0;
    case InUse::queue: return use_of(ListeningSocket::fetch(scope));
    case InUse::buffer: return use_of(ReceiveBuffer::fetch(scope));
    case InUse::conntrack_entries: return entries_of_fullest_table();
    case InUse::arp_entries: return neighbours_in("arp_cache");
    case InUse::ndisc_entries: return neighbours_in("ndisc_cache");
    case InUse::tcp_memory_pages: return pages_of("TCP");
    case InUse::udp_memory_pages: return pages_of("UDP");
    case InUse::lower_limit: return lower_limit_of(tunable, scope);
    }
    std::unreachable();
}

Outcome lower_object(const Tunable& tunable, const Scope& scope, std::uint64_t from, std::uint64_t to) {
    if (!tunables::is_less(tunable.id, to, from)) return write_object(tunable, scope, from, to);
    if (tunable.kind == Kind::listener) return lower_socket(tunable, ListeningSocket::fetch(scope), from, to);
    if (tunable.kind == Kind::udp_buffer) return lower_socket(tunable, ReceiveBuffer::fetch(scope), from, to);
    if (tunable.in_use == InUse::lower_limit) return write_object(tunable, scope, from, to); // which looks as well
    const auto refused = no_room(tunable, use_of_object(tunable, scope), to);
    return refused ? *refused : write_object(tunable, scope, from, to);
}

} // namespace bpftune::actuators
