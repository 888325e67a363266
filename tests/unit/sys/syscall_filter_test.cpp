// SPDX-License-Identifier: Apache-2.0
#include "sys/syscall_filter.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>
#include <sched.h>
#include <seccomp.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/fd.hpp"
#include "sys/syscall_lists.hpp"

using namespace bpftune;
using sys::SyscallFilter;

namespace {

#ifdef __has_feature
constexpr bool is_restricted = !__has_feature(address_sanitizer); // a build with that never is
#else
constexpr bool is_restricted = true;
#endif

// The status; minus the signal that ended it.
int end_of(pid_t child) {
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

// How a child ends that restricts itself and then does this.
int restricted(const SyscallFilter& filter, const std::function<bool()>& holds) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child > 0) return end_of(child);
    ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); // it leaves no core
    if (!sys::restrict_syscalls(filter)) ::_exit(2);
    ::_exit(holds() ? 0 : 1);
}

bool is_refused(long result) { return result < 0 && errno == EPERM; }

// It is in no list, and anybody may call it.
bool is_getsid_refused() { return is_refused(::getsid(0)); }

bool makes_a_socket(int family) { return static_cast<bool>(sys::Fd(::socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0))); }

} // namespace

TEST_CASE("a system call is allowed, allowed in some cases or fatal, and listed once") {
    for (const SyscallFilter& filter : {sys::service_syscalls(), sys::writer_syscalls()}) {
        std::set<std::string> in_some_cases;
        for (const auto& each : filter.allowed_if) in_some_cases.insert(each.name);
        std::vector<std::string> names(in_some_cases.begin(), in_some_cases.end());
        names.insert(names.end(), filter.allowed.begin(), filter.allowed.end());
        names.insert(names.end(), filter.fatal.begin(), filter.fatal.end());
        std::ranges::sort(names);
        const auto twice = std::ranges::adjacent_find(names);
        CHECK((twice == names.end() ? "none" : *twice) == "none");
    }
}

TEST_CASE("libseccomp knows the name of each system call that is listed") {
    std::vector<std::string> unknown;
    const auto look = [&](const char* name) {
        if (::seccomp_syscall_resolve_name(name) == __NR_SCMP_ERROR) unknown.emplace_back(name);
    };
    for (const SyscallFilter& filter : {sys::service_syscalls(), sys::writer_syscalls()}) {
        std::ranges::for_each(filter.allowed, look);
        std::ranges::for_each(filter.allowed_if, look, &sys::ConditionalSyscall::name);
        std::ranges::for_each(filter.fatal, look);
    }
    CHECK(unknown == std::vector<std::string>{});
}

TEST_CASE("a call that this processor or libseccomp does not have is left out, and the others are held to") {
    if (!is_restricted) return;
    SyscallFilter filter = sys::service_syscalls();
    for (const char* name : {"set_tls", "a_call_of_the_future"}) { // that of 32-bit ARM
        REQUIRE(::seccomp_syscall_resolve_name(name) < 0);
        filter.allowed.push_back(name);
        filter.fatal.push_back(name);
        filter.allowed_if.push_back({name, 0, 1, 1});
    }
    CHECK(restricted(filter, is_getsid_refused) == 0);
}

TEST_CASE("of each call that arm64 does not have, the one that it has in its place is listed as well") {
    const std::map<std::string, std::string> in_its_place{
        {"access", "faccessat"},    {"chmod", "fchmodat"},  {"dup2", "dup3"},      {"epoll_wait", "epoll_pwait"},
        {"lstat", "newfstatat"},    {"mkdir", "mkdirat"},   {"open", "openat"},    {"poll", "ppoll"},
        {"readlink", "readlinkat"}, {"rename", "renameat"}, {"rmdir", "unlinkat"}, {"stat", "newfstatat"},
        {"time", "clock_gettime"},  {"unlink", "unlinkat"},
    };
    const auto is_of_arm64 = [](const std::string& name) {
        return ::seccomp_syscall_resolve_name_arch(SCMP_ARCH_AARCH64, name.c_str()) >= 0;
    };
    for (const SyscallFilter& filter : {sys::service_syscalls(), sys::writer_syscalls()}) {
        const std::set<std::string> allowed(filter.allowed.begin(), filter.allowed.end());
        for (const std::string& name : allowed) {
            if (is_of_arm64(name)) continue;
            INFO(name);
            REQUIRE(in_its_place.contains(name));
            CHECK(is_of_arm64(in_its_place.at(name)));
            CHECK(allowed.contains(in_its_place.at(name)));
        }
        for (const sys::ConditionalSyscall& call : filter.allowed_if) CHECK(is_of_arm64(call.name));
    }
}

