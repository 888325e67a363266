// SPDX-License-Identifier: Apache-2.0
#include "service/http.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <list>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#include "service/acceptor.hpp"
#include "service/cpu_share.hpp"
#include "service/http_connection.hpp"
#include "service/landing_page.hpp"
#include "sys/clock.hpp"
#include "sys/fd.hpp"

namespace bpftune::service {
namespace {

using Text = std::shared_ptr<const std::string>;
using Connections = std::list<HttpConnection>; // the oldest first

constexpr std::size_t most_asking = 64;
constexpr std::size_t most_answered = 16;
// Then those who ask have their turn: who has just connected may need a moment for its request, on a busy node.
constexpr std::size_t accepted_at_once = 16;
constexpr int most_waiting = 128; // until they are accepted
constexpr double cpu_share = 0.1;
constexpr Nanoseconds cpu_burst = std::chrono::milliseconds(50);
// Whose time has passed is let go of so soon after.
constexpr Nanoseconds longest_wait = std::chrono::seconds(1);
// Without a descriptor to spare, each connection has so long alone: it has to say its request, which may still come.
constexpr Nanoseconds time_alone = std::chrono::milliseconds(1);
// Until a call that failed for want of descriptors or memory is made again.
constexpr Nanoseconds until_next_try = std::chrono::milliseconds(100);

struct Published {
    std::string metrics;
    Health health;
    bool is_scraped = false; // the only one of these that changes, under the server's mutex
};

// `fault`: empty where all is good.
HttpResponse check_response(std::string_view fault, std::string_view good) {
    return fault.empty() ? text_response("200 OK", fmt::format("{}\n", good))
                         : text_response("503 Service Unavailable", fmt::format("{}\n", fault));
}

bool wait_for(std::vector<pollfd>& awaited, Nanoseconds longest) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(longest);
    const timespec timeout{.tv_sec = seconds.count(), .tv_nsec = (longest - seconds).count()};
    return ::ppoll(awaited.data(), awaited.size(), &timeout, nullptr) >= 0;
}

} // namespace

struct HttpServer::Server {
    Acceptor acceptor;
    sys::Fd wake; // an eventfd: look at `ends`
    Nanoseconds patience = default_patience;
    int port = 0;
    std::atomic<bool> ends = false;
    Connections asking; // the thread's own, as are the next
    Connections answered;
    MonoTime next_accept;
    Text page = std::make_shared<const std::string>(landing_page(BPFTUNE_VERSION));
    std::mutex mutex; // over what follows
    std::shared_ptr<Published> published = std::make_shared<Published>();
    std::thread thread;

    void run();
    void wait();
    void accept_all(MonoTime now);
    void end(Connections& connections, Connections::iterator connection);
    void end_one_answered();
    bool make_room(MonoTime now);
    void serve_all();
    void serve(Connections::iterator connection);
    void let_go(MonoTime now);
    void rest(Nanoseconds time);
    std::shared_ptr<const Published> now_published(bool scraped);
    HttpResponse respond(const HttpRequest& request);
};

void HttpServer::Server::run() {
    ::pthread_setname_np(::pthread_self(), "http");
    (void)::setpriority(PRIO_PROCESS, 0, 0); // of this thread: clients do not go ahead of others as the loop does
    CpuShare share(cpu_share, cpu_burst, sys::now().mono);
    while (!ends) {
        wait();
        const MonoTime now = sys::now().mono;
        serve_all(); // before another may take one's place
        if (now >= next_accept) accept_all(now);
        let_go(now);
        acceptor.keep_one();
        rest(share.rest(sys::thread_cpu_time(), sys::now().mono));
    }
}

void HttpServer::Server::wait() {
    const Nanoseconds until_accept = next_accept - sys::now().mono;
    const bool may_accept = until_accept <= Nanoseconds::zero();
    std::vector<pollfd> awaited{{.fd = wake.value(), .events = POLLIN, .revents = 0}};
    const auto await = [&](const sys::Fd& fd, short events) {
        awaited.push_back({.fd = fd.value(), .events = events, .revents = 0});
    };
    if (may_accept) await(acceptor.listener(), POLLIN);
    for (const HttpConnection& one : asking) await(one.socket(), POLLIN);
    for (const HttpConnection& one : answered) await(one.socket(), one.is_sending() ? POLLOUT : POLLIN);
    if (!wait_for(awaited, may_accept ? longest_wait : until_accept)) std::this_thread::sleep_for(until_next_try);
}

// Without a descriptor only one.
void HttpServer::Server::accept_all(MonoTime now) {
    for (std::size_t i = 0; i < accepted_at_once && (i == 0 || !acceptor.is_out_of_descriptors()); ++i) {
        sys::Fd socket = acceptor.accept();
        if (!socket) {
            const bool is_usual = Acceptor::nobody_waits(errno);
            if (!is_usual && !(acceptor.is_out_of_descriptors() && make_room(now))) next_accept = now + until_next_try;
            return;
        }
        if (asking.size() >= most_asking) end(asking, asking.begin());
        serve(asking.emplace(asking.end(), std::move(socket), now, now + patience));
    }
}

