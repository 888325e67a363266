// SPDX-License-Identifier: Apache-2.0
// Where the HTTP port listens, as it is written: "127.0.0.1:9810", "[::1]:9810".
#pragma once

#include <string_view>

#include "core/result.hpp"
#include "sys/fd.hpp"

namespace bpftune::service {

// Whether it is written as one.
Result<> check_address(std::string_view text);

// A listening TCP socket that does not block, for `backlog` connections that wait. Port 0 takes a free one.
Result<sys::Fd> listen_at(std::string_view text, int backlog);

// 0 to 65535; -1: it has none.
int port_of(const sys::Fd& socket);

} // namespace bpftune::service
