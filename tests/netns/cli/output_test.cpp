// SPDX-License-Identifier: Apache-2.0
// What is printed is there, or the exit status says that it is not.
#include <catch2/catch.hpp>

#include "actuators/journal.hpp"
#include "netns/service/fixtures.hpp"
#include "service/boot.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

void to_a_full_disk() {
    const sys::Fd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
    must(full && ::dup2(full.value(), STDOUT_FILENO) >= 0, "write to /dev/full");
}

const std::string policy_file = std::string(source_dir) + "/policies/observe.yaml";
const std::string recorded = std::string(source_dir) + "/tests/recordings/batch.zst";

} // namespace

TEST_CASE("what does not fit onto a full disk is an error of each command", "[any-kernel]") {
    const TemporaryDirectory folder;
    const std::string state = folder / "state";
    const std::string socket = folder / "none";
    static_cast<void>(take(actuators::Journal::open(state, take(service::boot_id()))));
    for (const Words& words :
         {Words{"--version"}, Words{"policy", "check", policy_file}, Words{"policy", "show", policy_file},
          Words{"policy", "show", "--socket", socket}, Words{"policy", "schema"}, Words{"replay", recorded},
          Words{"replay", recorded, "-o", "json"}, Words{"history", "--state-dir", state},
          Words{"restore", "--dry-run", "-o", "json", "--state-dir", state, "--socket", socket},
          Words{"top", "-d", "100ms", "-o", "csv", "--socket", socket}}) {
        const Ran ran = run(words, to_a_full_disk);
        INFO(words[0] << ' ' << ran.err);
        CHECK(ran.status == 1);
        CHECK_THAT(ran.err, Catch::Contains("bpftune-k8s: cannot write to "));
        if (words[0] != "--version") CHECK_THAT(ran.err, Catch::EndsWith(": No space left on device\n"));
    }
}

TEST_CASE("an output that is closed is an error where it is needed, and no file takes its place", "[any-kernel]") {
    const std::string command = GENERATE("show", "check");
    const Words words{"policy", command, policy_file};
    const Ran ran = run(words, [] {
        ::close(STDIN_FILENO);
        ::close(STDOUT_FILENO);
    });
    CHECK(ran.status == 1);
    CHECK_THAT(ran.err,
               Catch::StartsWith("bpftune-k8s: cannot write to ") && Catch::EndsWith(": Bad file descriptor\n"));
}

TEST_CASE("an input that is closed cannot be read, whatever a library has opened before", "[any-kernel]") {
    const Ran ran = run({"policy", "check", "-"}, [] { ::close(STDIN_FILENO); });
    CHECK(ran.status == 1);
    CHECK(ran.err == "bpftune-k8s: standard input: Bad file descriptor\n");
}