void HttpServer::Server::end(Connections& connections, Connections::iterator connection) {
    acceptor.end(connection->take_socket());
    connections.erase(connection);
}

// What is still being sent stays as long as possible: a scrape is not to be cut off by requests that are quick, nor by
// those that read nothing.
void HttpServer::Server::end_one_answered() {
    const auto sent = std::ranges::find_if_not(answered, &HttpConnection::is_sending);
    end(answered, sent != answered.end() ? sent : std::ranges::min_element(answered, {}, &HttpConnection::last_sent));
}

// Whether there was a connection to end for the next, or when there is one to end.
bool HttpServer::Server::make_room(MonoTime now) {
    if (!answered.empty())
        end_one_answered();
    else if (!asking.empty() && now >= asking.front().begun() + time_alone)
        end(asking, asking.begin());
    else if (!asking.empty())
        next_accept = asking.front().begun() + time_alone;
    else
        return false;
    return true;
}

void HttpServer::Server::serve_all() {
    for (HttpConnection& one : answered) one.go_on(sys::now().mono);
    for (auto next = asking.begin(); next != asking.end();) serve(next++);
}

void HttpServer::Server::serve(Connections::iterator connection) {
    if (!connection->receive()) return;
    if (const auto request = parse_http(connection->request()))
        connection->answer(respond(*request), request->with_body, sys::now().mono);
    else
        connection->answer(request.error(), true, sys::now().mono);
    if (answered.size() >= most_answered) end_one_answered();
    answered.splice(answered.end(), asking, connection);
}

void HttpServer::Server::let_go(MonoTime now) {
    for (Connections* connections : {&asking, &answered})
        for (auto next = connections->begin(); next != connections->end();)
            if (const auto one = next++; one->has_ended(now)) end(*connections, one);
}

void HttpServer::Server::rest(Nanoseconds time) {
    std::vector<pollfd> awaited{{.fd = wake.value(), .events = POLLIN, .revents = 0}};
    if (time > Nanoseconds::zero()) wait_for(awaited, std::min(time, longest_wait));
}

std::shared_ptr<const Published> HttpServer::Server::now_published(bool scraped) {
    const std::scoped_lock lock(mutex);
    published->is_scraped |= scraped;
    return published;
}

HttpResponse HttpServer::Server::respond(const HttpRequest& request) {
    const std::string_view path = request.path;
    if (path == "/") return {.body = page, .type = "text/html; charset=utf-8"};
    const bool asks_for_metrics = path == "/metrics";
    const auto known = now_published(asks_for_metrics && request.with_body);
    if (asks_for_metrics)
        return {.body = Text(known, &known->metrics), .type = "text/plain; version=0.0.4; charset=utf-8"};
    if (path == "/healthz") return check_response(known->health.fault(sys::now().mono), "ok");
    if (path == "/readyz") return check_response(known->health.why_not_ready(sys::now().mono), "ready");
    return text_response("404 Not Found", "/, /metrics, /healthz or /readyz\n");
}

Result<std::unique_ptr<HttpServer>> HttpServer::start(const ListenAddress& address, Nanoseconds patience) {
    auto listener = address.listen(most_waiting);
    if (!listener) return std::unexpected(listener.error());
    auto server = std::make_unique<Server>();
    server->port = port_of(*listener);
    server->patience = patience;
    server->acceptor = Acceptor(std::move(*listener));
    server->wake = sys::Fd(::eventfd(0, EFD_CLOEXEC));
    if (!server->wake) return system_failure(errno, "eventfd");
    try {
        server->thread = std::thread([&state = *server] { state.run(); });
    } catch (const std::system_error& error) {
        return system_failure(error.code().value(), "a thread for the HTTP port");
    }
    return std::unique_ptr<HttpServer>(new HttpServer(std::move(server)));
}

HttpServer::HttpServer(std::unique_ptr<Server> server) : server_(std::move(server)) {}

HttpServer::~HttpServer() {
    server_->ends = true;
    ::eventfd_write(server_->wake.value(), 1);
    server_->thread.join();
}

void HttpServer::publish(std::string metrics, Health health) {
    auto next = std::make_shared<Published>(std::move(metrics), std::move(health));
    const std::scoped_lock lock(server_->mutex);
    server_->published.swap(next); // the old one is freed when nobody waits for that
}

bool HttpServer::is_scraped() const {
    const std::scoped_lock lock(server_->mutex);
    return server_->published->is_scraped;
}

int HttpServer::port() const { return server_->port; }

} // namespace bpftune::service
