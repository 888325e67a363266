// SPDX-License-Identifier: Apache-2.0
#include "actuators/socket.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <linux/capability.h>
#include <unistd.h>

#include "sys/capabilities.hpp"
#include "sys/clock.hpp"
#include "sys/directory.hpp"
#include "sys/netns.hpp"
#include "sys/sockets.hpp"
#include "sys/whole_search.hpp"

namespace bpftune::actuators {
namespace {

bool denied(const Error& error) { return error.code == EPERM || error.code == EACCES; }

// The duplicate if that descriptor is the very socket; ESTALE if it is anything else or not there.
Result<sys::Fd> fetch_if_same(const ListenerRef& ref, pid_t pid, int fd) {
    auto socket = sys::fetch_descriptor(pid, fd);
    if (!socket && socket.error().code != ESRCH && socket.error().code != EBADF && socket.error().code != EINVAL)
        return socket;
    if (!socket) return gone("{}", socket.error().message);
    const auto cookie = sys::socket_cookie(socket->value());
    if (cookie && *cookie == ref.cookie) return socket;
    return gone("descriptor {} of process {} is another one now", fd, pid);
}

// How far one is looked for: it is told apart from "gone" where that was not far enough.
struct Search {
    MonoTime deadline;
    std::size_t most = 0;                         // descriptors of each process, the lowest
    std::vector<std::uint64_t>* others = nullptr; // the inodes of all sockets that it comes upon
};
constexpr std::size_t few_descriptors = 1024; // a server listens before it has clients
constexpr std::size_t most_descriptors = 65536;

Result<sys::Fd> fetch_by_inode(const ListenerRef& ref, pid_t pid, const Search& search) {
    const auto fd = sys::find_socket(pid, ref.inode, search.most, search.deadline, search.others);
    if (!fd && (denied(fd.error()) || fd.error().code == ETIME)) return std::unexpected(fd.error());
    if (!fd || !*fd) return gone("process {} does not hold it", pid);
    return fetch_if_same(ref, pid, **fd);
}

// Those of the socket's namespace first: others' many descriptors then take nothing of its time.
void those_of_namespace_first(std::vector<pid_t>& pids, const NetnsId& netns) {
    const std::string wanted = fmt::format("net:[{}]", netns.inode);
    std::ranges::stable_partition(pids, [&](pid_t pid) {
        std::array<char, 64> target{};
        const ssize_t size = ::readlink(fmt::format("/proc/{}/ns/net", pid).c_str(), target.data(), target.size());
        return size > 0 && std::string_view(target.data(), static_cast<std::size_t>(size)) == wanted;
    });
}

// By this process. What is gone by that counts as gone only where the kernel does not list it either.
sys::WholeSearch& last_search() {
    static sys::WholeSearch last;
    return last;
}

// The process that the hint names may have ended or passed the socket on.
Result<sys::Fd> fetch_from_any(const ListenerRef& ref, const NetnsId& netns, Search search) {
    if (last_search().misses(ref.inode, sys::now().mono))
        return gone("no process holds the socket {} any more", ref.inode);
    auto pids = sys::numbered_entries("/proc");
    if (!pids) return std::unexpected(pids.error());
    those_of_namespace_first(*pids, netns);
    int hidden = 0;
    std::vector<std::uint64_t> others;
    for (const std::size_t most : {few_descriptors, most_descriptors}) {
        search.most = most;
        search.others = most == most_descriptors ? &others : nullptr;
        hidden = 0;
        for (const pid_t pid : *pids) {
            auto socket = fetch_by_inode(ref, pid, search);
            if (socket || socket.error().code == ETIME) return socket;
            if (denied(socket.error())) ++hidden;
        }
    }
    // What is closed even to these rights is guarded by a security module: no pod.
    const bool all_rights = sys::has_capability(CAP_SYS_PTRACE) && sys::has_capability(CAP_DAC_READ_SEARCH);
    if (hidden == 0 || all_rights) {
        last_search().ended(std::move(others), sys::now().mono);
        return gone("no process holds the socket {} any more", ref.inode);
    }
    return system_failure(EACCES,
                          "look for socket {}: {} processes do not show theirs (it takes CAP_SYS_PTRACE and "
                          "CAP_DAC_READ_SEARCH)",
                          ref.inode, hidden);
}

// Where it was when the scope was made, or elsewhere in that process.
Result<sys::Fd> fetch_where_it_was(const ListenerRef& ref, const Search& search) {
    if (ref.pid <= 0) return gone("who holds it is not known");
    auto socket = fetch_if_same(ref, ref.pid, ref.fd);
    if (socket || socket.error().code != ESTALE || ref.inode == 0) return socket;
    return fetch_by_inode(ref, ref.pid, search);
}

// A cookie is never another socket's: a namespace that has the number of the socket's by now does not have it.
Result<bool> is_still_there(const ListenerRef& ref, const Scope& scope, IsListed is_listed) {
    const auto netns = sys::find_netns(scope.netns, {.pid = scope.netns_pid, .path = {}});
    if (!netns && netns.error().code == ESTALE) return false;
    if (!netns) return std::unexpected(netns.error());
    const auto inside = sys::NetnsGuard::enter(*netns);
    if (!inside) return std::unexpected(inside.error());
    return is_listed(ref.cookie, sys::now().mono + longest_look);
}

Result<sys::Fd> search_everywhere(const ListenerRef& ref, const NetnsId& netns, const Search& search) {
    if (ref.inode == 0) return gone("the socket is not where it was");
    auto socket = fetch_from_any(ref, netns, search);
    if (socket) last_search().reached(ref.inode, sys::now().mono);
    return socket;
}

// Only what the kernel does not list any more is gone: a descriptor may be where no process shows it. It is asked
// before all processes are: what others of the node have open takes nothing of that.
Result<sys::Fd> fetch_named(const ListenerRef& ref, const Scope& scope, IsListed is_listed) {
    const Search search{.deadline = sys::now().mono + longest_search, .most = most_descriptors};
    auto socket = fetch_where_it_was(ref, search);
    if (socket) last_search().reached(ref.inode, sys::now().mono);
    if (socket || (socket.error().code != ESTALE && socket.error().code != ETIME)) return socket;
    const auto there = is_still_there(ref, scope, is_listed);
    if (there && !*there) return gone("the kernel has no such socket {} any more", ref.inode);
    const bool was_missed = last_search().misses(ref.inode, sys::now().mono);
    socket = search_everywhere(ref, scope.netns, search);
    if (socket || socket.error().code != ESTALE) return socket;
    if (!there)
        return with_context(there.error(), "{}; whether it is there still is not known", socket.error().message);
    if (was_missed) { // not looked for by itself: somebody may have received it since
        last_search().reached(ref.inode, sys::now().mono);
        socket = search_everywhere(ref, scope.netns, search);
        if (socket || socket.error().code != ESTALE) return socket;
    }
    return std::unexpected(Error{"it is there still, but no process shows its descriptor: that is in flight over a "
                                 "socket, held by io_uring or the kernel itself, or of a process that a security "
                                 "module guards; left as it is",
                                 EBUSY});
}

} // namespace

Result<sys::Fd> fetch_socket(const Scope& scope, IsListed is_listed) {
    if (!scope.listener || scope.listener->cookie == 0) return failure("no socket is named");
    auto socket = fetch_named(*scope.listener, scope, is_listed);
    if (!socket) return socket;
    const auto cookie = sys::netns_cookie(socket->value());
    if (!cookie) return std::unexpected(cookie.error());
    // 0: a kernel that tells this only inside.
    if (*cookie != scope.netns.cookie && *cookie != 0) return gone("the socket belongs to another network namespace");
    return socket;
}

} // namespace bpftune::actuators
