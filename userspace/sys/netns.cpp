// SPDX-License-Identifier: Apache-2.0
#include "sys/netns.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <set>
#include <sstream>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <linux/netlink_diag.h>
#include <linux/nsfs.h>
#include <linux/sock_diag.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "sys/capabilities.hpp"
#include "sys/clock.hpp"
#include "sys/directory.hpp"
#include "sys/files.hpp"
#include "sys/mounts.hpp"
#include "sys/netlink.hpp"
#include "sys/process_links.hpp"
#include "sys/sockets.hpp"
#include "sys/whole_search.hpp"

namespace bpftune::sys {
namespace {

constexpr const char* own_path = "/proc/thread-self/ns/net";

// It and its children are in the init namespaces, whatever process 1 is and shows. PF_KTHREAD: include/linux/sched.h.
constexpr pid_t kthreadd = 2;
constexpr unsigned long kernel_thread_flag = 0x00200000;

// The node's own user namespace: include/linux/proc_ns.h.
constexpr ino_t init_user_ns = 0xEFFFFFFD;

std::string path_of(pid_t pid) { return fmt::format("/proc/{}/ns/net", pid); }

Result<std::uint32_t> inode_of(const Fd& netns) {
    struct stat status{};
    if (::fstat(netns.value(), &status) != 0) return system_failure(errno, "fstat a network namespace");
    return static_cast<std::uint32_t>(status.st_ino);
}

Result<Fd> open_netns(const std::string& path) {
    Fd netns(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!netns) return system_failure(errno, "open {}", path);
    return netns;
}

Result<Fd> open_netns(const std::string& path, std::uint32_t inode) {
    auto netns = open_netns(path);
    if (!netns) return netns;
    const auto found = inode_of(*netns);
    if (!found) return std::unexpected(found.error());
    if (*found != inode) return std::unexpected(Error{fmt::format("{} is net:[{}]", path, *found), ESTALE});
    return netns;
}

// Whatever may be at that path by now: only a namespace is opened for more than to look what it is.
Result<Fd> open_bound(const std::string& path, std::uint32_t inode) {
    const Fd file(::open(path.c_str(), O_PATH | O_CLOEXEC));
    if (!file) return system_failure(errno, "open {}", path);
    struct statfs about{};
    if (::fstatfs(file.value(), &about) != 0) return system_failure(errno, "statfs {}", path);
    if (about.f_type != NSFS_MAGIC) return std::unexpected(Error{fmt::format("{} is no namespace", path), ESTALE});
    return open_netns(fmt::format("/proc/self/fd/{}", file.value()), inode);
}

// The SO_COOKIE of the kernel's own end of rtnetlink, a socket that is made and ends with its namespace. Netlink port 0
// is the kernel's alone. 0: this kernel does not list netlink sockets (netlink_diag).
std::uint64_t rtnetlink_cookie_here() {
    const auto socket = open_netlink(Netlink::sock_diag);
    if (!socket) return 0;
    struct {
        nlmsghdr header;
        netlink_diag_req about;
    } question{};
    question.header = {.nlmsg_len = sizeof question,
                       .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                       .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
                       .nlmsg_seq = 0,
                       .nlmsg_pid = 0};
    question.about.sdiag_family = AF_NETLINK;
    question.about.sdiag_protocol = NETLINK_ROUTE;
    std::uint64_t cookie = 0;
    const auto asked = ask_kernel(*socket, question.header, [&](const nlmsghdr& answer) {
        const auto* found = static_cast<const netlink_diag_msg*>(mnl_nlmsg_get_payload(&answer));
        if (mnl_nlmsg_get_payload_len(&answer) < sizeof *found || found->ndiag_portid != 0) return;
        cookie = std::uint64_t{found->ndiag_cookie[1]} << 32 | found->ndiag_cookie[0];
    });
    return asked ? cookie : 0;
}

// Any socket that is made here belongs here.
Result<std::uint64_t> cookie_here() {
    const Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket) return system_failure(errno, "make a socket");
    auto cookie = netns_cookie(socket.value());
    if (cookie && *cookie == 0) return rtnetlink_cookie_here();
    return cookie;
}

std::unexpected<Error> no_identity(std::uint32_t inode) {
    return std::unexpected(
        Error{fmt::format("net:[{}] cannot be told from a later one with its number: this kernel has "
                          "neither SO_NETNS_COOKIE (5.14) nor netlink_diag",
                          inode),
              EOPNOTSUPP});
}

bool has_ended(const Error& error) { return error.code == ENOENT || error.code == ESRCH || error.code == ESTALE; }

bool is_denied(int error) { return error == EACCES || error == EPERM; }

// Whether more rights would show this process. One that is closed even to CAP_SYS_PTRACE is guarded by a security
// module: no pod, and nothing to hope for.
bool is_hidden(int error) { return is_denied(error) && !has_capability(CAP_SYS_PTRACE); }
bool is_guarded(int error) { return is_denied(error) && has_capability(CAP_SYS_PTRACE); }

// What a search through the node came upon.
struct Search {
    std::vector<std::uint64_t> others; // the inodes of the namespaces that it saw
    int hidden = 0;                    // processes that do not show theirs
    std::optional<Error> error;        // the first by which what is looked for may have been missed

