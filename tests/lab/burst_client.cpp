// SPDX-License-Identifier: Apache-2.0
// An open-loop client: bursts of connections, each burst due at its own time whether or not the last one is done.
// Latency counts from the due time to the end of the reply, so a client that falls behind shows it instead of hiding
// it. Every connection ends as ok or as failed with a reason. With --skip-late, for a load that must stay steady,
// bursts whose time is long past are left out and counted: caught up all at once they would be one great burst. With
// --grow or --grow-total bursts become larger, each by the same factor.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "core/parse.hpp"
#include "core/result.hpp"
#include "core/time.hpp"
#include "sys/fd.hpp"

namespace {

using bpftune::failure;
using bpftune::MonoTime;
using bpftune::Nanoseconds;
using bpftune::Result;
using bpftune::system_failure;
using bpftune::sys::Fd;
using Json = nlohmann::ordered_json;

struct Options {
    sockaddr_in target{};
    std::size_t connections = 1500; // in each burst, or in the first
    std::size_t bursts = 20;
    double grow = 1;       // from one burst to the next
    double grow_total = 1; // of all connections so far, from one burst to the next; 1: by `grow`
    Nanoseconds every = std::chrono::milliseconds{250};
    Nanoseconds timeout = std::chrono::seconds{5}; // from the due time
    unsigned source_addresses = 0;                 // 0: the kernel chooses address and port
    pid_t counters_of = 0;                         // 0: none
    bool close_first = false;
    bool skip_late = false;
    std::size_t first_phase = 0; // bursts; 0: no phases
    bool per_burst = false;
};

enum Failure : std::size_t { timeout, reset, refused, no_port, other, failures };
constexpr std::array<const char*, failures> failure_names{"timeout", "reset", "refused", "no_port", "other"};

Failure failure_of(int error) {
    switch (error) {
    case ECONNRESET:
    case EPIPE: return reset;
    case ECONNREFUSED: return refused;
    case EADDRNOTAVAIL:
    case EADDRINUSE: return no_port;
    case ETIMEDOUT: return timeout;
    default: return other;
    }
}

struct Connection {
    Fd fd;
    enum { unopened, connecting, requested, done } state = unopened;
    std::string reply;
};

struct Burst {
    MonoTime due;
    std::size_t size = 0;  // connections
    std::size_t first = 0; // how many all earlier bursts have
    std::vector<Connection> connections;
    std::vector<double> latencies_ms; // of the ok ones
    std::array<std::size_t, failures> failed{};
    bool skipped = false;
    std::size_t finished = 0;
    MonoTime last_finished;
    Nanoseconds sent_after{}; // from the due time until the last connect() returned
};

MonoTime now() {
    return MonoTime{std::chrono::duration_cast<Nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())};
}

double milliseconds(Nanoseconds time) { return std::chrono::duration<double, std::milli>(time).count(); }

// ListenOverflows of the network namespace that process `pid` is in.
Result<std::uint64_t> listen_overflows(pid_t pid) {
    const std::string path = fmt::format("/proc/{}/net/netstat", pid);
    std::ifstream file(path);
    std::string names;
    std::string values;
    while (std::getline(file, names) && std::getline(file, values)) {
        std::istringstream name_words(names);
        std::istringstream value_words(values);
        std::string name;
        std::string value;
        while (name_words >> name && value_words >> value) {
            if (name == "ListenOverflows") return bpftune::parse_number(value);
        }
    }
    return failure("{}: no ListenOverflows", path);
}

// Where replies end without the server closing: headers, blank line, Content-Length bytes.
bool complete(std::string_view reply) {
    constexpr std::string_view length_header = "Content-Length: ";
    const std::size_t end = reply.find("\r\n\r\n");
    const std::size_t length = reply.find(length_header);
    if (end == std::string_view::npos || length > end) return false;
    const std::string_view rest = reply.substr(length + length_header.size());
    const auto expected = bpftune::parse_number(rest.substr(0, rest.find("\r\n")));
    return expected && reply.size() - end - 4 >= *expected;
}

bool is_ok(std::string_view reply) {
    return reply.starts_with("HTTP/1.") && reply.substr(0, reply.find("\r\n")).find(" 200") != std::string_view::npos;
}

class Client {
public:
    explicit Client(const Options& options) : options_(options) {}

