// SPDX-License-Identifier: Apache-2.0
// A page at /, /metrics, /healthz and /readyz, on a thread of its own that sees only finished texts. Who connects may
// be any process of the node: whatever it does, others are answered, and no more is taken than this.
//
//   connections  64 that have not said all of their request, 16 that are answered, one request each; one more of
//                either ends the oldest of its kind, of those answered one that was sent all, else the
//                one that has taken nothing for longest
//   bytes        8 KiB of a request, 64 KiB after it. A text is held once for all who are sent it, and a published
//                one until the last of these is done: memory is at most 18 texts of /metrics and 1 MiB. The kernel
//                holds 160 KiB for a connection at most
//   time         5 s for all of a connection, however busy it is; 1/10 of one core, with 50 ms at one go
//   descriptors  one for a connection, and one that is kept for when there is no other: then one is answered after
//                the other, each with 1 ms to say its request
//
// Nobody can be kept from filling the accept queue. Whose connection gets in then is the kernel's choice.
//
// No library: the limits above are all that this server is, and those that Debian 12 has do not know them.
// docs/architecture.md says which were looked at.
#pragma once

#include <memory>
#include <string>

#include "core/result.hpp"
#include "core/time.hpp"
#include "service/health.hpp"
#include "service/listen_address.hpp"

namespace bpftune::service {

class HttpServer {
public:
    static constexpr Nanoseconds default_patience = std::chrono::seconds(5);

    // `patience`: until a connection is ended, whatever it does. Error: of the code EADDRINUSE where another socket has
    // the address.
    static Result<std::unique_ptr<HttpServer>> start(const ListenAddress& address,
                                                     Nanoseconds patience = default_patience);

    HttpServer(const HttpServer&) = delete;
    HttpServer& operator=(const HttpServer&) = delete;
    ~HttpServer(); // waits for no client

    // What /metrics says from now on, and /healthz and /readyz.
    void publish(std::string metrics, Health health);
    // Whether somebody was answered with what was published last as /metrics.
    [[nodiscard]] bool is_scraped() const;

    [[nodiscard]] int port() const;

private:
    struct Server;
    explicit HttpServer(std::unique_ptr<Server> server);
    std::unique_ptr<Server> server_;
};

} // namespace bpftune::service
