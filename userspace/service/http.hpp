// SPDX-License-Identifier: Apache-2.0
// A page at /, /metrics, /healthz and /readyz, on a thread of their own that sees only finished texts. Who may connect
// is no friend: 16 connections at once (one more ends the oldest), 8 KiB of a request, 5 s for all of it, one request
// each. An accept() that fails is tried again.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "core/result.hpp"
#include "core/time.hpp"

namespace bpftune::service {

// Whether it is written as one: "127.0.0.1:9810", "[::1]:9810".
Result<> check_address(std::string_view text);

class HttpServer {
public:
    // `address`: as check_address() has it; port 0 takes a free one.
    static Result<std::unique_ptr<HttpServer>> start(std::string_view address);

    HttpServer(const HttpServer&) = delete;
    HttpServer& operator=(const HttpServer&) = delete;
    ~HttpServer();

    // What /metrics says from now on; `deadline`: /healthz fails when nothing was published by then.
    void publish(std::string metrics, MonoTime deadline);
    // What /readyz says from now on; empty: it is ready.
    void unready(std::string why);

    [[nodiscard]] int port() const;

private:
    struct Server;
    explicit HttpServer(std::unique_ptr<Server> server);
    std::unique_ptr<Server> server_;
};

} // namespace bpftune::service