    Result<> run();
    [[nodiscard]] std::vector<Json> report() const;

private:
    void size_bursts();
    Result<> prepare(std::size_t burst, std::size_t at_most);
    Result<> prepare_one(std::size_t burst, std::size_t index);
    Result<Fd> new_socket(std::size_t serial) const;
    void skip_late(MonoTime at);
    Result<> fire(std::size_t burst);
    Result<bool> handle_events(int timeout_ms);
    void handle(std::uint64_t place, std::uint32_t events); // place: burst << 32 | index
    void read_reply(Burst& burst, Connection& connection);
    void finish(Burst& burst, Connection& connection, std::optional<Failure> failure);
    void expire(MonoTime at);
    [[nodiscard]] int wait_ms() const;
    [[nodiscard]] bool all_done() const;
    Result<> sample_counters();
    [[nodiscard]] Json summary(const char* phase, std::size_t from, std::size_t to) const;

    Options options_;
    Fd epoll_;
    std::vector<Burst> bursts_;
    std::size_t next_ = 0;     // the burst that is due next
    std::size_t prepared_ = 0; // how many of its sockets are ready
    std::size_t oldest_ = 0;   // all before it have no open connection
    in_addr_t first_source_ = 0;
    std::vector<std::uint64_t> overflows_; // at the start, after the first phase, at the end
    std::string request_;
};

// The address that the route to `target` prefers: the first of the source addresses, in host order.
Result<in_addr_t> preferred_source(const sockaddr_in& target) {
    const Fd probe(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_in self{};
    socklen_t size = sizeof self;
    if (!probe || connect(probe.value(), reinterpret_cast<const sockaddr*>(&target), sizeof target) < 0 ||
        getsockname(probe.value(), reinterpret_cast<sockaddr*>(&self), &size) < 0)
        return system_failure(errno, "no route to the target");
    return ntohl(self.sin_addr.s_addr);
}

Result<> Client::run() {
    epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
    if (!epoll_) return system_failure(errno, "epoll_create1");
    const auto source = preferred_source(options_.target);
    if (!source) return std::unexpected(source.error());
    first_source_ = *source;
    request_ = fmt::format("GET / HTTP/1.1\r\nHost: lab\r\nConnection: {}\r\n\r\n",
                           options_.close_first ? "keep-alive" : "close");

    size_bursts();
    if (auto ready = prepare(0, bursts_[0].size); !ready) return ready;
    if (auto sampled = sample_counters(); !sampled) return sampled;
    const MonoTime start = now() + std::chrono::milliseconds{20};
    for (std::size_t i = 0; i < bursts_.size(); ++i) bursts_[i].due = start + options_.every * i;

    while (!all_done()) {
        const MonoTime at = now();
        expire(at);
        if (options_.skip_late) skip_late(at);
        if (next_ < bursts_.size() && at >= bursts_[next_].due) {
            if (next_ >= std::max<std::size_t>(options_.first_phase, 1) && overflows_.size() == 1) {
                if (auto sampled = sample_counters(); !sampled) return sampled;
            }
            if (auto sent = fire(next_); !sent) return sent;
            continue;
        }
        // Sockets are made while nothing else is to be done, so that a burst is connect() after connect().
        const bool preparing = next_ < bursts_.size() && prepared_ < bursts_[next_].size;
        const auto busy = handle_events(preparing ? 0 : wait_ms());
        if (!busy) return std::unexpected(busy.error());
        if (preparing && !*busy) {
            if (auto ready = prepare(next_, 16); !ready) return ready;
        }
    }
    return sample_counters();
}

Result<> Client::sample_counters() {
    if (options_.counters_of == 0) return {};
    const auto count = listen_overflows(options_.counters_of);
    if (!count) return std::unexpected(count.error());
    overflows_.push_back(*count);
    return {};
}

void Client::size_bursts() {
    const auto count = [](double connections) { return static_cast<std::size_t>(std::llround(connections)); };
    bursts_.resize(options_.bursts);
    auto each = static_cast<double>(options_.connections);
    double total = each;
    for (std::size_t i = 0, first = 0; i < bursts_.size(); ++i) {
        Burst& burst = bursts_[i];
        burst.first = first;
        burst.size = options_.grow_total > 1 ? count(total) - first : count(each);
        first += burst.size;
        each *= options_.grow;
        total *= options_.grow_total;
    }
}

Result<> Client::prepare(std::size_t burst, std::size_t at_most) {
    bursts_[burst].connections.resize(bursts_[burst].size);
    for (; at_most > 0 && prepared_ < bursts_[burst].size; --at_most, ++prepared_) {
        if (auto ready = prepare_one(burst, prepared_); !ready) return ready;
    }
    return {};
}

Result<> Client::prepare_one(std::size_t burst, std::size_t index) {
    auto socket = new_socket(bursts_[burst].first + index);
    if (!socket) return std::unexpected(socket.error());
    bursts_[burst].connections[index].fd = std::move(*socket);
    return {};
}

// With source addresses of its own every connection has a tuple of its own, so that neither ports nor TIME_WAIT entries
// of earlier bursts limit the client.
Result<Fd> Client::new_socket(std::size_t serial) const {
    constexpr std::size_t first_port = 10'000;
    constexpr std::size_t ports = 50'000;
    Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd && errno == EMFILE)
        return failure("out of descriptors after {} connections: raise the hard limit (ulimit -Hn)", serial);
    if (!fd) return system_failure(errno, "socket");
    if (options_.source_addresses == 0) return fd;

    sockaddr_in source{};
    source.sin_family = AF_INET;
    source.sin_addr.s_addr = htonl(first_source_ + static_cast<in_addr_t>(serial % options_.source_addresses));
    source.sin_port = htons(static_cast<in_port_t>(first_port + serial / options_.source_addresses % ports));
    const int on = 1;
    setsockopt(fd.value(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd.value(), reinterpret_cast<const sockaddr*>(&source), sizeof source) < 0)
        return system_failure(errno, "bind to source address {} of {}", serial % options_.source_addresses + 1,
                              options_.source_addresses);
    return fd;
}

