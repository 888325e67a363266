// SPDX-License-Identifier: Apache-2.0
// A service that is attacked at its doors, and what others have of it meanwhile.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <thread>

#include <sys/resource.h>

#include "hostile/attacker.hpp"
#include "netns/service/fixtures.hpp"
#include "netns/service/http_client.hpp"
#include "service/api_client.hpp"
#include "sys/clock.hpp"

namespace bpftune::testing {

// Of these tests alone: times are asserted. A machine may stall, so there is a second try.
constexpr Nanoseconds soon = std::chrono::milliseconds(200);
constexpr Nanoseconds longest_between_ticks = std::chrono::seconds(2);

inline bool within_time(const std::function<bool()>& succeeds) {
    const auto once = [&] {
        const MonoTime begun = sys::now().mono;
        return succeeds() && sys::now().mono - begun <= soon;
    };
    return once() || once();
}

// A field of /proc/PID/status, in KiB.
inline std::uint64_t status_kib(pid_t pid, const std::string& field) {
    const std::string status = contents(fmt::format("/proc/{}/status", pid));
    const std::size_t at = status.find("\n" + field + ":");
    must(at != std::string::npos, "find " + field);
    return std::stoull(status.substr(at + field.size() + 2));
}

// CPU time of a line of /proc/PID/stat, or of a thread's, in seconds.
inline double cpu_time(const std::string& stat) {
    std::istringstream fields(stat.substr(stat.rfind(')') + 2));
    std::string skipped;
    for (int i = 0; i < 11; ++i) fields >> skipped; // state to cmajflt
    double user = 0;
    double system = 0;
    fields >> user >> system;
    return (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

// Of the thread of this name.
inline double cpu_of_thread(pid_t pid, const std::string& name) {
    for (const auto& task : fs::directory_iterator(fmt::format("/proc/{}/task", pid)))
        if (const std::string stat = contents(task.path() / "stat"); stat.contains("(" + name + ")"))
            return cpu_time(stat);
    throw std::runtime_error("no thread " + name);
}

struct Setting {
    std::string policy = policy_text("attacked", "mode: observe");
    Program::Before before = {};                    // what the service's process does before it becomes the program
    std::map<std::string, std::uint64_t> node = {}; // values of the node meanwhile: it is the only service then
};

class Attacked {
public:
    explicit Attacked(const Setting& setting = {}) : home_(setting.node.empty() ? Use::shared : Use::alone) {
        for (const auto& [path, value] : setting.node) node_.emplace_back(path, value);
        home_.set_policy(setting.policy);
        service_ =
            std::make_unique<Running>(home_, Service::Settings{.listen = "127.0.0.1:0", .before = setting.before});
        port_ = http_port(*service_);
    }

    [[nodiscard]] std::uint16_t port() const { return port_; }
    [[nodiscard]] std::string socket() const { return home_.socket(); }
    [[nodiscard]] pid_t pid() const { return service_->pid(); }
    [[nodiscard]] std::string state() const { return home_.state(); }
    [[nodiscard]] Json history() const { return home_.history(); }
    [[nodiscard]] Json shown() const { return home_.top(); }
    // One that has no labels.
    [[nodiscard]] std::uint64_t metric(const std::string& name) const {
        const std::string text = get(port_, "/metrics");
        const std::size_t at = text.find("\n" + name + " ");
        must(at != std::string::npos, "find " + name);
        return static_cast<std::uint64_t>(std::stod(text.substr(at + name.size() + 2)));
    }
    // User and system time of its two processes, in seconds.
    [[nodiscard]] double cpu() const {
        return cpu_time(contents(fmt::format("/proc/{}/stat", pid()))) +
               cpu_time(contents(fmt::format("/proc/{}/stat", writer_of(*service_))));
    }

    // For so long others are answered, and ticks go on.
    void answers(const Attacker& attacker, Nanoseconds time, const std::function<void()>& meanwhile = {}) {
        const MonoTime begun = sys::now().mono;
        MonoTime last_tick = begun;
        for (std::string tick; sys::now().mono - begun < time;) {
            CHECK(within_time([&] { return is_healthy(); }));
            std::string now;
            CHECK(within_time([&] { return !(now = tick_of(top())).empty(); }));
            if (now != std::exchange(tick, now)) last_tick = sys::now().mono;
            CHECK(sys::now().mono - last_tick <= longest_between_ticks);
            if (meanwhile) meanwhile();
            std::this_thread::sleep_for(std::chrono::milliseconds(200));
        }
        CHECK(attacker.goes_on());
    }

    // For three seconds others are answered, ticks go on, and an attack at the doors costs no more than it may. Then
    // the service ends when it is told to.
    void holds_out(const Attacker& attacker) {
        for (int i = 0; i < 5; ++i) (void)top(); // which takes memory, by how much there is on this node
        const MonoTime begun = sys::now().mono;
        const double cpu_before = cpu_of_thread(pid(), "http");
        const std::uint64_t memory_before = status_kib(pid(), "RssAnon");
        answers(attacker, std::chrono::seconds(3));
        const double seconds = Seconds(sys::now().mono - begun).count();
        CHECK(cpu_of_thread(pid(), "http") - cpu_before < 0.1 * seconds + 0.1); // and what it may take at one go
        CHECK(status_kib(pid(), "RssAnon") < memory_before + std::uint64_t{16} * 1024);
        ends_when_told();
    }

    void ends_when_told() {
        service_->signal(SIGTERM);
        CHECK(service_->wait() == 0);
        CHECK(service_->err().contains("stopped"));
    }

private:
    [[nodiscard]] bool is_healthy() const {
        const sys::Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        constexpr timeval too_long{.tv_sec = 1, .tv_usec = 0};
        ::setsockopt(socket.value(), SOL_SOCKET, SO_SNDTIMEO, &too_long, sizeof too_long); // connect()'s as well
        ::setsockopt(socket.value(), SOL_SOCKET, SO_RCVTIMEO, &too_long, sizeof too_long);
        if (connect_to(socket, "127.0.0.1", port_) != 0) return false;
        constexpr std::string_view request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
        (void)::send(socket.value(), request.data(), request.size(), MSG_NOSIGNAL);
        return answer_on(socket).starts_with("HTTP/1.1 200 ");
    }
    // Empty: no answer.
    [[nodiscard]] std::string top() const { return service::ask(home_.socket(), R"({"command": "top"})").value_or(""); }
    // When it was, as text.
    static std::string tick_of(const std::string& top) {
        const std::size_t at = top.find("\"time\":");
        return at == std::string::npos ? "" : top.substr(at, 40);
    }

    Home home_;
    std::list<NodeValue> node_;
    std::unique_ptr<Running> service_;
    std::uint16_t port_ = 0;
};

// Connections to the HTTP port, each made anew when it has ended.
class Connections {
public:
    // `takes`: how much it lets be sent at once, in bytes; 0: as much as others.
    Connections(std::uint16_t port, std::size_t count, int takes = 4096)
        : port_(port), takes_(takes), sockets_(count) {}

    // `act` is done to each, `is_new` when it is just connected; false: it has ended.
    void each(const std::function<bool(int socket, bool is_new)>& act) {
        for (sys::Fd& socket : sockets_) {
            const bool is_new = !socket;
            if (is_new) connect(socket);
            if (!act(socket.value(), is_new)) socket.reset();
        }
    }

private:
    void connect(sys::Fd& socket) const {
        socket = sys::Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (takes_ > 0) ::setsockopt(socket.value(), SOL_SOCKET, SO_RCVBUF, &takes_, sizeof takes_);
        must(connect_to(socket, "127.0.0.1", port_) == 0, "connect to the HTTP port");
        must(::fcntl(socket.value(), F_SETFL, O_NONBLOCK) == 0, "not wait");
    }

    std::uint16_t port_;
    int takes_;
    std::vector<sys::Fd> sockets_;
};

// Whether the other side is still there.
inline bool say(int socket, std::string_view text) {
    return ::send(socket, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT) >= 0 || errno == EAGAIN;
}
inline bool hear(int socket, std::size_t most) {
    std::string heard(most, '\0');
    const ssize_t size = ::recv(socket, heard.data(), heard.size(), MSG_DONTWAIT);
    return size > 0 || (size < 0 && errno == EAGAIN);
}

} // namespace bpftune::testing
