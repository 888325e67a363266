// SPDX-License-Identifier: Apache-2.0
// The table of docs/security.md has the system calls of both processes as the filters do.
#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "paths.hpp"
#include "sys/syscall_lists.hpp"

using namespace bpftune;
using sys::CalledBy;

namespace {

const char* described(CalledBy process) {
    switch (process) {
    case CalledBy::both: return "both";
    case CalledBy::service: return "the first";
    case CalledBy::writer: return "the second";
    case CalledBy::nobody: return "nobody: fatal";
    }
    return "";
}

std::string row_of(const sys::SyscallGroup& group) {
    std::set<std::string> names(group.calls.begin(), group.calls.end());
    for (const sys::ConditionalSyscall& call : group.in_some_cases) names.insert(call.name);
    std::string calls;
    for (const std::string& name : names) calls += (calls.empty() ? "" : ", ") + name;
    return fmt::format("| {} | {} | {} |\n", described(group.by), group.what_for, calls);
}

std::string expected_table() {
    std::string table = "| process | what for | system calls |\n|---|---|---|\n";
    for (const sys::SyscallGroup& group : sys::syscall_groups()) table += row_of(group);
    return table;
}

} // namespace

TEST_CASE("docs/security.md has each system call that a process keeps to, and what for", "[docs]") {
    std::ifstream file(std::string(testing::source_dir) + "/docs/security.md");
    const std::string page{std::istreambuf_iterator<char>(file), {}};
    CHECK_THAT(page, Catch::Contains("\n\n" + expected_table() + "\n"));
}