void Client::skip_late(MonoTime at) {
    const std::size_t first = next_;
    for (; next_ < bursts_.size() && at > bursts_[next_].due + 2 * options_.every; ++next_) {
        bursts_[next_].skipped = true;
        bursts_[next_].finished = bursts_[next_].size;
    }
    if (next_ == first) return;
    // The sockets that were made for it serve the next one.
    auto sockets = std::exchange(bursts_[first].connections, {});
    if (next_ < bursts_.size()) bursts_[next_].connections = std::move(sockets);
}

Result<> Client::fire(std::size_t burst) {
    Burst& current = bursts_[burst];
    if (auto ready = prepare(burst, current.size); !ready) return ready;
    for (std::size_t i = 0; i < current.size; ++i) {
        Connection& connection = current.connections[i];
        const auto* target = reinterpret_cast<const sockaddr*>(&options_.target);
        connection.state = Connection::connecting;
        if (connect(connection.fd.value(), target, sizeof options_.target) < 0 && errno != EINPROGRESS) {
            finish(current, connection, failure_of(errno));
            continue;
        }
        epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLET, .data = {.u64 = burst << 32 | i}};
        if (epoll_ctl(epoll_.value(), EPOLL_CTL_ADD, connection.fd.value(), &event) < 0)
            return system_failure(errno, "epoll_ctl");
    }
    current.sent_after = now() - current.due;
    ++next_;
    prepared_ = 0;
    return {};
}

// Whole milliseconds, rounded down: the rest is spent polling, so that no burst starts late for want of resolution.
int Client::wait_ms() const {
    MonoTime until = bursts_[std::min(oldest_, bursts_.size() - 1)].due + options_.timeout;
    if (next_ < bursts_.size()) until = std::min(until, bursts_[next_].due);
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - now());
    return static_cast<int>(std::max<std::int64_t>(left.count(), 0));
}

// Whether anything happened.
Result<bool> Client::handle_events(int timeout_ms) {
    std::array<epoll_event, 512> events{};
    const int count = epoll_wait(epoll_.value(), events.data(), events.size(), timeout_ms);
    if (count < 0 && errno != EINTR) return system_failure(errno, "epoll_wait");
    for (int i = 0; i < count; ++i) handle(events[static_cast<std::size_t>(i)].data.u64, events[i].events);
    return count > 0;
}

