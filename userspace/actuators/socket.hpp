// SPDX-License-Identifier: Apache-2.0
// A socket of another process: fetched as a duplicate, and proven to be the one that a scope names.
#pragma once

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <expected>
#include <utility>

#include <fmt/format.h>

#include "core/change.hpp"
#include "core/result.hpp"
#include "core/time.hpp"
#include "sys/fd.hpp"

namespace bpftune::actuators {

// All bounds of what takes the time of a request: of a search for the descriptor, and of one look at all sockets of the
// namespace. A request takes one of each at most.
inline constexpr Nanoseconds longest_search = std::chrono::milliseconds(250);
inline constexpr Nanoseconds longest_look = std::chrono::milliseconds(100);

template <class... Args> std::unexpected<Error> gone(fmt::format_string<Args...> format, Args&&... args) {
    return std::unexpected(Error{fmt::format(format, std::forward<Args>(args)...), ESTALE});
}

// Whether the kernel lists a socket of its kind with this cookie, in the namespace that the thread is in.
using IsListed = Result<bool> (*)(std::uint64_t cookie, MonoTime deadline);

// Error codes: ESTALE: it is closed; EBUSY: it is still there, but no process shows a descriptor of it, by which it
// could be fetched: not now.
Result<sys::Fd> fetch_socket(const Scope& scope, IsListed is_listed);

} // namespace bpftune::actuators
