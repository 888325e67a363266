// SPDX-License-Identifier: Apache-2.0
// What /proc shows of a process to those alone who may ptrace it (CAP_SYS_PTRACE): which network namespace it is in,
// and which of its descriptors are sockets. By the same right its memory can be written. So the service, which would
// have that of its writer by it, does not keep it, and has the writer look; everybody else looks for himself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "core/result.hpp"

namespace bpftune::sys {

// What a link of /proc or a mount says of something without a path, "net:[4026531833]" or "socket:[48211]", where
// `kind` is "net" or "socket": its inode number. nullopt: it is something else.
std::optional<std::uint64_t> inode_in_link(std::string_view target, std::string_view kind);

// Where a link leads.
struct LinkTarget {
    std::uint64_t inode = 0; // of the namespace or socket; 0: it leads elsewhere, or `code` says why it was not read
    std::int32_t fd = -1;    // a descriptor's number
    std::int32_t code = 0;   // errno; ENOENT: there is no such process or descriptor

    [[nodiscard]] bool is_closed() const; // to us
    bool operator==(const LinkTarget&) const = default;
};

// Some sockets of a process.
struct OpenSockets {
    std::vector<LinkTarget> sockets; // ascending by descriptor
    std::optional<int> next;         // the descriptor to go on at; nullopt: there are no more
    std::size_t looked_at = 0;       // descriptors, whatever they are

    static constexpr std::size_t most = 64;            // sockets, and
    static constexpr std::size_t most_looked_at = 512; // descriptors: half a millisecond
};

// Each of these may be another process's by the time that it is asked, as numbers are used again (sys/process.hpp).

// The network namespaces of these processes, in their order: of the first thread of each.
std::vector<LinkTarget> namespaces_of(std::span<const pid_t> pids, const std::filesystem::path& proc = "/proc");

// Which sockets these descriptors of a process are, in their order. Takes CAP_DAC_READ_SEARCH as well, for another
// user's process, as does the next.
std::vector<LinkTarget> descriptors_of(pid_t pid, std::span<const int> fds,
                                       const std::filesystem::path& proc = "/proc");

// The first sockets that it has from descriptor `from` on. The error's code is errno: ENOENT or ESRCH where the process
// is gone, EACCES or EPERM where it is closed to us.
Result<OpenSockets> sockets_of(pid_t pid, int from, const std::filesystem::path& proc = "/proc");

// The three, by whoever has the rights. Error: nobody could look, which says nothing of any process.
struct ProcessLooks {
    std::function<Result<std::vector<LinkTarget>>(std::span<const pid_t> pids)> namespaces;
    std::function<Result<std::vector<LinkTarget>>(pid_t pid, std::span<const int> fds)> descriptors;
    std::function<Result<OpenSockets>(pid_t pid, int from)> sockets; // and as sockets_of()
};
ProcessLooks own_looks(const std::filesystem::path& proc = "/proc"); // with those of the caller

// Whether an error of ProcessLooks::sockets is the process's own: it is gone, or closed to whoever looks.
bool is_of_process(const Error& error);

} // namespace bpftune::sys
