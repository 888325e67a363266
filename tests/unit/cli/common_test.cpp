// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <functional>

#include <catch2/catch.hpp>
#include <unistd.h>

#include "cli/commands.hpp"
#include "sys/files.hpp"
#include "temporary_directory.hpp"

using namespace bpftune;

namespace {

// What comes to standard error meanwhile.
std::string said_by(const std::function<void()>& speaks) {
    const testing::TemporaryDirectory folder;
    std::fflush(stderr);
    const int before = ::dup(STDERR_FILENO);
    REQUIRE(std::freopen((folder / "said").c_str(), "w", stderr) != nullptr);
    speaks();
    std::fflush(stderr);
    ::dup2(before, STDERR_FILENO);
    ::close(before);
    return sys::read_file(folder / "said").value_or("nothing can be read");
}

} // namespace

TEST_CASE("an error is one line, in which nothing speaks to the terminal, and what is escaped already stays") {
    int status = 0;
    const auto fails = [&](const std::string& message) { return said_by([&] { status = cli::fail({message}); }); };
    CHECK(fails("open \x1b[2J/a\nb\x9b: No such file or directory") ==
          "bpftune-k8s: open \\x1b[2J/a\\x0ab\\x9b: No such file or directory\n");
    CHECK(fails(R"("x\x1b[2J" is no state)") == "bpftune-k8s: \"x\\x1b[2J\" is no state\n");
    CHECK(fails("/srv/Zürich: empty") == "bpftune-k8s: /srv/Zürich: empty\n");
    CHECK(status == cli::failed);
}
