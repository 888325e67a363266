// SPDX-License-Identifier: Apache-2.0
#include "service/http.hpp"

#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <list>
#include <thread>
#include <vector>

#include <arpa/inet.h>
#include <netdb.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "core/text.hpp"
#include "service/landing_page.hpp"
#include "sys/clock.hpp"
#include "sys/fd.hpp"

namespace bpftune::service {
namespace {

constexpr std::size_t most_connections = 16;
constexpr std::size_t longest_request = std::size_t{8} * 1024;
constexpr Nanoseconds patience = std::chrono::seconds(5);
// Until a call that failed for want of descriptors or memory is made again.
constexpr auto until_next_try = std::chrono::milliseconds(100);

struct Address {
    std::string host;
    int port = 0;
};

bool is_ipv6(std::string_view text) {
    in6_addr address{};
    text = text.substr(0, text.find('%')); // fe80::1%eth0
    return ::inet_pton(AF_INET6, std::string(text).c_str(), &address) == 1;
}

Result<Address> parse_address(std::string_view text) {
    const std::size_t colon = text.rfind(':');
    const std::string_view digits = colon == std::string_view::npos ? std::string_view{} : text.substr(colon + 1);
    int port = -1;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    const bool whole = error == std::errc{} && end == digits.data() + digits.size();
    std::string_view host = text.substr(0, whole ? colon : 0);
    const bool in_brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
    if (in_brackets) host = host.substr(1, host.size() - 2);
    const bool is_host = in_brackets ? is_ipv6(host) : host.find_first_of(":[]") == std::string_view::npos;
    if (!whole || port < 0 || port > 65535 || !is_host)
        return failure("'{}' is no ADDRESS:PORT; write 127.0.0.1:9810, [::1]:9810 or none", printable(text));
    if (host.empty()) return failure("'{}' lacks an address; write 127.0.0.1:{}", printable(text), port);
    return Address{std::string(host), port};
}

struct FreeAddresses {
    void operator()(addrinfo* addresses) const { ::freeaddrinfo(addresses); }
};

// SO_REUSEADDR, so that a restart need not wait; not SO_REUSEPORT: two services would share one port, and each scrape
// would meet either.
sys::Fd listen_on(const addrinfo& address) {
    sys::Fd socket(::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    constexpr int yes = 1;
    constexpr int no = 0;
    ::setsockopt(socket.value(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (address.ai_family == AF_INET6) ::setsockopt(socket.value(), IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    const bool listens = ::bind(socket.value(), address.ai_addr, address.ai_addrlen) == 0 &&
                         ::listen(socket.value(), 4 * int{most_connections}) == 0;
    return listens ? std::move(socket) : sys::Fd();
}

sys::Fd listen_on(const Address& address) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* resolved = nullptr;
    if (::getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &resolved) != 0) return {};
    const std::unique_ptr<addrinfo, FreeAddresses> addresses(resolved);
    for (const addrinfo* one = resolved; one != nullptr; one = one->ai_next)
        if (sys::Fd socket = listen_on(*one)) return socket;
    return {};
}

int port_of(const sys::Fd& socket) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (::getsockname(socket.value(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return -1;
    const bool six = address.ss_family == AF_INET6; // both have the port in one place
    return ntohs(six ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                     : reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

struct Response {
    std::string_view status = "200 OK";
    std::string body;
    std::string_view type = "text/plain";
};

std::string to_text(const Response& response, bool with_body) {
    return fmt::format("HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
                       response.status, response.type, response.body.size(), with_body ? response.body : "");
}

// Whether all header lines are there; what follows them is of no interest.
bool is_whole(std::string_view request) {
    return request.find("\r\n\r\n") != std::string_view::npos || request.find("\n\n") != std::string_view::npos;
}

struct Connection {
    sys::Fd socket;
    MonoTime deadline;
    std::string in;
    std::string out;
    bool answered = false; // what more is read is of no interest
    bool ended = false;

    // While nothing is to be written. Whether anything was read.
    bool read() {
        std::array<char, 4096> chunk{};
        const ssize_t size = ::recv(socket.value(), chunk.data(), chunk.size(), 0);
        ended = size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR);
        if (size > 0 && !answered) in.append(chunk.data(), static_cast<std::size_t>(size));
        return size > 0;
    }
    // The other side closes first, or is given up: to close with something unread would reset what was sent.
    void write() {
        const ssize_t sent = ::send(socket.value(), out.data(), out.size(), MSG_NOSIGNAL);
        ended = sent < 0 && errno != EAGAIN && errno != EINTR;
        if (sent > 0) out.erase(0, static_cast<std::size_t>(sent));
        if (out.empty()) ::shutdown(socket.value(), SHUT_WR);
    }
};

} // namespace

Result<> check_address(std::string_view text) {
    const auto address = parse_address(text);
    if (!address) return std::unexpected(address.error());
    return {};
}

struct HttpServer::Server {
    sys::Fd listener;
    sys::Fd wake; // an eventfd: look at `ends`
    int port = 0;
    std::atomic<bool> ends = false;
    std::list<Connection> connections; // the oldest first; the thread's own, as is the next
    MonoTime next_accept;
    std::mutex mutex; // over what follows
    std::string metrics;
    MonoTime deadline;
    std::string unready = "probes are being attached";
    std::thread thread;

    void run();
    void wait();
    void accept_all(MonoTime now);
    void serve(Connection& connection);
    Response respond(std::string_view path);
    std::string answer(std::string_view request);
};

void HttpServer::Server::run() {
    while (!ends) {
        wait();
        const MonoTime now = sys::now().mono;
        if (now >= next_accept) accept_all(now);
        for (Connection& connection : connections) serve(connection);
        std::erase_if(connections, [&](const Connection& one) { return one.ended || now >= one.deadline; });
    }
}

// Until something can be done; a second at most, in which whose time has passed is let go of.
void HttpServer::Server::wait() {
    std::vector<pollfd> awaited{{.fd = wake.value(), .events = POLLIN, .revents = 0}};
    const bool may_accept = sys::now().mono >= next_accept;
    if (may_accept) awaited.push_back({.fd = listener.value(), .events = POLLIN, .revents = 0});
    for (const Connection& one : connections)
        awaited.push_back(
            {.fd = one.socket.value(), .events = one.out.empty() ? short{POLLIN} : short{POLLOUT}, .revents = 0});
    const int longest = may_accept ? 1000 : static_cast<int>(until_next_try.count());
    if (::poll(awaited.data(), awaited.size(), longest) < 0) std::this_thread::sleep_for(until_next_try);
}

// Each is served at once, before one more can take its place.
void HttpServer::Server::accept_all(MonoTime now) {
    for (std::size_t i = 0; i < most_connections; ++i) {
        sys::Fd socket(::accept4(listener.value(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (!socket) {
            const bool is_usual = errno == EAGAIN || errno == EINTR || errno == ECONNABORTED;
            if (!is_usual) next_accept = now + until_next_try;
            return;
        }
        if (connections.size() >= most_connections) connections.pop_front();
        connections.push_back({.socket = std::move(socket), .deadline = now + patience, .in = {}, .out = {}});
        serve(connections.back());
    }
}

void HttpServer::Server::serve(Connection& connection) {
    const bool has_read = connection.out.empty() && connection.read();
    if (has_read && !connection.answered && (is_whole(connection.in) || connection.in.size() > longest_request)) {
        connection.out = answer(connection.in);
        connection.answered = true;
    }
    if (!connection.out.empty() && !connection.ended) connection.write();
}

std::string HttpServer::Server::answer(std::string_view request) {
    if (!is_whole(request) || request.size() > longest_request)
        return to_text({.status = "431 Request Header Fields Too Large", .body = "too long\n"}, true);
    const std::string_view line = request.substr(0, request.find_first_of("\r\n"));
    const std::size_t method_end = line.find(' ');
    const std::size_t target_end = line.rfind(' ');
    if (target_end == std::string_view::npos || target_end == method_end ||
        !line.substr(target_end).starts_with(" HTTP/1."))
        return to_text({.status = "400 Bad Request", .body = "no request of HTTP/1.1\n"}, true);
    const std::string_view method = line.substr(0, method_end);
    if (method != "GET" && method != "HEAD")
        return to_text({.status = "405 Method Not Allowed\r\nAllow: GET, HEAD", .body = "GET or HEAD\n"}, true);
    const std::string_view target = line.substr(method_end + 1, target_end - method_end - 1);
    return to_text(respond(target.substr(0, target.find('?'))), method == "GET");
}

Response HttpServer::Server::respond(std::string_view path) {
    const std::scoped_lock lock(mutex);
    if (path == "/metrics") return {.body = metrics, .type = "text/plain; version=0.0.4; charset=utf-8"};
    if (path == "/") return {.body = landing_page(BPFTUNE_VERSION), .type = "text/html; charset=utf-8"};
    if (path == "/healthz") {
        if (sys::now().mono <= deadline) return {.body = "ok\n"};
        return {.status = "503 Service Unavailable", .body = "no tick for too long\n"};
    }
    if (path == "/readyz") {
        if (unready.empty()) return {.body = "ready\n"};
        return {.status = "503 Service Unavailable", .body = unready + "\n"};
    }
    return {.status = "404 Not Found", .body = "/, /metrics, /healthz or /readyz\n"};
}

Result<std::unique_ptr<HttpServer>> HttpServer::start(std::string_view text) {
    const auto address = parse_address(text);
    if (!address) return std::unexpected(address.error());
    auto server = std::make_unique<Server>();
    server->listener = listen_on(*address);
    if (!server->listener)
        return failure("cannot listen on {}: in use, or no address of this node; --listen chooses another",
                       printable(text));
    server->port = port_of(server->listener);
    server->wake = sys::Fd(::eventfd(0, EFD_CLOEXEC));
    if (!server->wake) return system_failure(errno, "eventfd");
    server->thread = std::thread([&state = *server] { state.run(); });
    return std::unique_ptr<HttpServer>(new HttpServer(std::move(server)));
}

HttpServer::HttpServer(std::unique_ptr<Server> server) : server_(std::move(server)) {}

HttpServer::~HttpServer() {
    server_->ends = true;
    ::eventfd_write(server_->wake.value(), 1);
    server_->thread.join();
}

void HttpServer::publish(std::string metrics, MonoTime deadline) {
    const std::scoped_lock lock(server_->mutex);
    server_->metrics = std::move(metrics);
    server_->deadline = deadline;
}

void HttpServer::unready(std::string why) {
    const std::scoped_lock lock(server_->mutex);
    server_->unready = std::move(why);
}

int HttpServer::port() const { return server_->port; }

} // namespace bpftune::service
