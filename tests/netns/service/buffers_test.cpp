// SPDX-License-Identifier: Apache-2.0
// What the service does for a transfer over a long way whose buffers are too small at both ends.
#include "netns/cli/delay_line.hpp"
#include "netns/probes/delay.hpp"
#include "netns/service/fixtures.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

const std::string tcp_rmem = "sys/net/ipv4/tcp_rmem";
const std::string tcp_wmem = "sys/net/ipv4/tcp_wmem";

std::uint64_t last_of(const std::string& three) { return std::stoull(three.substr(three.find_last_of(" \t") + 1)); }

std::size_t count(const Json& history, const std::string& tunable, const std::string& state) {
    return static_cast<std::size_t>(std::ranges::count_if(
        history, [&](const Json& change) { return change["tunable"] == tunable && change["state"] == state; }));
}

} // namespace

// An emulated machine is slower than these buffers. That what nudges connections loads elsewhere is in
// docs/verifier.md.
TEST_CASE("a transfer over a long way gets the buffers that it fills, at both ends, step by step", "[any-kernel]") {
    const Home home;
    home.set_policy(policy_text("long-way", "mode: auto\n  memoryBudget: 256MiB"));
    const DelayLine line({"--delay", "25ms"});
    const Namespace& near = line.near();
    const Namespace& far = line.far();
    for (const Namespace* netns : {&near, &far}) {
        netns->write(tcp_rmem, "4096 65536 65536");
        netns->write(tcp_wmem, "4096 16384 65536");
    }
    const Running service(home);
    if (home.top()["sources"]["buffers"] == "unavailable") return;

    const Stream stream(near, far, {.address = far_address});
    const auto receives = [&] { return last_of(far.read(tcp_rmem)); };
    const auto sends = [&] { return last_of(near.read(tcp_wmem)); };
    const bool grew = comes_true([&] { return receives() >= 524288 && sends() >= 524288; });
    INFO(home.top().dump(1) << service.err());
    REQUIRE(grew);
    CHECK(far.read(tcp_rmem).starts_with("4096\t65536\t")); // the others are as they were
    CHECK(near.read(tcp_rmem) == "4096\t65536\t65536\n");   // what sends is not held back by what it receives
    CHECK(far.read(tcp_wmem) == "4096\t16384\t65536\n");

    const Json history = home.history();
    CHECK(count(history, "net.ipv4.tcp_rmem", "kept") >= 1);
    CHECK(count(history, "net.ipv4.tcp_wmem", "kept") >= 1);
    const auto first = std::ranges::find(history, "net.ipv4.tcp_rmem",
                                         [](const Json& change) { return change["tunable"].get<std::string>(); });
    CHECK((*first)["from"] == "65536");
    CHECK((*first)["to"] == "262144");
    CHECK(mentions((*first)["why"], "is held back by tcp_rmem"));
    CHECK((*first)["evidence"]["round_trip_us"].get<std::uint64_t>() >= 50000);

    CHECK(home.restore().size() == 2);
    CHECK(receives() == 65536);
    CHECK(sends() == 65536);
}
