// SPDX-License-Identifier: Apache-2.0
// The HTTP port of a service that does without it where somebody else has its address, as any process of the node can:
// it goes on to try.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.hpp"
#include "core/time.hpp"
#include "service/health.hpp"
#include "service/http.hpp"
#include "service/listen_address.hpp"

namespace bpftune::service {

class HttpDoor {
public:
    // `address`: as ListenAddress::resolve() has it. That another socket has it is no error, and logged.
    Result<> open(std::string_view address, MonoTime now);
    // To be called on each tick: tries again, twice a second at most. The log says when it is had.
    void keep_trying(MonoTime now);

    [[nodiscard]] bool is_open() const { return server_ != nullptr; }
    // Why it is not, though it is wanted.
    [[nodiscard]] const std::optional<std::string>& error() const { return error_; }
    // Where it is open.
    void publish(std::string metrics, const Health& health) { server_->publish(std::move(metrics), health); }
    // What was published last, as /metrics.
    [[nodiscard]] bool is_scraped() const { return is_open() && server_->is_scraped(); }

private:
    Result<> start();

    std::optional<ListenAddress> address_;
    std::unique_ptr<HttpServer> server_;
    std::optional<std::string> error_;
    MonoTime next_try_;
};

} // namespace bpftune::service