void Client::handle(std::uint64_t place, std::uint32_t events) {
    Burst& burst = bursts_[place >> 32];
    Connection& connection = burst.connections[place & 0xffffffff];
    if (events & EPOLLERR) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(connection.fd.value(), SOL_SOCKET, SO_ERROR, &error, &size);
        return finish(burst, connection, failure_of(error));
    }
    if (connection.state == Connection::connecting && events & EPOLLOUT) {
        if (send(connection.fd.value(), request_.data(), request_.size(), MSG_NOSIGNAL) < 0)
            return finish(burst, connection, failure_of(errno));
        connection.state = Connection::requested;
    }
    if (events & EPOLLIN) read_reply(burst, connection);
}

void Client::read_reply(Burst& burst, Connection& connection) {
    std::array<char, 65536> buffer;
    while (true) {
        const ssize_t size = recv(connection.fd.value(), buffer.data(), buffer.size(), 0);
        if (size < 0 && errno == EAGAIN) return;
        if (size < 0) return finish(burst, connection, failure_of(errno));
        connection.reply.append(buffer.data(), static_cast<std::size_t>(size));
        if (size == 0 || (options_.close_first && complete(connection.reply)))
            return finish(burst, connection, is_ok(connection.reply) ? std::nullopt : std::optional(other));
    }
}

void Client::finish(Burst& burst, Connection& connection, std::optional<Failure> failure) {
    const MonoTime at = now();
    if (failure)
        ++burst.failed[*failure];
    else
        burst.latencies_ms.push_back(milliseconds(at - burst.due));
    ++burst.finished;
    burst.last_finished = at;
    connection.fd.reset();
    connection.state = Connection::done;
    connection.reply = {};
}

void Client::expire(MonoTime at) {
    for (std::size_t i = oldest_; i < next_ && at >= bursts_[i].due + options_.timeout; ++i) {
        for (Connection& connection : bursts_[i].connections) {
            if (connection.state != Connection::done) finish(bursts_[i], connection, timeout);
        }
    }
    while (oldest_ < next_ && bursts_[oldest_].finished == bursts_[oldest_].size) ++oldest_;
}

bool Client::all_done() const {
    return next_ == bursts_.size() && std::all_of(bursts_.begin() + static_cast<std::ptrdiff_t>(oldest_), bursts_.end(),
                                                  [](const Burst& burst) { return burst.finished == burst.size; });
}

// The nearest rank: the smallest value that at least `part` of the sorted values do not exceed.
Json quantile(const std::vector<double>& sorted, double part) {
    if (sorted.empty()) return nullptr;
    const auto rank = static_cast<std::size_t>(std::ceil(part * static_cast<double>(sorted.size())));
    return std::round(sorted[std::max<std::size_t>(rank, 1) - 1] * 1000) / 1000;
}

Json Client::summary(const char* phase, std::size_t from, std::size_t to) const {
    std::vector<double> latencies;
    std::array<std::size_t, failures> failed{};
    MonoTime end = bursts_[from].due;
    Nanoseconds sent_after{};
    std::size_t sent = 0;
    std::size_t skipped = 0;
    for (std::size_t i = from; i < to; ++i) {
        const Burst& burst = bursts_[i];
        sent += burst.size;
        if (burst.skipped) skipped += burst.size;
        latencies.insert(latencies.end(), burst.latencies_ms.begin(), burst.latencies_ms.end());
        for (std::size_t reason = 0; reason < failures; ++reason) failed[reason] += burst.failed[reason];
        end = std::max(end, burst.last_finished);
        sent_after = std::max(sent_after, burst.sent_after);
    }
    std::ranges::sort(latencies);
    sent -= skipped;
    Json errors;
    for (std::size_t reason = 0; reason < failures; ++reason) errors[failure_names[reason]] = failed[reason];
    return {{"phase", phase},
            {"sent", sent},
            {"skipped", skipped},
            {"ok", latencies.size()},
            {"failed", sent - latencies.size()},
            {"p50_ms", quantile(latencies, 0.50)},
            {"p99_ms", quantile(latencies, 0.99)},
            {"max_ms", quantile(latencies, 1.0)},
            {"seconds", std::round(milliseconds(end - bursts_[from].due)) / 1000},
            {"sent_within_ms", std::round(milliseconds(sent_after) * 1000) / 1000},
            {"errors", errors}};
}

