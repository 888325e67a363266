// SPDX-License-Identifier: Apache-2.0
#include "service/api.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>

#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/text.hpp"
#include "service/api_client.hpp"
#include "sys/clock.hpp"

namespace bpftune::service {
namespace {

constexpr std::size_t most_clients = 32;
constexpr std::size_t most_followers = 4;
constexpr std::size_t longest_request = std::size_t{64} * 1024;
// What all followers together may leave unread: minutes of a busy node.
constexpr std::size_t most_unread = std::size_t{16} << 20;
// A client that asks nothing for so long, or does not read what it was answered, is let go of.
constexpr Nanoseconds patience = std::chrono::seconds(10);
constexpr std::uint64_t look_interval_us = 1'000'000;
// So many are accepted in such a time, at most: one that fails, or is followed by the next at once, keeps nobody from
// their turn.
constexpr std::uint64_t accept_interval_us = 10'000;
constexpr unsigned most_accepted = 10;

constexpr std::string_view too_late = "{\"error\":\"nothing was asked for 10 s\"}\n";
constexpr std::string_view made_room =
    "{\"error\":\"32 clients are connected, and this one asked nothing for longest\"}\n";

} // namespace

Result<std::unique_ptr<ApiServer>> ApiServer::start(sd_event* loop, const std::filesystem::path& path,
                                                    Handler handler) {
    const auto address = address_of(path);
    if (!address) return std::unexpected(address.error());
    std::error_code error;
    if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path(), error);
    if (error) return failure("create {}: {}", path.parent_path().string(), error.message());
    if (connect_to_api(path)) return failure("another service answers at {}", path.string());
    if (std::filesystem::is_socket(path, error)) std::filesystem::remove(path, error);

    sys::Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) return system_failure(errno, "socket");
    const mode_t before = ::umask(0117);
    const int bound = ::bind(socket.value(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address));
    const int code = errno;
    ::umask(before);
    if (bound != 0) return system_failure(code, "bind {}", path.string());
    if (::listen(socket.value(), int{most_clients}) != 0) return system_failure(errno, "listen on {}", path.string());

    std::unique_ptr<ApiServer> server(new ApiServer(path, std::move(handler), std::move(socket)));
    if (auto watched = server->watch(loop); !watched) return std::unexpected(watched.error());
    return server;
}

Result<> ApiServer::watch(sd_event* loop) {
    int error = sd_event_add_io(loop, &source_, acceptor_.listener().value(), EPOLLIN, on_connection, this);
    if (error >= 0)
        error = sd_event_add_time_relative(loop, &timer_, CLOCK_MONOTONIC, look_interval_us, 0, on_time, this);
    if (error < 0) return system_failure(-error, "watch {}", path_.string());
    sd_event_source_set_ratelimit(source_, accept_interval_us, most_accepted);
    sd_event_source_set_priority(timer_, SD_EVENT_PRIORITY_NORMAL + 1); // what was sent in time is read before
    sd_event_source_set_enabled(timer_, SD_EVENT_OFF);
    return {};
}

ApiServer::~ApiServer() {
    for (const Client& client : clients_) sd_event_source_disable_unref(client.source);
    sd_event_source_disable_unref(source_);
    sd_event_source_disable_unref(timer_);
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
}

int ApiServer::on_connection(sd_event_source*, int, std::uint32_t, void* self) {
    static_cast<ApiServer*>(self)->accept();
    return 0;
}

void ApiServer::accept() {
    sys::Fd socket = acceptor_.accept();
    if (!socket) {
        if (!Acceptor::nobody_waits(errno) && acceptor_.is_out_of_descriptors()) (void)make_room();
        return; // while it fails it stays ready: the rate limit keeps that from being busy
    }
    if (clients_.size() >= most_clients) (void)make_room();
    Client& client = clients_.emplace_back();
    client.server = this;
    client.socket = std::move(socket);
    client.deadline = sys::now().mono + patience;
    if (sd_event_add_io(sd_event_source_get_event(source_), &client.source, client.socket.value(), EPOLLIN, on_client,
                        &client) < 0)
        return drop(client);
    if (sd_event_source_get_enabled(timer_, nullptr) == 0) look_later();
}

