// SPDX-License-Identifier: Apache-2.0
// A link with a delay between two network namespaces, and connections over it, for tests.
#pragma once

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>

#include "netns/lock.hpp"
#include "netns/namespace.hpp"
#include "netns/probes/traffic.hpp"
#include "paths.hpp"

namespace bpftune::testing {

// The lab's delay line between 10.78.0.1 in `a` and 10.78.0.2 in `b`. Of a thousand packets so many are lost, the same
// in each run.
class Delay {
public:
    Delay(const Namespace& a, const Namespace& b, std::chrono::milliseconds one_way, unsigned lost = 0,
          Use use = Use::shared)
        : long_way_(use) {
        std::vector<std::string> words{std::string(build_dir) + "/delay-line", a.name() + "=10.78.0.1",
                                       b.name() + "=10.78.0.2", "--delay", fmt::format("{}ms", one_way.count())};
        if (lost > 0) words.insert(words.end(), {"--loss", fmt::format("{}", lost / 1000.0), "--seed", "1"});
        start(words);
    }
    Delay(const Delay&) = delete;
    Delay& operator=(const Delay&) = delete;
    ~Delay() { end(); }

private:
    void start(std::vector<std::string>& words) {
        std::vector<char*> arguments;
        for (std::string& word : words) arguments.push_back(word.data());
        arguments.push_back(nullptr);
        int ends[2];
        must(::pipe2(ends, O_CLOEXEC) == 0, "pipe");
        const sys::Fd reader(ends[0]);
        sys::Fd writer(ends[1]);
        pid_ = ::fork();
        must(pid_ >= 0, "fork");
        if (pid_ == 0) {
            ::dup2(writer.value(), STDOUT_FILENO);
            ::execv(arguments[0], arguments.data());
            ::_exit(1);
        }
        writer.reset();
        char ready = 0; // the first byte of the line that says so
        if (::read(reader.value(), &ready, 1) == 1) return;
        end();
        throw std::runtime_error("no delay line");
    }
    void end() const {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }

    LongWay long_way_;
    pid_t pid_ = -1;
};

// How one side of a connection works: so many bytes, then a pause; 0: all that goes.
struct Pace {
    std::size_t bytes = 0;
    std::chrono::milliseconds pause{};
};

// A connection that carries data until its end: from the first namespace to the second, where somebody listens.
class Stream {
public:
    struct Options {
        const char* address = "10.78.0.2";
        Pace sender;
        Pace receiver;
        int rcvbuf = 0; // SO_RCVBUF; 0: not set
        int sndbuf = 0;
        bool chooses = true; // its congestion control; false: that is its namespace's
    };

    Stream(const Namespace& from, const Namespace& to, const Options& options) {
        const sys::Fd listener = to.inside([&] {
            sys::Fd made = listen_on(options.address, port, 16);
            if (options.rcvbuf != 0) set(made, SOL_SOCKET, SO_RCVBUF, options.rcvbuf);
            return made;
        });
        sender_ = from.inside([&] {
            sys::Fd made(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
            // Where it may: the default of this machine is another than of most.
            if (options.chooses) ::setsockopt(made.value(), IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
            if (options.sndbuf != 0) set(made, SOL_SOCKET, SO_SNDBUF, options.sndbuf);
            must(connect_to(made, options.address, port) == 0, "connect");
            return made;
        });
        receiver_ = accept_one(listener);
        set_patience(sender_, SO_SNDTIMEO);
        set_patience(receiver_, SO_RCVTIMEO);
        writer_ = std::jthread([this, pace = options.sender](const std::stop_token& stop) {
            work(stop, pace,
                 [this](char* bytes, std::size_t size) { return ::send(sender_.value(), bytes, size, MSG_NOSIGNAL); });
        });
        reader_ = std::jthread([this, pace = options.receiver](const std::stop_token& stop) {
            work(stop, pace,
                 [this](char* bytes, std::size_t size) { return ::recv(receiver_.value(), bytes, size, 0); });
        });
    }

    static void set(const sys::Fd& socket, int level, int option, int value) {
        must(::setsockopt(socket.value(), level, option, &value, sizeof value) == 0, "setsockopt");
    }

    static constexpr std::uint16_t port = 5201;

private:
    // So that its thread sees that it is to end.
    static void set_patience(const sys::Fd& socket, int option) {
        const timeval patience{.tv_sec = 0, .tv_usec = 100'000};
        must(::setsockopt(socket.value(), SOL_SOCKET, option, &patience, sizeof patience) == 0, "timeout");
    }
    template <class Move> static void work(const std::stop_token& stop, const Pace& pace, Move move) {
        std::vector<char> bytes(pace.bytes == 0 ? std::size_t{128} << 10 : pace.bytes);
        while (!stop.stop_requested()) {
            const ssize_t moved = move(bytes.data(), bytes.size());
            if (moved == 0 || (moved < 0 && errno != EAGAIN && errno != EINTR)) return;
            if (pace.pause.count() > 0) std::this_thread::sleep_for(pace.pause);
        }
    }

    sys::Fd sender_;
    sys::Fd receiver_;
    std::jthread writer_; // end before the sockets
    std::jthread reader_;
};

} // namespace bpftune::testing
