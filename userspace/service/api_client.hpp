// SPDX-License-Identifier: Apache-2.0
// Asks a service that runs, over its socket (service/api.hpp).
#pragma once

#include <filesystem>
#include <string>

#include <sys/un.h>

#include "core/result.hpp"
#include "core/time.hpp"
#include "sys/fd.hpp"

namespace bpftune::service {

// The address of a socket at `path`, at most 107 bytes of it.
Result<sockaddr_un> address_of(const std::filesystem::path& path);

inline constexpr Nanoseconds usual_patience = std::chrono::seconds(10);

// Waits to be connected, and later for each part of an answer, for so long at most.
Result<sys::Fd> connect_to_api(const std::filesystem::path& path, Nanoseconds patience = usual_patience);

// One request to a service: connects, sends `line`, returns the answer's line.
Result<std::string> ask(const std::filesystem::path& path, const std::string& line,
                        Nanoseconds patience = usual_patience);

// The same, for an answer without end: the connection, to be read from.
Result<sys::Fd> begin_to_ask(const std::filesystem::path& path, const std::string& line,
                             Nanoseconds patience = usual_patience);

// Whether an error of `ask` says that no service runs: its code is that of connect().
bool no_service(const Error& error);

} // namespace bpftune::service