void ApiServer::look_later() {
    sd_event_source_set_time_relative(timer_, look_interval_us);
    sd_event_source_set_enabled(timer_, SD_EVENT_ONESHOT);
}

int ApiServer::on_time(sd_event_source*, std::uint64_t, void* self) {
    static_cast<ApiServer*>(self)->let_go_of_late();
    return 0;
}

void ApiServer::let_go_of_late() {
    const MonoTime now = sys::now().mono;
    const auto is_late = [&](const Client& client) { return !client.follows && now >= client.deadline; };
    for (auto next = clients_.begin(); next != clients_.end();)
        if (Client& client = *next++; is_late(client)) dismiss(client, too_late);
    acceptor_.keep_one();
    if (!clients_.empty()) look_later();
}

// Whether there was one: who follows stays, and of the others who reads its answer as long as there is another.
bool ApiServer::make_room() {
    const auto asks_nothing = [](const Client& client) { return !client.follows && client.out.empty(); };
    auto found = std::ranges::find_if(clients_, asks_nothing);
    if (found == clients_.end()) found = std::ranges::find(clients_, false, &Client::follows);
    if (found == clients_.end()) return false;
    dismiss(*found, made_room);
    return true;
}

// It is told why, if it is not in the middle of an answer.
void ApiServer::dismiss(Client& client, std::string_view why) {
    if (client.out.empty()) (void)::send(client.socket.value(), why.data(), why.size(), MSG_NOSIGNAL);
    drop(client);
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
    std::size_t received = 0;
    while (received <= longest_request && client.in.size() <= longest_request) {
        const ssize_t count = ::recv(client.socket.value(), chunk.data(), chunk.size(), 0);
        if (count < 0) return errno == EAGAIN || errno == EINTR;
        client.half_closed = count == 0;
        if (client.half_closed && !client.in.empty() && client.in.back() != '\n') client.in += '\n';
        if (client.half_closed) return true;
        received += static_cast<std::size_t>(count);
        if (!client.follows) client.in.append(chunk.data(), static_cast<std::size_t>(count));
    }
    return !client.follows || received <= longest_request; // who follows has nothing to say
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
        client.in.erase(0, end + 1);
        client.deadline = sys::now().mono + patience;
        if (answer.follow) return follow(client, answer.line);
        client.out = answer.line + "\n";
        move_to_end(client);
    }
}

void ApiServer::follow(Client& client, const std::string& line) {
    client.follows = followers() < most_followers;
    client.ends = !client.follows;
    client.in.clear();
    client.out =
        client.follows ? line + "\n" : fmt::format("{{\"error\":\"{} clients follow already\"}}\n", most_followers);
}

void ApiServer::move_to_end(const Client& client) {
    const auto at = std::ranges::find_if(clients_, [&](const Client& other) { return &other == &client; });
    clients_.splice(clients_.end(), clients_, at);
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

std::size_t ApiServer::followers() const {
    return static_cast<std::size_t>(std::ranges::count(clients_, true, &Client::follows));
}

void ApiServer::publish(std::string_view line) {
    const std::size_t share = most_unread / std::max<std::size_t>(1, followers());
    for (Client& client : clients_) {
        if (!client.follows || client.ends) continue;
        if (client.out.empty() ||
            client.out.size() + line.size() < share) // whoever has read all gets one, however long
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

void ApiServer::drop(Client& client) {
    sd_event_source_disable_unref(client.source);
    acceptor_.end(std::move(client.socket));
    std::erase_if(clients_, [&](const Client& other) { return &other == &client; });
}

} // namespace bpftune::service
