// SPDX-License-Identifier: Apache-2.0
// The real program as a child process, and namespaces with listeners for it to look after.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <initializer_list>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "netns/actuators/fixtures.hpp"
#include "netns/probes/traffic.hpp"
#include "netns/rungs.hpp"
#include "paths.hpp"
#include "sys/files.hpp"

namespace bpftune::testing {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Words = std::vector<std::string>;

inline const std::string program_path = std::string(build_dir) + "/bpftune-k8s";

inline const std::string conntrack_max = "/proc/sys/net/netfilter/nf_conntrack_max";
inline const std::string conntrack_buckets = "/proc/sys/net/netfilter/nf_conntrack_buckets";

// Those limits of the node that traffic of other tests may fill: not raised but where a test names them, with a
// NodeValue. What a service raised stays where it is killed, as it is at each test's end.
inline std::string with_node_observed(std::string tunables) {
    for (const std::string name :
         {"net.netfilter.nf_conntrack_max", "net.netfilter.nf_conntrack_buckets", "net.core.netdev_max_backlog"})
        if (!tunables.contains(name + ":")) tunables += "    " + name + ": {mode: observe}\n";
    return tunables;
}

// Held to whom this entry of `pods` is about. `others`: the mode of all else.
inline std::string policy_text_for(const std::string& entry, const std::string& name, const std::string& spec,
                                   const std::string& tunables = {}, const std::string& others = "observe") {
    return "apiVersion: bpftune-k8s.io/v1alpha1\nkind: NodeTuningPolicy\nmetadata: {name: " + name + "}\nspec:\n  " +
           spec + "\n  pods: [" + entry + ", {match: {}, mode: " + others + "}]\n  tunables:\n" +
           with_node_observed(tunables);
}

// Held to the namespaces of these names: those of this process, and no other test's, lab's or service's.
inline std::string policy_text(const std::string& name, const std::string& spec, const std::string& tunables = {},
                               const std::string& netns = own_namespaces + "*") {
    return policy_text_for("{match: {netns: \"" + netns + "\"}}", name, spec, tunables);
}

inline std::string contents(const fs::path& path) { return take(sys::read_file(path)); }

inline void write_text(const fs::path& path, const std::string& text) {
    std::ofstream file(path, std::ios::trunc);
    file << text << std::flush;
    must(file.good(), "write " + path.string());
}

// The program, running with its output in files.
class Program {
public:
    using Before = std::function<void()>; // what the process does before it becomes the program

