// SPDX-License-Identifier: Apache-2.0
// Where the HTTP port listens, as it is written: "127.0.0.1:9810", "[::1]:9810".
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/result.hpp"
#include "sys/fd.hpp"

struct addrinfo;

namespace bpftune::service {

// Whether it is written as one.
Result<> check_address(std::string_view text);

class ListenAddress {
public:
    // Looks a name up, once: that may take long. Error: it is not written as one, or nobody has that name.
    static Result<ListenAddress> resolve(std::string_view text);

    // A listening TCP socket that does not block, for `backlog` connections that wait. Port 0 takes a free one. Error:
    // of the code EADDRINUSE where another socket has it.
    [[nodiscard]] Result<sys::Fd> listen(int backlog) const;

private:
    ListenAddress(std::string text, std::shared_ptr<const addrinfo> addresses)
        : text_(std::move(text)), addresses_(std::move(addresses)) {}

    std::string text_;
    std::shared_ptr<const addrinfo> addresses_; // a list of at least one
};

// 0 to 65535; -1: it has none.
int port_of(const sys::Fd& socket);

} // namespace bpftune::service