    void fail(const Error& why) {
        if (!error && !has_ended(why)) error = why;
    }
};

std::optional<Fd> find_by_process(std::uint32_t inode, Search& search) {
    const auto pids = numbered_entries("/proc");
    if (!pids) {
        search.error = pids.error();
        return std::nullopt;
    }
    for (const pid_t pid : *pids) {
        std::array<char, 64> target{};
        const std::string path = path_of(pid);
        const ssize_t size = ::readlink(path.c_str(), target.data(), target.size());
        const int error = size < 0 ? errno : 0;
        if (is_hidden(error)) ++search.hidden;
        if (error != 0 && !is_denied(error)) search.fail(system_failure(error, "read {}", path).error());
        if (size <= 0) continue;
        const auto found = inode_in_link({target.data(), static_cast<std::size_t>(size)}, "net");
        if (found) search.others.push_back(*found);
        if (found != inode) continue;
        auto netns = open_netns(path, inode);
        if (netns) return std::move(*netns);
        search.fail(netns.error());
    }
    return std::nullopt;
}

Result<Fd> find_by_hint(const NetnsId& id, const NetnsHint& hint) {
    if (hint.pid > 0)
        if (auto netns = open_netns(path_of(hint.pid), id.inode)) return netns;
    if (!hint.path.empty())
        if (auto netns = open_bound(hint.path, id.inode)) return netns;
    if (auto netns = open_netns(own_path, id.inode)) return netns;
    return std::unexpected(Error{fmt::format("net:[{}] is not where it was", id.inode), ESTALE});
}

std::optional<Fd> find_bound(std::uint32_t inode, Search& search) {
    for (const MountView& view : mount_views("/proc")) {
        const auto mounts = read_file(view.mountinfo);
        if (!mounts && !is_guarded(mounts.error().code)) search.fail(mounts.error());
        if (!mounts) continue;
        const auto all = bound_namespaces(*mounts);
        for (const BoundNetns& each : all) search.others.push_back(each.inode);
        for (const BoundNetns& each : std::ranges::equal_range(all, inode, {}, &BoundNetns::inode)) {
            auto bound = open_bound(view.root + each.path, inode);
            if (bound) return std::move(*bound);
            search.fail(bound.error());
        }
    }
    return std::nullopt;
}

// Flags are the 9th field of /proc/PID/stat; the command, the 2nd, may hold anything but is the last in parentheses.
Result<> check_is_kernel_thread(pid_t pid) {
    const auto stat = read_file(fmt::format("/proc/{}/stat", pid));
    if (!stat) return std::unexpected(stat.error());
    const std::size_t command_end = stat->rfind(')');
    std::istringstream fields(command_end == std::string::npos ? std::string() : stat->substr(command_end + 1));
    std::string state;
    std::array<long long, 5> between{}; // ppid, pgrp, session, tty_nr, tpgid
    unsigned long flags = 0;
    fields >> state;
    for (long long& field : between) fields >> field;
    if (fields >> flags && (flags & kernel_thread_flag) != 0) return {};
    return failure("process {} is no kernel thread: the process ids of the host are needed (hostPID)", pid);
}

// Of a search that came to its end. Where processes are out of sight, those of the node in a container with process ids
// of its own, nothing is gone.
Error not_found(std::uint32_t inode, const Search& search) {
    const std::string what = fmt::format("look for net:[{}]", inode);
    if (search.error) return with_context(*search.error, "{}", what).error();
    if (search.hidden > 0)
        return system_failure(EACCES, "{}: {} processes do not show theirs", what, search.hidden).error();
    if (const auto kernel = check_is_kernel_thread(kthreadd); !kernel)
        return {fmt::format("{}: not every process is seen: {}", what, kernel.error().message), EACCES};
    return {fmt::format("no process is in net:[{}]", inode), ESTALE};
}

} // namespace