// One object for the whole run, or with `first_phase` one for so many bursts, one for the rest and one for all.
std::vector<Json> Client::report() const {
    const std::size_t end = bursts_.size();
    std::vector<Json> lines;
    const std::size_t first = std::min(options_.first_phase, end);
    if (first > 0) lines.push_back(summary("first", 0, first));
    if (first > 0 && end > first) lines.push_back(summary("rest", first, end));
    lines.push_back(summary("all", 0, end));
    if (!overflows_.empty()) {
        if (first > 0) lines.front()["listen_overflows"] = overflows_[1] - overflows_[0];
        if (lines.size() == 3) lines[1]["listen_overflows"] = overflows_.back() - overflows_[1];
        lines.back()["listen_overflows"] = overflows_.back() - overflows_.front();
    }
    for (std::size_t i = 0; options_.per_burst && i < end; ++i) {
        if (bursts_[i].skipped) continue;
        Json burst = summary("burst", i, i + 1);
        lines.back()["bursts"].push_back({{"index", i},
                                          {"ok", burst["ok"]},
                                          {"failed", burst["failed"]},
                                          {"p99_ms", burst["p99_ms"]},
                                          {"sent_within_ms", burst["sent_within_ms"]}});
    }
    return lines;
}

Result<sockaddr_in> address(const std::string& text) {
    sockaddr_in result{};
    result.sin_family = AF_INET;
    const std::size_t colon = text.rfind(':');
    const auto port = bpftune::parse_number(colon == std::string::npos ? "" : text.substr(colon + 1));
    if (!port || *port == 0 || *port > 65535 ||
        inet_pton(AF_INET, text.substr(0, colon).c_str(), &result.sin_addr) != 1)
        return failure("'{}' is not ADDRESS:PORT (IPv4)", text);
    result.sin_port = htons(static_cast<in_port_t>(*port));
    return result;
}

void use_all_descriptors() {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

Result<> run(Options& options, const std::string& target, const std::string& every, const std::string& timeout) {
    const auto to = address(target);
    const auto period = bpftune::parse_duration(every);
    const auto patience = bpftune::parse_duration(timeout);
    if (!to) return std::unexpected(to.error());
    if (!period) return bpftune::with_context(period.error(), "--every");
    if (!patience) return bpftune::with_context(patience.error(), "--timeout");
    options.target = *to;
    options.every = *period;
    options.timeout = *patience;

    use_all_descriptors();
    Client client(options);
    if (auto done = client.run(); !done) return done;
    for (const Json& line : client.report()) std::puts(line.dump().c_str());
    return {};
}

} // namespace

int main(int argc, char** argv) {
    Options options;
    std::string target;
    std::string every = "250ms";
    std::string timeout = "5s";
    CLI::App app("Open-loop bursts of HTTP connections; one JSON object per line on stdout");
    app.add_option("--target", target, "ADDRESS:PORT of the server")->required();
    app.add_option("--connections", options.connections, "in each burst, or in the first of growing ones")
        ->check(CLI::Range(1, 1'000'000));
    app.add_option("--bursts", options.bursts)->check(CLI::Range(1, 1'000'000));
    auto* grow = app.add_option("--grow", options.grow, "each burst is so many times the one before");
    grow->check(CLI::Range(1.0, 100.0));
    app.add_option("--grow-total", options.grow_total, "with each burst, all connections so far are so many times more")
        ->check(CLI::Range(1.0, 100.0))
        ->excludes(grow);
    app.add_option("--every", every, "from one burst to the next");
    app.add_option("--timeout", timeout, "from the due time; a reply that takes longer has failed");
    app.add_option("--source-addresses", options.source_addresses,
                   "so many consecutive addresses, from the one that the route prefers; every connection gets an "
                   "address and port of its own (default: the kernel chooses)");
    app.add_option("--counters-of", options.counters_of, "report ListenOverflows of this process's network namespace");
    app.add_flag("--close-first", options.close_first, "close before the server does: TIME_WAIT stays on this side");
    app.add_flag("--skip-late", options.skip_late,
                 "leave out what is more than two intervals late; without it everything is sent, however late");
    app.add_option("--first-phase", options.first_phase, "one line each for so many bursts, the rest, and all");
    app.add_flag("--per-burst", options.per_burst, "add an array with a row for each burst");
    CLI11_PARSE(app, argc, argv);
    if (const auto done = run(options, target, every, timeout); !done) {
        fmt::print(stderr, "burst-client: {}\n", done.error().message);
        return 1;
    }
    return 0;
}