TEST_CASE("what only an intruder calls kills the process") {
    if (!is_restricted) return;
    for (const SyscallFilter& filter : {sys::service_syscalls(), sys::writer_syscalls()})
        for (const char* name : filter.fatal) {
            const int number = ::seccomp_syscall_resolve_name(name);
            if (number < 0) continue; // another processor's
            INFO(name);
            CHECK(restricted(filter, [&] { return ::syscall(number, 0, 0, 0, 0, 0, 0) != 0; }) == -SIGSYS);
        }
}

TEST_CASE("what the other process alone needs is refused, and ends nobody") {
    if (!is_restricted) return;
    CHECK(restricted(sys::service_syscalls(), [] {
              return is_refused(::setns(STDERR_FILENO, CLONE_NEWNET)) && is_refused(::unshare(CLONE_NEWNET)) &&
                     is_refused(::syscall(SYS_pidfd_getfd, STDERR_FILENO, STDERR_FILENO, 0)) &&
                     is_refused(::syscall(SYS_fsopen, "sysfs", 0));
          }) == 0);
    CHECK(restricted(sys::writer_syscalls(), [] {
              return is_refused(::setns(STDERR_FILENO, CLONE_NEWNS)) && is_refused(::setns(STDERR_FILENO, 0)) &&
                     is_refused(::unlink("/nothing")) && is_refused(::epoll_create1(0)) &&
                     is_refused(::mount("none", "/nothing", "proc", 0, nullptr));
          }) == 0);
}

TEST_CASE("what is in no list is refused, in threads of before as well") {
    if (!is_restricted) return;
    for (const SyscallFilter& filter : {sys::service_syscalls(), sys::writer_syscalls()}) {
        CHECK(restricted(filter, is_getsid_refused) == 0);
        const pid_t child = ::fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            std::atomic<bool> goes = false;
            bool holds = false;
            std::thread earlier([&] {
                goes.wait(false);
                holds = is_getsid_refused();
            });
            const bool done = sys::restrict_syscalls(filter).has_value();
            goes = true;
            goes.notify_one();
            earlier.join();
            ::_exit(done && holds ? 0 : 1);
        }
        CHECK(end_of(child) == 0);
    }
}

TEST_CASE("the service makes threads and no process; the writer a process, which is held to the same") {
    if (!is_restricted) return;
    const auto thread = [] {
        bool ran = false;
        std::thread([&] { ran = true; }).join();
        return ran;
    };
    CHECK(restricted(sys::service_syscalls(), thread) == 0);
    CHECK(restricted(sys::service_syscalls(), [] { return is_refused(::fork()); }) == 0);
    CHECK(restricted(sys::writer_syscalls(), [] {
              const pid_t child = ::fork();
              if (child == 0) ::_exit(is_getsid_refused() ? 0 : 1);
              int status = -1;
              return child > 0 && ::waitpid(child, &status, 0) == child && status == 0;
          }) == 0);
}

TEST_CASE("nothing that can be written becomes code") {
    if (!is_restricted) return;
    for (const SyscallFilter& filter : {sys::service_syscalls(), sys::writer_syscalls()})
        CHECK(restricted(filter, [] {
                  constexpr std::size_t size = 4096;
                  const auto map = [](int protection) {
                      return ::mmap(nullptr, size, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                  };
                  if (map(PROT_READ | PROT_WRITE | PROT_EXEC) != MAP_FAILED || errno != EPERM) return false;
                  void* data = map(PROT_READ | PROT_WRITE);
                  return data != MAP_FAILED && is_refused(::mprotect(data, size, PROT_READ | PROT_EXEC));
              }) == 0);
}

TEST_CASE("sockets are of the families that are listed") {
    if (!is_restricted) return;
    for (const SyscallFilter& filter : {sys::service_syscalls(), sys::writer_syscalls()}) {
        CHECK(restricted(filter, [] {
                  return makes_a_socket(AF_UNIX) && makes_a_socket(AF_INET) && makes_a_socket(AF_NETLINK);
              }) == 0);
        CHECK(restricted(filter, [] { return is_refused(::socket(AF_ALG, SOCK_SEQPACKET, 0)); }) == 0);
        CHECK(restricted(filter, [] { return is_refused(::socket(AF_VSOCK, SOCK_STREAM, 0)); }) == 0);
    }
}