    Program(const Words& words, const fs::path& out, const fs::path& err, const Before& before = {},
            const std::string& path = program_path)
        : out_(out), err_(err) {
        const sys::Fd program(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
        must(static_cast<bool>(program), "open " + path);
        const sys::Fd out_file = create(out);
        const sys::Fd err_file = create(err);
        pid_ = ::fork();
        must(pid_ >= 0, "fork");
        if (pid_ == 0) execute(words, program.value(), out_file.value(), err_file.value(), before);
    }
    Program(const Program&) = delete;
    Program& operator=(const Program&) = delete;
    ~Program() {
        if (pid_ > 0) kill();
    }

    [[nodiscard]] pid_t pid() const { return pid_; }
    [[nodiscard]] std::string out() const { return contents(out_); }
    [[nodiscard]] std::string err() const { return contents(err_); }
    void signal(int number) const { must(::kill(pid_, number) == 0, "signal the program"); }

    // The exit status; minus the signal that ended it.
    int wait() {
        must(comes_true([this] { return ended(); }), "wait for the program's end");
        return status_;
    }
    void kill() {
        ::kill(pid_, SIGKILL);
        ::waitpid(std::exchange(pid_, -1), nullptr, 0);
    }
    bool ended() {
        int status = 0;
        if (pid_ < 0 || ::waitpid(pid_, &status, WNOHANG) != pid_) return pid_ < 0;
        pid_ = -1;
        status_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
        return true;
    }

private:
    static sys::Fd create(const fs::path& path) {
        sys::Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
        must(static_cast<bool>(file), "create " + path.string());
        return file;
    }
    // By descriptor: the folders above it may be closed to whom `before` makes of us.
    [[noreturn]] static void execute(const Words& words, int program, int out, int err, const Before& before) {
        if (::dup2(out, STDOUT_FILENO) < 0 || ::dup2(err, STDERR_FILENO) < 0) ::_exit(126);
        if (before) before();
        ::prctl(PR_SET_PDEATHSIG, SIGKILL); // a change of credentials clears it
        std::vector<char*> arguments{const_cast<char*>(program_path.c_str())};
        for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
        arguments.push_back(nullptr);
        ::fexecve(program, arguments.data(), environ);
        ::_exit(127);
    }

    fs::path out_;
    fs::path err_;
    pid_t pid_ = -1;
    int status_ = 0;
};

struct Ran {
    int status;
    std::string out;
    std::string err;
};

inline Ran run(const Words& words, const Program::Before& before = {}) {
    const TemporaryDirectory folder;
    Program program(words, folder / "out", folder / "err", before);
    const int status = program.wait();
    return {status, program.out(), program.err()};
}

inline bool mentions(const std::string& text, const std::string& part) {
    UNSCOPED_INFO(text);
    return text.find(part) != std::string::npos;
}

inline Json json_of(const Ran& ran) {
    INFO(ran.out << ran.err);
    REQUIRE(ran.status == 0);
    return Json::parse(ran.out);
}

// Where a service lives: its policy, its state, its socket. Several run at once, each held to its own test's namespaces
// (policy_text), and none beside the lab and the tests that change the host: the node's own values are one for all.
class Home {
public:
    explicit Home(Use use = Use::shared) : lock_(use) {}

    [[nodiscard]] fs::path operator/(const fs::path& name) const { return folder_ / name; }
    [[nodiscard]] fs::path policy() const { return folder_ / "policy.yaml"; }
    [[nodiscard]] std::string state() const { return folder_ / "state"; }
    [[nodiscard]] std::string socket() const { return folder_ / "api.sock"; }
    void set_policy(const std::string& text) const { write_text(policy(), text); }

    [[nodiscard]] Json top() const { return json_of(run({"top", "--once", "-o", "json", "--socket", socket()})); }
    [[nodiscard]] Json history() const { return json_of(run({"history", "-o", "json", "--state-dir", state()})); }
    [[nodiscard]] Ran restored(Words more = {}) const {
        more.insert(more.begin(), {"restore", "-o", "json", "--state-dir", state(), "--socket", socket()});
        return run(more);
    }
    [[nodiscard]] Json restore() const { return json_of(restored()); }

private:
    HostLock lock_;
    TemporaryDirectory folder_;
};

class Service : public Program {
public:
    struct Settings {
        // As by default. A shorter one would take a test that stalls between connect() and accept() for a slow server.
        std::string interval = "1s";
        std::string listen = "none";
        std::string policy = {}; // these three: other than the home's
        std::string state = {};
        std::string socket = {};
        Words more = {};
        Before before = {};
    };
    explicit Service(const Home& home) : Service(home, Settings{}) {}
    Service(const Home& home, const Settings& settings)
        : Program(words(home, settings), home / random_name("out-"), home / random_name("log-"), settings.before) {}

