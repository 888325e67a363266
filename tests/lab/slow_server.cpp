// SPDX-License-Identifier: Apache-2.0
// A server that is too slow on purpose: it accepts so many connections a second and no more, answers and closes.

#include <array>
#include <cstdio>
#include <string>
#include <string_view>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

#include <CLI/CLI.hpp>

#include "core/result.hpp"
#include "sys/fd.hpp"

namespace {

using bpftune::Result;
using bpftune::system_failure;
using bpftune::sys::Fd;

constexpr std::int64_t nanoseconds_per_second = 1'000'000'000;

Result<Fd> listener(in_port_t port, int backlog) {
    Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd) return system_failure(errno, "socket");
    const int on = 1;
    setsockopt(fd.value(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_ANY);
    address.sin_port = htons(port);
    if (bind(fd.value(), reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0)
        return system_failure(errno, "bind to port {}", port);
    if (listen(fd.value(), backlog) < 0) return system_failure(errno, "listen");
    return fd;
}

// The request is read first: closing with bytes unread sends a reset instead of the reply.
void answer(int fd) {
    constexpr std::string_view reply = "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nslow\n";
    const timeval patience{.tv_sec = 0, .tv_usec = 100'000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    std::array<char, 4096> request{};
    if (recv(fd, request.data(), request.size(), 0) > 0) send(fd, reply.data(), reply.size(), MSG_NOSIGNAL);
}

[[noreturn]] void serve(const Fd& listening, std::int64_t per_second) {
    timespec next{};
    clock_gettime(CLOCK_MONOTONIC, &next);
    while (true) {
        const Fd client(accept4(listening.value(), nullptr, nullptr, SOCK_CLOEXEC));
        if (client) answer(client.value());
        // What was missed is not caught up: the rate is a ceiling at every moment.
        timespec now{};
        clock_gettime(CLOCK_MONOTONIC, &now);
        const auto total = [](const timespec& time) { return time.tv_sec * nanoseconds_per_second + time.tv_nsec; };
        const std::int64_t due = std::max(total(next) + nanoseconds_per_second / per_second, total(now));
        next = {.tv_sec = due / nanoseconds_per_second, .tv_nsec = due % nanoseconds_per_second};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, nullptr);
    }
}

} // namespace

int main(int argc, char** argv) {
    in_port_t port = 0;
    int backlog = SOMAXCONN;
    std::int64_t per_second = 100;
    std::string name;
    CLI::App app("An HTTP server that accepts a fixed number of connections a second; listens on all addresses");
    app.add_option("--port", port)->required();
    app.add_option("--backlog", backlog, "the argument of listen()");
    app.add_option("--accept-per-second", per_second)->check(CLI::Range(1, 1'000'000));
    app.add_option("--process-name", name, "any bytes; the kernel keeps the first 15");
    CLI11_PARSE(app, argc, argv);
    if (!name.empty()) prctl(PR_SET_NAME, name.c_str());
    const auto listening = listener(port, backlog);
    if (!listening) {
        fmt::print(stderr, "slow-server: {}\n", listening.error().message);
        return 1;
    }
    serve(*listening, per_second);
}