Result<NetnsId> own_netns() {
    const auto netns = open_netns(own_path);
    if (!netns) return std::unexpected(netns.error());
    const auto inode = inode_of(*netns);
    if (!inode) return std::unexpected(inode.error());
    const auto cookie = cookie_here();
    if (!cookie) return std::unexpected(cookie.error());
    return NetnsId{.cookie = *cookie, .inode = *inode};
}

Result<NetnsId> netns_of(pid_t pid) {
    const auto netns = open_netns(path_of(pid));
    if (!netns) return std::unexpected(netns.error());
    const auto inode = inode_of(*netns);
    if (!inode) return std::unexpected(inode.error());
    auto own = own_netns();
    if (!own || own->inode == *inode) return own;
    const auto inside = NetnsGuard::enter(*netns);
    if (!inside) return with_context(inside.error(), "process {}", pid);
    const auto cookie = cookie_here();
    if (!cookie) return std::unexpected(cookie.error());
    return NetnsId{.cookie = *cookie, .inode = *inode};
}

Result<NetnsId> init_netns() {
    if (auto kernel = check_is_kernel_thread(kthreadd); !kernel) return std::unexpected(kernel.error());
    return netns_of(kthreadd);
}

std::optional<std::uint32_t> user_ns_owner(const Fd& netns) {
    const Fd user_ns(::ioctl(netns.value(), NS_GET_USERNS));
    struct stat status{};
    if (!user_ns || ::fstat(user_ns.value(), &status) != 0 || status.st_ino == init_user_ns) return std::nullopt;
    uid_t owner = 0;
    if (::ioctl(user_ns.value(), NS_GET_OWNER_UID, &owner) != 0) return std::nullopt;
    return owner;
}

std::optional<UserNs> outermost_user_ns(const Fd& netns) {
    Fd user_ns(::ioctl(netns.value(), NS_GET_USERNS));
    auto inode = user_ns ? inode_of(user_ns) : failure("not told");
    if (!inode || *inode == init_user_ns) return std::nullopt;
    while (true) { // user namespaces are at most 32 deep (create_user_ns())
        Fd parent(::ioctl(user_ns.value(), NS_GET_PARENT));
        const auto above = parent ? inode_of(parent) : failure("not told");
        if (!above) return std::nullopt;
        if (*above == init_user_ns) break;
        user_ns = std::move(parent);
        inode = above;
    }
    uid_t owner = 0;
    if (::ioctl(user_ns.value(), NS_GET_OWNER_UID, &owner) != 0) return std::nullopt;
    return UserNs{.inode = *inode, .owner = owner};
}