    void await_ready() {
        if (!says(" ready: mode ")) throw std::runtime_error("the service is not ready:\n" + err());
    }
    // Whether the log has this text, or comes to have it.
    [[nodiscard]] bool says(const std::string& text) {
        return comes_true([&] { return err().find(text) != std::string::npos || ended(); }) &&
               err().find(text) != std::string::npos;
    }

private:
    static Words words(const Home& home, const Settings& settings) {
        const auto either = [](const std::string& own, const std::string& of_home) {
            return own.empty() ? of_home : own;
        };
        const std::string policy = either(settings.policy, home.policy());
        Words words{"run",
                    "--policy",
                    policy,
                    "--state-dir",
                    either(settings.state, home.state()),
                    "--socket",
                    either(settings.socket, home.socket()),
                    "--interval",
                    settings.interval,
                    "--listen",
                    settings.listen};
        for (const std::string& rung : rung_words()) words.insert(words.end(), {"--rung", rung});
        words.insert(words.end(), settings.more.begin(), settings.more.end());
        return words;
    }
};

// Its second process.
inline pid_t writer_of(const Service& service) {
    return std::stoi(contents(fmt::format("/proc/{0}/task/{0}/children", service.pid())));
}

// A service that is ready.
struct Running : Service {
    explicit Running(const Home& home) : Running(home, Settings{}) {}
    Running(const Home& home, const Settings& settings) : Service(home, settings) { await_ready(); }
};

// A namespace with a process in it, as a pod's, and listeners that belong to the test itself: make all sites before the
// first listener, as a process inherits the sockets of the test.
struct Site {
    Namespace netns;
    Process resident{netns, [] { return std::uint64_t{0}; }};

    explicit Site(std::uint64_t somaxconn = 8) {
        netns.write("sys/net/core/somaxconn", std::to_string(somaxconn));
        netns.write("sys/net/ipv4/tcp_max_tw_buckets", "0"); // bursts without end never run out of ports
    }
    [[nodiscard]] sys::Fd listen(std::uint16_t port, int backlog = 1000) const {
        return netns.inside([&] { return listen_on("127.0.0.1", port, backlog); });
    }
    [[nodiscard]] std::vector<sys::Fd> connect(std::size_t count, std::uint16_t port) const {
        return netns.inside([&] { return clients(count, "127.0.0.1", port); });
    }
    // Many connections at once, accepted a moment later.
    void burst(const sys::Fd& listener, std::uint16_t port, std::size_t count = 40) const {
        const auto connected = connect(count, port);
        // Some kernels leave the handshakes to ksoftirqd where it waits for its turn already.
        static_cast<void>(await(listener, POLLIN, 1000));
        accept_all(listener);
    }
};

// The home of a service that sets the node's own values, or that wants the node to itself.
class LoneHome : public Home {
public:
    LoneHome() : Home(Use::alone) {}
};

// A value of the node itself, which is put back. Only with a LoneHome, which has the lock for it.
class NodeValue {
public:
    explicit NodeValue(std::string path) : path_(std::move(path)), original_(now()) {}
    NodeValue(std::string path, std::uint64_t value) : NodeValue(std::move(path)) {
        must(sys::write_file(path_, std::to_string(value)).has_value(), "set " + path_);
    }
    NodeValue(const NodeValue&) = delete;
    NodeValue& operator=(const NodeValue&) = delete;
    ~NodeValue() { static_cast<void>(sys::write_file(path_, std::to_string(original_))); }

    [[nodiscard]] std::uint64_t original() const { return original_; }
    [[nodiscard]] std::uint64_t now() const { return take(sys::read_number(path_)); }

private:
    std::string path_;
    std::uint64_t original_;
};

inline std::uint64_t limit_of(const sys::Fd& listener) { return take(sys::accept_queue(listener.value())).limit; }

// The row of the first object in `rows` for which every named field has this value; null: none.
inline Json row_where(const Json& rows, const Json& fields) {
    for (const Json& row : rows)
        if (std::ranges::all_of(fields.items(), [&](const auto& field) { return row[field.key()] == field.value(); }))
            return row;
    return nullptr;
}

inline Json listener_row(const Json& top, const Site& site, std::uint16_t port) {
    return row_where(top["listeners"], {{"netns", site.netns.inode()}, {"port", port}});
}

// Whether it sees arrivals, and with them calls of listen() and pressure before the first loss.
inline bool sees_arrivals(const Home& home) { return home.top()["sources"]["listen"] != "netlink"; }

// The newest change of this tunable in this namespace; null: none.
inline Json newest(const Json& changes, const Site& site, const std::string& tunable) {
    Json found;
    for (const Json& change : changes)
        if (change["tunable"] == tunable && change["scope"]["netns"] == site.netns.inode()) found = change;
    return found;
}

} // namespace bpftune::testing
