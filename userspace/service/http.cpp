// SPDX-License-Identifier: Apache-2.0
#include "service/http.hpp"

#include <charconv>
#include <thread>

#include <httplib.h>

#include "core/text.hpp"
#include "sys/clock.hpp"

namespace bpftune::service {
namespace {

struct Address {
    std::string host;
    int port = 0;
};

Result<Address> parse_address(std::string_view text) {
    const std::size_t colon = text.rfind(':');
    const std::string_view digits = colon == std::string_view::npos ? std::string_view{} : text.substr(colon + 1);
    int port = -1;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    const bool whole = error == std::errc{} && end == digits.data() + digits.size();
    if (!whole || port < 0 || port > 65535)
        return failure("'{}' is no ADDRESS:PORT; write 127.0.0.1:9810, [::1]:9810 or none", printable(text));
    std::string_view host = text.substr(0, colon);
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    if (host.empty()) return failure("'{}' lacks an address; write 127.0.0.1:{}", printable(text), port);
    return Address{std::string(host), port};
}

} // namespace

Result<> check_address(std::string_view text) {
    const auto address = parse_address(text);
    if (!address) return std::unexpected(address.error());
    return {};
}

struct HttpServer::Server {
    httplib::Server http;
    std::thread thread;
    int port = 0;
    std::mutex mutex; // over what follows
    std::string metrics;
    MonoTime deadline;
    bool ready = false;
};

Result<std::unique_ptr<HttpServer>> HttpServer::start(std::string_view text) {
    const auto address = parse_address(text);
    if (!address) return std::unexpected(address.error());
    auto server = std::make_unique<Server>();
    Server& state = *server;
    // Scrapes are rare and small: one worker, short patience, no connection kept.
    state.http.new_task_queue = [] { return new httplib::ThreadPool(1); };
    state.http.set_keep_alive_max_count(1);
    // Not httplib's SO_REUSEPORT: two services would share one port, and each scrape would meet either.
    state.http.set_socket_options([](socket_t socket) {
        constexpr int yes = 1;
        ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    });
    state.http.set_read_timeout(2, 0);
    state.http.set_write_timeout(2, 0);
    state.http.set_payload_max_length(1024);
    state.http.Get("/metrics", [&state](const httplib::Request&, httplib::Response& response) {
        const std::scoped_lock lock(state.mutex);
        response.set_content(state.metrics, "text/plain; version=0.0.4; charset=utf-8");
    });
    state.http.Get("/healthz", [&state](const httplib::Request&, httplib::Response& response) {
        const std::scoped_lock lock(state.mutex);
        const bool alive = sys::now().mono <= state.deadline;
        response.status = alive ? 200 : 503;
        response.set_content(alive ? "ok\n" : "no tick for too long\n", "text/plain");
    });
    state.http.Get("/readyz", [&state](const httplib::Request&, httplib::Response& response) {
        const std::scoped_lock lock(state.mutex);
        response.status = state.ready ? 200 : 503;
        response.set_content(state.ready ? "ready\n" : "probes are being attached\n", "text/plain");
    });
    state.port = address->port == 0                                      ? state.http.bind_to_any_port(address->host)
                 : state.http.bind_to_port(address->host, address->port) ? address->port
                                                                         : -1;
    if (state.port < 0)
        return failure("cannot listen on {}: in use, or no address of this node; --listen chooses another", text);
    state.thread = std::thread([&state] { state.http.listen_after_bind(); });
    return std::unique_ptr<HttpServer>(new HttpServer(std::move(server)));
}

HttpServer::HttpServer(std::unique_ptr<Server> server) : server_(std::move(server)) {}

HttpServer::~HttpServer() {
    while (!server_->http.is_running())
        std::this_thread::sleep_for(std::chrono::milliseconds(1)); // an earlier stop() is lost
    server_->http.stop();
    server_->thread.join();
}

void HttpServer::publish(std::string metrics, MonoTime deadline) {
    const std::scoped_lock lock(server_->mutex);
    server_->metrics = std::move(metrics);
    server_->deadline = deadline;
}

void HttpServer::ready() {
    const std::scoped_lock lock(server_->mutex);
    server_->ready = true;
}

int HttpServer::port() const { return server_->port; }

} // namespace bpftune::service