Result<Fd> find_netns(const NetnsId& id, const NetnsHint& hint) {
    if (!id.known()) return std::unexpected(Error{"the network namespace is not known", ESTALE});
    static thread_local WholeSearch last;
    auto netns = find_by_hint(id, hint);
    if (netns) last.reached(id.inode, now().mono);
    if (netns || last.misses(id.inode, now().mono)) return netns;
    Search search;
    auto found = find_by_process(id.inode, search);
    if (!found) found = find_bound(id.inode, search);
    if (found) return std::move(*found);
    auto why = not_found(id.inode, search);
    if (why.code == ESTALE) last.ended(std::move(search.others), now().mono);
    return std::unexpected(std::move(why));
}

Result<> for_each_netns(const std::function<Result<>(const Fd& netns)>& visit) {
    std::set<std::uint32_t> seen;
    std::optional<Error> first;
    int failed = 0;
    const auto fail = [&](const Error& error) {
        if (has_ended(error)) return;
        if (!first) first = error;
        ++failed;
    };
    const auto look = [&](std::uint32_t inode, const std::function<Result<Fd>()>& open) {
        if (seen.contains(inode)) return;
        const auto netns = open();
        if (!netns) return fail(netns.error());
        seen.insert(inode);
        if (const auto visited = visit(*netns); !visited) fail(visited.error());
    };
    const auto pids = numbered_entries("/proc");
    if (!pids) return std::unexpected(pids.error());
    for (const pid_t pid : *pids) {
        struct stat status{};
        if (::stat(path_of(pid).c_str(), &status) == 0) {
            const auto inode = static_cast<std::uint32_t>(status.st_ino);
            look(inode, [&] { return open_netns(path_of(pid), inode); });
        } else if (const int error = errno; !is_guarded(error)) {
            fail({fmt::format("{}: {}", path_of(pid), std::generic_category().message(error)), error});
        }
    }
    for (const MountView& view : mount_views("/proc")) {
        const auto mounts = read_file(view.mountinfo);
        if (!mounts) continue; // a mount namespace whose process ends, or is guarded
        for (const BoundNetns& bound : bound_namespaces(*mounts))
            look(bound.inode, [&] { return open_bound(view.root + bound.path, bound.inode); });
    }
    if (first) return with_context(*first, "{} of the network namespaces could not be read, the first", failed);
    return {};
}

Result<NetnsGuard> NetnsGuard::enter(const Fd& netns) {
    auto home = open_netns(own_path);
    if (!home) return std::unexpected(home.error());
    const auto from = inode_of(*home);
    const auto to = inode_of(netns);
    if (!from || !to) return std::unexpected(from ? to.error() : from.error());
    if (*from == *to) return NetnsGuard(Fd()); // also without the right to enter any
    if (::setns(netns.value(), CLONE_NEWNET) != 0) return system_failure(errno, "enter net:[{}]", *to);
    return NetnsGuard(std::move(*home));
}

Result<NetnsGuard> NetnsGuard::enter(const Fd& netns, const NetnsId& expected) {
    const auto inode = inode_of(netns);
    if (!inode) return std::unexpected(inode.error());
    if (*inode != expected.inode) return std::unexpected(Error{fmt::format("it is net:[{}] now", *inode), ESTALE});
    if (expected.cookie == 0) return no_identity(*inode);
    auto inside = enter(netns);
    if (!inside) return inside;
    const auto cookie = cookie_here();
    if (!cookie) return std::unexpected(cookie.error());
    if (*cookie == 0) return no_identity(*inode);
    if (*cookie == expected.cookie) return inside;
    return std::unexpected(Error{
        fmt::format("net:[{}] is another namespace now: its cookie is {}, not {}", *inode, *cookie, expected.cookie),
        ESTALE});
}

NetnsGuard::~NetnsGuard() {
    if (home_ && ::setns(home_.value(), CLONE_NEWNET) != 0) std::abort();
}

} // namespace bpftune::sys
