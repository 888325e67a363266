// SPDX-License-Identifier: Apache-2.0
#include "sys/process.hpp"

#include <fstream>
#include <thread>

#include <catch2/catch.hpp>
#include <unistd.h>

#include "sys/clock.hpp"
#include "temporary_directory.hpp"

using namespace bpftune;
using namespace bpftune::sys;

namespace fs = std::filesystem;

TEST_CASE("a process says its cgroups and when it started") {
    CHECK(cgroups_of(::getpid()).value().find(":/") != std::string::npos);
    CHECK(start_of(::getpid()).value() <= now().mono);
    CHECK(start_of(1).value() < now().mono - std::chrono::seconds(1));
    constexpr pid_t nobody = 0x7fffffff;
    CHECK(cgroups_of(nobody).error().code == ENOENT);
    CHECK_FALSE(start_of(nobody));
}

TEST_CASE("a thread says whose it is, whatever its process is called") {
    CHECK(process_of(::getpid()) == ::getpid());
    pid_t thread = 0;
    Result<pid_t> process;
    std::jthread([&] {
        thread = ::gettid();
        process = process_of(thread);
    }).join();
    CHECK(thread != ::getpid());
    CHECK(process == ::getpid());
    const testing::TemporaryDirectory proc;
    fs::create_directories(proc / "7");
    std::ofstream(proc / "7/status") << "Name:\ta\\nTgid:\t9\nUmask:\t0022\nTgid:\t8\nNgid:\t0\n";
    CHECK(process_of(7, proc.path()) == 8);
    std::ofstream(proc / "7/status") << "Name:\ta\n";
    CHECK_FALSE(process_of(7, proc.path()));
    CHECK_FALSE(process_of(9, proc.path()));
}

TEST_CASE("when a process started is told whatever it is called") {
    const std::string rest = " S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 1000 2 3";
    CHECK(start_ticks("7 (nginx)" + rest) == 4711);
    CHECK(start_ticks("7 (a) S 1 2 (b))" + rest) == 4711);
    CHECK(start_ticks("7 (\n\xff)" + rest) == 4711);
    for (const std::string bad : {"", "7", "7 (nginx)", "7 (nginx) S 1 7 7 0", "7 nginx S 1"})
        CHECK_FALSE(start_ticks(bad));
}

TEST_CASE("cgroups that are longer than the kernel writes them are not read") {
    const testing::TemporaryDirectory proc;
    fs::create_directories(proc / "7");
    std::ofstream(proc / "7/cgroup") << std::string(70000, 'x');
    CHECK(cgroups_of(7, proc.path()).error().message.find("larger than") != std::string::npos);
}
