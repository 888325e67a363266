// SPDX-License-Identifier: Apache-2.0
// Asks a service that runs, over its socket (service/api.hpp).
#pragma once

#include <filesystem>
#include <string>

#include <sys/un.h>

#include "core/result.hpp"
#include "sys/fd.hpp"

namespace bpftune::service {

// The address of a socket at `path`, at most 107 bytes of it.
Result<sockaddr_un> address_of(const std::filesystem::path& path);

// Waits for each byte, and to be connected, 10 s at most.
Result<sys::Fd> connect_to_api(const std::filesystem::path& path);

// One request to a service: connects, sends `line`, returns the answer's line.
Result<std::string> ask(const std::filesystem::path& path, const std::string& line);

// The same, for an answer without end: the connection, to be read from.
Result<sys::Fd> begin_to_ask(const std::filesystem::path& path, const std::string& line);

// Whether an error of `ask` says that no service runs: its code is that of connect().
bool no_service(const Error& error);

} // namespace bpftune::service
