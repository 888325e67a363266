// SPDX-License-Identifier: Apache-2.0
#include "measure/connects.hpp"

#include <algorithm>
#include <numeric>

#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>

#include "sys/clock.hpp"
#include "sys/fd.hpp"

namespace bpftune::measure {
namespace {

Failure failure_of(int error) {
    switch (error) {
    case ECONNREFUSED: return Failure::refused;
    case ETIMEDOUT: return Failure::timed_out;
    case EADDRNOTAVAIL:
    case EADDRINUSE: return Failure::no_port;
    case 0: // it was over before it was looked at
    case ECONNRESET:
    case EPIPE: return Failure::reset;
    case ENETUNREACH:
    case EHOSTUNREACH: return Failure::unreachable;
    default: return Failure::other;
    }
}

double milliseconds(Nanoseconds time) { return std::chrono::duration<double, std::milli>(time).count(); }

struct Connection {
    sys::Fd fd; // none: free
    bool connected = false;
    MonoTime begun;
    double connect_ms = 0;
    std::optional<Nanoseconds> round_trip;
};

int error_of(const sys::Fd& socket) {
    int error = 0;
    socklen_t size = sizeof error;
    return ::getsockopt(socket.value(), SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

std::optional<Nanoseconds> round_trip_of(const sys::Fd& socket) {
    constexpr std::uint32_t unknown = ~0U;
    tcp_info info{};
    socklen_t size = sizeof info;
    if (::getsockopt(socket.value(), IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return std::nullopt;
    if (info.tcpi_min_rtt == 0 || info.tcpi_min_rtt == unknown) return std::nullopt;
    // Of a SYN that was sent again the kernel goes by time stamps, in milliseconds (net/ipv4/tcp_input.c,
    // tcp_ack_update_rtt).
    if (info.tcpi_total_retrans > 0) return std::nullopt;
    return std::chrono::microseconds(info.tcpi_min_rtt);
}

// Whether the server has acknowledged our end of the connection, and so has one.
bool is_acknowledged(const sys::Fd& socket) {
    constexpr std::uint8_t fin_wait1 = 4; // TCP_FIN_WAIT1
    tcp_info info{};
    socklen_t size = sizeof info;
    return ::getsockopt(socket.value(), IPPROTO_TCP, TCP_INFO, &info, &size) == 0 && info.tcpi_state != fin_wait1;
}

class Connects {
public:
    Connects(const Address& address, const Plan& plan) : address_(address), plan_(plan), connections_(plan.at_once) {}

    Result<Results> run();

private:
    [[nodiscard]] bool may_begin(MonoTime at) const { return at < end_ && begun_ < plan_.most; }
    Result<> begin(Connection& connection);
    Result<> begin_due(MonoTime at);
    Result<> await(MonoTime until);
    void handle(Connection& connection, std::uint32_t events);
    void expire(MonoTime at);
    void connected(Connection& connection);
    void succeed(Connection& connection);
    void fail(Connection& connection, Failure failure);
    [[nodiscard]] MonoTime next_moment(MonoTime at) const;

    const Address& address_;
    const Plan& plan_;
    std::vector<Connection> connections_; // their number is how many there are at once
    sys::Fd epoll_;
    MonoTime end_;
    MonoTime due_; // when the next one may begin
    std::uint64_t begun_ = 0;
    std::size_t open_ = 0;
    Results results_;
};

Result<Results> Connects::run() {
    epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
    if (!epoll_) return system_failure(errno, "epoll_create1");
    due_ = sys::now().mono;
    end_ = due_ + plan_.length;
    while (true) {
        const MonoTime at = sys::now().mono;
        expire(at);
        if (auto begun = begin_due(at); !begun) return std::unexpected(begun.error());
        if (open_ == 0 && !may_begin(at)) return std::move(results_);
        if (auto awaited = await(next_moment(at)); !awaited) return std::unexpected(awaited.error());
    }
}

// What was missed is not caught up, but for some milliseconds: the rate is a ceiling.
Result<> Connects::begin_due(MonoTime at) {
    const Nanoseconds interval = Nanoseconds(std::chrono::seconds(1)) / plan_.per_second;
    due_ = std::max(due_, at - std::chrono::milliseconds(10));
    for (Connection& connection : connections_) {
        if (due_ > at || !may_begin(at)) break;
        if (connection.fd) continue;
        due_ += interval;
        if (auto begun = begin(connection); !begun) return begun;
    }
    return {};
}

Result<> Connects::begin(Connection& connection) {
    connection = Connection{};
    connection.fd.reset(::socket(address_.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!connection.fd && errno == EMFILE)
        return failure("out of descriptors with {} connections: raise the limit (ulimit -n), or --connections less",
                       open_);
    if (!connection.fd) return system_failure(errno, "socket");
    ++begun_;
    ++open_;
    connection.begun = sys::now().mono;
    if (::connect(connection.fd.value(), address_.get(), address_.size) < 0 && errno != EINPROGRESS) {
        fail(connection, failure_of(errno));
        return {};
    }
    epoll_event event{.events = EPOLLOUT | EPOLLRDHUP | EPOLLET,
                      .data = {.u64 = static_cast<std::uint64_t>(&connection - connections_.data())}};
    if (::epoll_ctl(epoll_.value(), EPOLL_CTL_ADD, connection.fd.value(), &event) < 0)
        return system_failure(errno, "epoll_ctl");
    return {};
}

MonoTime Connects::next_moment(MonoTime at) const {
    MonoTime next = at + patience;
    for (const Connection& connection : connections_)
        if (connection.fd) next = std::min(next, connection.begun + patience);
    if (open_ < connections_.size() && may_begin(at)) next = std::min(next, std::min(due_, end_));
    return next;
}

// By ppoll(): the moments are less than epoll's millisecond apart.
Result<> Connects::await(MonoTime until) {
    const Nanoseconds left = std::max(until - sys::now().mono, Nanoseconds::zero());
    const auto seconds = std::chrono::floor<std::chrono::seconds>(left);
    const timespec timeout{seconds.count(), (left - seconds).count()};
    pollfd waited{.fd = epoll_.value(), .events = POLLIN, .revents = 0};
    const int ready = ::ppoll(&waited, 1, &timeout, nullptr);
    if (ready < 0 && errno != EINTR) return system_failure(errno, "ppoll");
    if (ready <= 0) return {};
    std::array<epoll_event, 64> events{};
    const int count = ::epoll_wait(epoll_.value(), events.data(), events.size(), 0);
    for (int i = 0; i < count; ++i) handle(connections_[events[i].data.u64], events[i].events);
    return {};
}

void Connects::handle(Connection& connection, std::uint32_t events) {
    if (!connection.fd) return;
    const bool over = (events & (EPOLLERR | EPOLLHUP)) != 0;
    const int error = over ? error_of(connection.fd) : 0;
    if (error != 0 || (over && !connection.connected)) return fail(connection, failure_of(error));
    if (!connection.connected && (events & EPOLLOUT) != 0) connected(connection);
    if (!connection.connected) return;
    if (over || (events & EPOLLRDHUP) != 0 || is_acknowledged(connection.fd)) succeed(connection);
}

void Connects::connected(Connection& connection) {
    connection.connected = true;
    connection.connect_ms = milliseconds(sys::now().mono - connection.begun);
    connection.round_trip = round_trip_of(connection.fd);
    ::shutdown(connection.fd.value(), SHUT_WR);
}

void Connects::expire(MonoTime at) {
    for (Connection& connection : connections_) {
        if (!connection.fd || at < connection.begun + patience) continue;
        fail(connection, connection.connected ? Failure::unanswered : Failure::timed_out);
    }
}

void Connects::succeed(Connection& connection) {
    results_.connect_ms.push_back(connection.connect_ms);
    if (connection.round_trip) results_.round_trip_ms.push_back(milliseconds(*connection.round_trip));
    if (milliseconds(end_ - connection.begun) >= connection.connect_ms) ++results_.in_length;
    connection.fd.reset();
    --open_;
}

void Connects::fail(Connection& connection, Failure failure) {
    ++results_.failed[static_cast<std::size_t>(failure)];
    connection.fd.reset();
    --open_;
}

} // namespace

std::string_view to_string(Failure failure) {
    constexpr std::array<std::string_view, failures> names{"refused", "timed out",   "unanswered", "no port free",
                                                           "reset",   "unreachable", "other"};
    return names[static_cast<std::size_t>(failure)];
}

std::uint64_t Results::failed_count() const { return std::accumulate(failed.begin(), failed.end(), std::uint64_t{0}); }

std::optional<Failure> Results::most_frequent() const {
    if (failed_count() == 0) return std::nullopt;
    return static_cast<Failure>(std::ranges::max_element(failed) - failed.begin());
}

Result<Results> connects(const Address& address, const Plan& plan) { return Connects(address, plan).run(); }

} // namespace bpftune::measure
