// SPDX-License-Identifier: Apache-2.0
#include "service/api.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace bpftune::service {
namespace {

constexpr std::size_t most_clients = 32;
constexpr std::size_t longest_request = std::size_t{64} * 1024;
// What a follower may leave unread: minutes of a busy node.
constexpr std::size_t most_unread = std::size_t{16} << 20;
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
    if (!socket || server.clients_.size() >= most_clients) return 0;
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

// Reads what there is, answers whole lines, sends what goes. False: the client is done or misbehaves.
bool ApiServer::serve(Client& client, std::uint32_t events) {
    std::array<char, 4096> chunk{};
    while ((events & (EPOLLIN | EPOLLHUP)) != 0) {
        const ssize_t count = ::recv(client.socket.value(), chunk.data(), chunk.size(), 0);
        if (count < 0 && errno == EAGAIN) break;
        if (count <= 0) return false;
        if (!client.follows) client.in.append(chunk.data(), static_cast<std::size_t>(count));
        if (client.in.size() > longest_request) return false;
    }
    if (!flush(client)) return false;
    // One answer at a time: who does not read gets no more.
    for (std::size_t end = 0; client.out.empty() && (end = client.in.find('\n')) != std::string::npos;) {
        const Answer answer = handler_(client.in.substr(0, end));
        client.out = answer.line + "\n";
        client.in.erase(0, end + 1);
        if (answer.follow) client.in.clear();
        client.follows = answer.follow;
        if (!flush(client)) return false;
    }
    await(client);
    return !client.ends || !client.out.empty();
}

void ApiServer::await(const Client& client) {
    std::uint32_t wanted = client.out.empty() ? std::uint32_t{EPOLLIN} : std::uint32_t{EPOLLOUT};
    if (client.follows) wanted |= EPOLLIN; // to see it end
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
        if (count < 0) return system_failure(errno, "read from {}", path.string());
        if (count == 0) return failure("{}: the service closed the connection without an answer", path.string());
        answer.append(chunk.data(), static_cast<std::size_t>(count));
    }
    answer.pop_back();
    return answer;
}

} // namespace bpftune::service
