// SPDX-License-Identifier: Apache-2.0
// Network namespaces and processes for tests: made with random names, gone when the object is.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <functional>
#include <iterator>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include <csignal>
#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/fd.hpp"

namespace bpftune::testing {

// What a test cannot do without: throws, which fails the test.
inline void must(bool ok, const std::string& what) {
    if (!ok) throw std::runtime_error(fmt::format("{}: {}", what, std::generic_category().message(errno)));
}

inline void shell(const std::string& command) {
    if (std::system(command.c_str()) != 0) throw std::runtime_error("failed: " + command); // NOLINT(cert-env33-c)
}

inline std::string random_name(const std::string& prefix) {
    return fmt::format("{}{:08x}", prefix, std::random_device{}());
}

// How the names of all namespaces of this process begin: what a service of its own can be held to.
inline const std::string own_namespaces = random_name("bpftune-") + "-";

// A named network namespace (as `ip netns`) with loopback up and nobody in it.
class Namespace {
public:
    explicit Namespace(std::string name = random_name(own_namespaces)) : name_(std::move(name)) {
        shell("ip netns add " + name_);
        fd_ = sys::Fd(::open(("/run/netns/" + name_).c_str(), O_RDONLY | O_CLOEXEC));
        must(static_cast<bool>(fd_), "open namespace");
        shell("ip -n " + name_ + " link set lo up");
    }
    Namespace(const Namespace&) = delete;
    Namespace& operator=(const Namespace&) = delete;
    ~Namespace() { remove(); }

    // Before the object's end, for tests in which it vanishes. Safe to repeat.
    void remove() {
        if (!fd_) return;
        fd_.reset();
        [[maybe_unused]] const int status = std::system(("ip netns del " + name_ + " 2>/dev/null").c_str());
    }

    [[nodiscard]] const std::string& name() const { return name_; }
    [[nodiscard]] int fd() const { return fd_.value(); }
    [[nodiscard]] std::uint32_t inode() const {
        struct stat info{};
        must(::fstat(fd_.value(), &info) == 0, "stat namespace");
        return static_cast<std::uint32_t>(info.st_ino);
    }

    // The calling thread for good.
    void enter() const { must(::setns(fd_.value(), CLONE_NEWNET) == 0, "setns"); }

    // Runs `work` in this process by a thread that is inside: sockets it opens belong to the namespace.
    template <class Work> auto inside(Work work) const -> decltype(work()) {
        using Value = decltype(work());
        std::exception_ptr error;
        if constexpr (std::is_void_v<Value>) {
            std::thread([&] { guarded(error, [&] { work(); }); }).join();
            if (error) std::rethrow_exception(error);
        } else {
            Value value{};
            std::thread([&] { guarded(error, [&] { value = work(); }); }).join();
            if (error) std::rethrow_exception(error);
            return value;
        }
    }

    // "net/netstat" is the namespace's /proc/net/netstat, "sys/net/core/somaxconn" its sysctl.
    [[nodiscard]] std::string read(const std::string& path) const {
        return inside([&] {
            std::ifstream file(proc(path));
            must(file.good(), "open " + path);
            return std::string(std::istreambuf_iterator<char>(file), {});
        });
    }
    void write(const std::string& path, const std::string& text) const {
        inside([&] {
            std::ofstream file(proc(path));
            file << text << std::flush;
            must(file.good(), "write " + path);
        });
    }

private:
    static std::string proc(const std::string& path) {
        return (path.starts_with("net/") ? "/proc/thread-self/" : "/proc/") + path;
    }
    template <class Work> void guarded(std::exception_ptr& error, Work work) const {
        try {
            enter();
            work();
        } catch (...) {
            error = std::current_exception();
        }
    }

    std::string name_;
    sys::Fd fd_;
};

// A veth pair between two namespaces: 10.77.0.1/24 in `a`, 10.77.0.2/24 in `b`.
inline void connect(const Namespace& a, const Namespace& b) {
    // From within: 6.12 takes an eth0 of the namespace that asks for the one that is to be made.
    shell(fmt::format("ip -n {} link add eth0 type veth peer name eth0 netns {}", a.name(), b.name()));
    shell(fmt::format("ip -n {} addr add 10.77.0.1/24 dev eth0 && ip -n {} link set eth0 up", a.name(), a.name()));
    shell(fmt::format("ip -n {} addr add 10.77.0.2/24 dev eth0 && ip -n {} link set eth0 up", b.name(), b.name()));
}

// A process of its own that runs `work` and then stays until the object's end: `work` is done once the constructor
// returns. `work` may return a number (a port, a descriptor), which `value()` has.
class Process {
public:
    explicit Process(const std::function<std::uint64_t()>& work) {
        int ends[2];
        must(::pipe2(ends, O_CLOEXEC) == 0, "pipe");
        const sys::Fd reader(ends[0]);
        sys::Fd writer(ends[1]);
        pid_ = ::fork();
        must(pid_ >= 0, "fork");
        if (pid_ == 0) serve(writer.value(), work);
        writer.reset();
        if (::read(reader.value(), &value_, sizeof value_) != sizeof value_) {
            end();
            throw std::runtime_error("the child process failed");
        }
    }
    Process(const Namespace& netns, const std::function<std::uint64_t()>& work)
        : Process([&netns, &work] {
              netns.enter();
              return work();
          }) {}
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;
    ~Process() { end(); }

    [[nodiscard]] pid_t pid() const { return pid_; }
    [[nodiscard]] std::uint64_t value() const { return value_; }

    void end() {
        if (pid_ <= 0) return;
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
        pid_ = -1;
    }

private:
    [[noreturn]] static void serve(int writer, const std::function<std::uint64_t()>& work) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        try {
            const std::uint64_t value = work();
            if (::write(writer, &value, sizeof value) == sizeof value) {
                while (true) ::pause();
            }
        } catch (const std::exception& error) {
            fmt::print(stderr, "child process: {}\n", error.what());
        }
        ::_exit(1);
    }

    pid_t pid_ = -1;
    std::uint64_t value_ = 0;
};

} // namespace bpftune::testing
