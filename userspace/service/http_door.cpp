// SPDX-License-Identifier: Apache-2.0
#include "service/http_door.hpp"

#include <cerrno>

#include <spdlog/spdlog.h>

namespace bpftune::service {
namespace {

constexpr Nanoseconds until_next_try = std::chrono::milliseconds(500);

} // namespace

Result<> HttpDoor::open(std::string_view address, MonoTime now) {
    auto resolved = ListenAddress::resolve(address);
    if (!resolved) return std::unexpected(resolved.error());
    address_ = std::move(*resolved);
    auto started = start();
    if (started) {
        spdlog::info("metrics on port {}", server_->port());
    } else if (started.error().code == EADDRINUSE) {
        spdlog::warn("no metrics are served, all else goes on, and each tick tries again: {}", *error_);
        next_try_ = now + until_next_try;
        return {};
    }
    return started;
}

void HttpDoor::keep_trying(MonoTime now) {
    if (!error_ || now < next_try_) return;
    next_try_ = now + until_next_try;
    if (start()) spdlog::info("metrics on port {}: its address was free at last", server_->port());
}

Result<> HttpDoor::start() {
    auto server = HttpServer::start(*address_);
    if (!server) {
        error_ = server.error().message;
        return std::unexpected(server.error());
    }
    server_ = std::move(*server);
    error_.reset();
    return {};
}

} // namespace bpftune::service
