// SPDX-License-Identifier: Apache-2.0
#include "sys/process_links.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <string_view>

#include <unistd.h>

#include "core/parse.hpp"
#include "sys/directory.hpp"

namespace bpftune::sys {
namespace {

namespace fs = std::filesystem;

bool is_denied(int code) { return code == EACCES || code == EPERM; }

fs::path folder_of(const fs::path& proc, pid_t pid) { return proc / std::to_string(pid); }

LinkTarget read_link(const fs::path& link, std::string_view kind, int fd = -1) {
    std::array<char, 64> text{};
    const ssize_t size = ::readlink(link.c_str(), text.data(), text.size());
    if (size < 0) return {.fd = fd, .code = errno};
    return {.inode = inode_in_link({text.data(), static_cast<std::size_t>(size)}, kind).value_or(0), .fd = fd};
}

LinkTarget read_descriptor(const fs::path& folder, int fd) {
    return read_link(folder / std::to_string(fd), "socket", fd);
}

} // namespace

std::optional<std::uint64_t> inode_in_link(std::string_view target, std::string_view kind) {
    constexpr std::string_view open = ":[";
    if (!target.starts_with(kind) || !target.ends_with(']')) return std::nullopt;
    target.remove_prefix(kind.size());
    target.remove_suffix(1);
    if (!target.starts_with(open)) return std::nullopt;
    const auto inode = parse_number(target.substr(open.size()));
    return inode ? std::optional(*inode) : std::nullopt;
}

bool LinkTarget::is_closed() const { return is_denied(code); }

bool is_of_process(const Error& error) { return error.code == ENOENT || error.code == ESRCH || is_denied(error.code); }

std::vector<LinkTarget> namespaces_of(std::span<const pid_t> pids, const fs::path& proc) {
    std::vector<LinkTarget> targets;
    targets.reserve(pids.size());
    for (const pid_t pid : pids) targets.push_back(read_link(folder_of(proc, pid) / "ns/net", "net"));
    return targets;
}

std::vector<LinkTarget> descriptors_of(pid_t pid, std::span<const int> fds, const fs::path& proc) {
    const fs::path folder = folder_of(proc, pid) / "fd";
    std::vector<LinkTarget> targets;
    targets.reserve(fds.size());
    for (const int fd : fds) targets.push_back(read_descriptor(folder, fd));
    return targets;
}

Result<OpenSockets> sockets_of(pid_t pid, int from, const fs::path& proc) {
    const fs::path folder = folder_of(proc, pid) / "fd";
    const auto fds = descriptors_from(folder, from, OpenSockets::most_looked_at);
    if (!fds) return std::unexpected(fds.error());
    OpenSockets found;
    for (const int fd : *fds) {
        if (found.sockets.size() == OpenSockets::most) {
            found.next = fd;
            return found;
        }
        const LinkTarget target = read_descriptor(folder, fd);
        if (target.inode != 0) found.sockets.push_back(target);
        ++found.looked_at;
    }
    if (fds->size() == OpenSockets::most_looked_at) found.next = fds->back() + 1;
    return found;
}

ProcessLooks own_looks(const fs::path& proc) {
    return {.namespaces = [proc](std::span<const pid_t> pids) { return namespaces_of(pids, proc); },
            .descriptors = [proc](pid_t pid, std::span<const int> fds) { return descriptors_of(pid, fds, proc); },
            .sockets = [proc](pid_t pid, int from) { return sockets_of(pid, from, proc); }};
}

} // namespace bpftune::sys
