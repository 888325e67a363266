// SPDX-License-Identifier: Apache-2.0
#include "sys/host_proc.hpp"

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "temporary_directory.hpp"

namespace bpftune::sys {

using testing::TemporaryDirectory;

namespace {

bool mounted(const std::filesystem::path& from, const std::filesystem::path& to, unsigned long flags) {
    return ::mount(from.c_str(), to.c_str(), nullptr, flags, nullptr) == 0;
}

// As a runtime leaves /proc to a container.
bool guard_sysctls() {
    return mounted("/proc/sys", "/proc/sys", MS_BIND) && mounted("none", "/proc/sys", MS_BIND | MS_REMOUNT | MS_RDONLY);
}

bool is_writable(const char* file) { return ::access(file, W_OK) == 0; }

// Exit status of `body` in a mount namespace of its own, in which nothing comes back to this one.
int in_mount_namespace(const std::function<int()>& body) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(::unshare(CLONE_NEWNS) == 0 && mounted("none", "/", MS_REC | MS_PRIVATE) ? body() : 100);
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 101;
}

constexpr auto sysctl = "/proc/sys/net/core/somaxconn";

} // namespace

TEST_CASE("the node's /proc takes the place of one whose sysctls are read-only") {
    const TemporaryDirectory directory;
    CHECK(in_mount_namespace([&] {
              if (!mounted("/proc", directory.path(), MS_BIND | MS_REC) || !guard_sysctls()) return 1;
              if (is_writable(sysctl)) return 2;
              if (!take_host_proc(directory.path())) return 3;
              return is_writable(sysctl) ? 0 : 4;
          }) == 0);
    CHECK(is_writable(sysctl));
}

TEST_CASE("/proc stays what it is") {
    const TemporaryDirectory directory;
    SECTION("where its sysctls can be written") {
        CHECK(in_mount_namespace([&] {
                  if (!mounted("/proc", directory.path(), MS_BIND | MS_REC) || !guard_sysctls()) return 1;
                  if (!take_host_proc("/proc", directory.path())) return 2;
                  return is_writable(sysctl) ? 3 : 0;
              }) == 0);
    }
    SECTION("where the node's is not there") {
        CHECK(in_mount_namespace([&] {
                  if (!guard_sysctls()) return 1;
                  if (!take_host_proc(directory.path())) return 2;
                  return is_writable(sysctl) ? 3 : 0;
              }) == 0);
    }
    SECTION("where the other one has process ids of its own") {
        CHECK(in_mount_namespace([&] {
                  if (::unshare(CLONE_NEWPID) != 0) return 1;
                  const pid_t init = ::fork();
                  if (init == 0) ::_exit(::mount("proc", directory.path().c_str(), "proc", 0, nullptr) == 0 ? 0 : 1);
                  int status = 0;
                  ::waitpid(init, &status, 0);
                  if (status != 0 || !guard_sysctls()) return 2;
                  if (!take_host_proc(directory.path())) return 3;
                  return is_writable(sysctl) ? 4 : 0;
              }) == 0);
    }
}

TEST_CASE("a mount that is refused is an error that says so") {
    const TemporaryDirectory directory;
    CHECK(in_mount_namespace([&] {
              if (!mounted("/proc", directory.path(), MS_BIND | MS_REC) || !guard_sysctls()) return 1;
              if (::setresuid(65534, 65534, 65534) != 0) return 2; // no capability is left
              const auto taken = take_host_proc(directory.path());
              return !taken && taken.error().code == EPERM ? 0 : 3;
          }) == 0);
}

} // namespace bpftune::sys
