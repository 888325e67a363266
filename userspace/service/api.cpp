// SPDX-License-Identifier: Apache-2.0
#include "service/api.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/text.hpp"

namespace bpftune::service {
namespace {

constexpr std::size_t most_clients = 32;
constexpr std::size_t longest_request = std::size_t{64} * 1024;
// What a follower may leave unread: minutes of a busy node.
constexpr std::size_t most_unread = std::size_t{16} << 20;
// At most `most_clients` are accepted in it.
constexpr std::uint64_t accept_interval_us = 100'000;
constexpr timeval patience{.tv_sec = 10, .tv_usec = 0};

Result<sockaddr_un> address_of(const std::filesystem::path& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string text = path.string();
    if (text.empty() || text.size() >= sizeof(address.sun_path))
        return failure("'{}' is no path for a socket: at most {} bytes", text, sizeof(address.sun_path) - 1);
    std::memcpy(address.sun_path, text.data(), text.size());
    return address;
}

Result<sys::Fd> connect_to(const std::filesystem::path& path) {
    const auto address = address_of(path);
    if (!address) return std::unexpected(address.error());
    sys::Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket) return system_failure(errno, "socket");
    ::setsockopt(socket.value(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    ::setsockopt(socket.value(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (::connect(socket.value(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) != 0)
        return system_failure(errno, "connect to {}", path.string());
    return socket;
}

} // namespace

Result<std::unique_ptr<ApiServer>> ApiServer::start(sd_event* loop, const std::filesystem::path& path,
                                                    Handler handler) {
    const auto address = address_of(path);
    if (!address) return std::unexpected(address.error());
    std::error_code error;
    if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path(), error);
    if (error) return failure("create {}: {}", path.parent_path().string(), error.message());
    if (connect_to(path)) return failure("another service answers at {}", path.string());
    if (std::filesystem::is_socket(path, error)) std::filesystem::remove(path, error);

    sys::Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) return system_failure(errno, "socket");
    const mode_t before = ::umask(0117);
    const int bound = ::bind(socket.value(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address));
    const int code = errno;
    ::umask(before);
    if (bound != 0) return system_failure(code, "bind {}", path.string());
    if (::listen(socket.value(), most_clients) != 0) return system_failure(errno, "listen on {}", path.string());

    std::unique_ptr<ApiServer> server(new ApiServer(path, std::move(handler), std::move(socket)));
    const int added =
        sd_event_add_io(loop, &server->source_, server->socket_.value(), EPOLLIN, on_connection, server.get());
    if (added < 0) return system_failure(-added, "watch {}", path.string());
    sd_event_source_set_ratelimit(server->source_, accept_interval_us, most_clients);
    return server;
}

ApiServer::~ApiServer() {
    for (const Client& client : clients_) sd_event_source_disable_unref(client.source);
    sd_event_source_disable_unref(source_);
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
}

int ApiServer::on_connection(sd_event_source*, int fd, std::uint32_t, void* self) {
    auto& server = *static_cast<ApiServer*>(self);
    sys::Fd socket(::accept4(fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) return 0; // with no descriptor left it stays ready: the rate limit keeps that from being busy
    if (server.clients_.size() >= most_clients) {
        const std::string full = fmt::format("{{\"error\":\"{} clients are connected already\"}}\n", most_clients);
        (void)::send(socket.value(), full.data(), full.size(), MSG_NOSIGNAL);
        return 0;
    }
    Client& client = server.clients_.emplace_back();
    client.server = &server;
    client.socket = std::move(socket);
    if (sd_event_add_io(sd_event_source_get_event(server.source_), &client.source, client.socket.value(), EPOLLIN,
                        on_client, &client) < 0)
        server.clients_.pop_back();
    return 0;
}

int ApiServer::on_client(sd_event_source*, int, std::uint32_t events, void* data) {
    auto& client = *static_cast<Client*>(data);
    if (!client.server->serve(client, events)) client.server->drop(client);
    return 0;
}

// Reads what there is, answers a line, sends what goes. False: the client is done or gone.
bool ApiServer::serve(Client& client, std::uint32_t events) {
    if ((events & (EPOLLHUP | EPOLLERR)) != 0) return false;
    if ((events & EPOLLIN) != 0 && !receive(client)) return false;
    if (!flush(client)) return false;
    if (client.out.empty() && !client.follows) answer_next(client);
    if (!flush(client)) return false;
    await(client);
    const bool silent = client.half_closed && client.in.empty() && !client.follows;
    return !client.out.empty() || !(client.ends || silent);
}

// Not more in one turn than a request may have: others have theirs. False: the connection is broken.
bool ApiServer::receive(Client& client) {
    std::array<char, 4096> chunk{};
    for (std::size_t received = 0; received <= longest_request && client.in.size() <= longest_request;) {
        const ssize_t count = ::recv(client.socket.value(), chunk.data(), chunk.size(), 0);
        if (count < 0) return errno == EAGAIN || errno == EINTR;
        client.half_closed = count == 0;
        if (client.half_closed && !client.in.empty() && client.in.back() != '\n') client.in += '\n';
        if (client.half_closed) return true;
        received += static_cast<std::size_t>(count);
        if (!client.follows) client.in.append(chunk.data(), static_cast<std::size_t>(count));
    }
    return true;
}

// One answer in a turn: others have theirs, and who does not read gets no more.
void ApiServer::answer_next(Client& client) {
    const std::size_t end = client.in.find('\n');
    if (end == std::string::npos ? client.in.size() > longest_request : end > longest_request) {
        client.out = fmt::format("{{\"error\":\"a line has at most {} bytes\"}}\n", longest_request);
        client.in.clear();
        client.ends = true;
    } else if (end != std::string::npos) {
        const Answer answer = answer_to(client.in.substr(0, end));
        client.out = answer.line + "\n";
        client.in.erase(0, end + 1);
        if (answer.follow) client.in.clear();
        client.follows = answer.follow;
    }
}

// What one client asks for is not to end the service, whatever it is.
ApiServer::Answer ApiServer::answer_to(const std::string& line) const {
    try {
        return handler_(line);
    } catch (const std::exception& error) {
        spdlog::error("a request failed: {}", printable(error.what()));
        return {R"({"error":"the request failed, the service's log says why"})"};
    }
}

void ApiServer::await(const Client& client) {
    std::uint32_t wanted = 0;
    if (!client.out.empty() || client.in.find('\n') != std::string::npos) wanted |= EPOLLOUT;
    const bool listens = client.follows || (client.out.empty() && client.in.size() <= longest_request);
    if (listens && !client.half_closed) wanted |= EPOLLIN; // of a follower: to see it end
    sd_event_source_set_io_events(client.source, wanted);
}

bool ApiServer::has_followers() const { return std::ranges::any_of(clients_, &Client::follows); }

void ApiServer::publish(std::string_view line) {
    for (Client& client : clients_) {
        if (!client.follows || client.ends) continue;
        if (client.out.size() + line.size() < most_unread)
            client.out.append(line) += '\n';
        else
            leave(client);
        (void)flush(client); // one that is gone is dropped by its own event
        await(client);
    }
}

// The line that is being sent comes to its end: what was received stays whole lines.
void ApiServer::leave(Client& client) {
    client.out.resize(client.out.find('\n') + 1);
    client.out += "{\"error\":\"too much was left unread: nothing more is sent\"}\n";
    client.out.shrink_to_fit();
    client.ends = true;
}

bool ApiServer::flush(Client& client) {
    const ssize_t sent = ::send(client.socket.value(), client.out.data(), client.out.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return false;
    if (sent > 0) client.out.erase(0, static_cast<std::size_t>(sent));
    return true;
}

void ApiServer::drop(const Client& client) {
    sd_event_source_disable_unref(client.source);
    std::erase_if(clients_, [&](const Client& other) { return &other == &client; });
}

bool no_service(const Error& error) { return error.code == ENOENT || error.code == ECONNREFUSED; }

Result<sys::Fd> begin_to_ask(const std::filesystem::path& path, const std::string& line) {
    auto socket = connect_to(path);
    if (!socket) return socket;
    const std::string request = line + "\n";
    if (::send(socket->value(), request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size()))
        return system_failure(errno, "send to {}", path.string());
    return socket;
}

Result<std::string> ask(const std::filesystem::path& path, const std::string& line) {
    const auto socket = begin_to_ask(path, line);
    if (!socket) return std::unexpected(socket.error());
    std::string answer;
    std::array<char, 65536> chunk{};
    while (answer.empty() || answer.back() != '\n') {
        const ssize_t count = ::recv(socket->value(), chunk.data(), chunk.size(), 0);
        if (count < 0 && errno == EAGAIN)
            return failure("{}: the service gave no answer within {} s: it is stopped or very busy", path.string(),
                           patience.tv_sec);
        if (count < 0) return system_failure(errno, "read from {}", path.string());
        if (count == 0) return failure("{}: the service closed the connection without an answer", path.string());
        answer.append(chunk.data(), static_cast<std::size_t>(count));
    }
    answer.pop_back();
    return answer;
}

} // namespace bpftune::service
