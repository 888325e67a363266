// SPDX-License-Identifier: Apache-2.0
// What the service does about the sizes that all sockets of the node may ask for and begin with.
#include <array>
#include <memory>

#include <poll.h>

#include "netns/probes/datagrams.hpp"
#include "netns/service/fixtures.hpp"
#include "tunables/catalog.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

constexpr std::array names{"rmem_max", "wmem_max", "rmem_default", "wmem_default"};

std::string path_of(const std::string& name) { return "/proc/sys/net/core/" + name; }

// So that bursts overflow `socket` and are read at once, four times, until this is true.
template <class Condition> bool bursts_until(const Datagrams& socket, Condition is_true) {
    return comes_true([&] {
        for (int burst = 0; burst < 4; ++burst) {
            socket.send(400);
            socket.read();
            ::poll(nullptr, 0, 250);
        }
        return is_true();
    });
}

Json change_of(const Home& home, const std::string& state) {
    return row_where(home.history(), {{"tunable", "net.core.rmem_max"}, {"state", state}});
}

// Of the node's sizes alone.
std::string sizes_policy(std::uint64_t min) {
    std::string text = "apiVersion: bpftune-k8s.io/v1alpha1\nkind: NodeTuningPolicy\nmetadata: {name: sizes}\n"
                       "spec:\n  mode: auto\n  tunables:\n";
    for (const auto& row : tunables::catalog()) {
        const bool is_one = row.id >= TunableId::rmem_max && row.id <= TunableId::wmem_default;
        text += is_one ? fmt::format("    {}: {{min: {}}}\n", row.name, min)
                       : fmt::format("    {}: {{mode: observe}}\n", row.name);
    }
    return text;
}

// A socket in a namespace with a process, whose application asked for more than twice the node's most and got that.
struct CutSocket {
    LoneHome home;
    NodeValue most;
    Namespace netns;
    Process inside{[&] {
        netns.enter();
        return std::uint64_t{0};
    }};
    Datagrams cut{netns, AF_INET6, 1 << 20};

    explicit CutSocket(std::uint64_t bytes) : most(path_of("rmem_max"), bytes) {
        REQUIRE(cut.buffer() == static_cast<int>(2 * bytes));
    }
};

} // namespace

TEST_CASE("the policy's min sets what sockets made later may ask for and begin with, and restore puts all four back") {
    const LoneHome home;
    std::array<std::unique_ptr<NodeValue>, names.size()> values;
    for (std::size_t i = 0; i < names.size(); ++i)
        values[i] = std::make_unique<NodeValue>(path_of(names[i]), 200000 + 1000 * i);
    const Namespace netns;
    const Datagrams before(netns);
    REQUIRE(before.buffer() == 202000);
    home.set_policy(sizes_policy(400000));
    {
        const Running service(home);
        const bool set = comes_true(
            [&] { return std::ranges::all_of(values, [](const auto& value) { return value->now() == 400000; }); });
        INFO(home.top().dump(1) << home.history().dump(1) << service.err());
        REQUIRE(set);
        CHECK(before.buffer() == 202000);
        const Datagrams later(netns);
        CHECK(later.buffer() == 400000);
        const Datagrams asked(netns, AF_INET6, 1000000);
        CHECK(asked.buffer() == 800000);
    }
    CHECK(home.restore().size() == names.size());
    for (std::size_t i = 0; i < names.size(); ++i) CHECK(values[i]->now() == 200000 + 1000 * i);
}

TEST_CASE("a UDP socket whose SO_RCVBUF was cut, and that bursts overflow, is said to need more; nothing is written") {
    const CutSocket node(20000);
    const auto& [home, most, netns, inside, cut] = node;
    home.set_policy(policy_text("cut", "mode: auto", "    udp.rcvbuf: {mode: observe}\n"));
    const Running service(home);
    if (!home.top().contains("udp")) return;
    const bool said = bursts_until(cut, [&] { return change_of(home, "advice").is_object(); });
    INFO(home.top()["udp"].dump(1) << home.history().dump(1) << service.err());
    REQUIRE(said);
    CHECK(mentions(change_of(home, "advice")["why"], "was set to exactly twice this, 40000 bytes"));
    CHECK(mentions(change_of(home, "advice")["why"], "running ones keep theirs"));
    CHECK(most.now() == 20000);
    CHECK(cut.buffer() == 40000);
}

TEST_CASE("a UDP socket whose SO_RCVBUF was cut raises a named rmem_max once, for those made later; put back at exit") {
    const CutSocket node(20000);
    const auto& [home, most, netns, inside, cut] = node;
    home.set_policy(policy_text("cut", "mode: auto\n  onExit: restore\n  memoryBudget: 256MiB",
                                "    udp.rcvbuf: {mode: observe}\n    net.core.rmem_max: {max: 4MiB}\n"));
    {
        Running service(home);
        if (!home.top().contains("udp")) return;
        const bool kept = bursts_until(cut, [&] { return change_of(home, "kept").is_object(); });
        INFO(home.top()["udp"].dump(1) << home.history().dump(1) << service.err());
        REQUIRE(kept);
        const std::uint64_t raised = most.now();
        CHECK(raised > 20000);
        CHECK(mentions(change_of(home, "kept")["why"], "running ones keep theirs until"));
        CHECK(cut.buffer() == 40000);
        const Datagrams later(netns, AF_INET6, 1 << 20);
        CHECK(later.buffer() == static_cast<int>(std::min<std::uint64_t>(2 * raised, 2 << 20)));
        for (int i = 0; i < 12; ++i) // longer than the pause between two raises
            REQUIRE(bursts_until(cut, [time = home.top()["time"], &home] { return home.top()["time"] != time; }));
        CHECK(most.now() == raised);
        service.signal(SIGTERM);
        CHECK(service.wait() == 0);
    }
    CHECK(most.now() == 20000);
}

TEST_CASE("a UDP socket whose own raise was kept, and filled, raises a named rmem_max, to half of what it has now",
          "[any-kernel]") {
    const CutSocket node(60000); // a third of what one needs that takes all of a burst in
    const auto& [home, most, netns, inside, cut] = node;
    home.set_policy(policy_text("cut", "mode: auto\n  memoryBudget: 256MiB",
                                "    udp.rcvbuf: {max: 8MiB}\n    net.core.rmem_max: {max: 4MiB}\n"));
    {
        const Running service(home);
        if (!home.top().contains("udp")) return;
        REQUIRE(bursts_until(cut, [&] { return cut.buffer() > 120000; }));
        cut.send(400); // it may have been a neighbour's, unless a look finds more than the old buffer takes
        CHECK(comes_true([&] {
            const Json sockets = home.top()["udp"];
            return sockets.is_array() && !sockets.empty() && sockets[0]["queue"].get<int>() > 120000;
        }));
        const bool kept = bursts_until(cut, [&] { return change_of(home, "kept").is_object(); });
        INFO(home.top()["udp"].dump(1) << home.history().dump(1) << service.err());
        REQUIRE(kept);
        CHECK(most.now() == static_cast<std::uint64_t>(cut.buffer() / 2));
        CHECK(row_where(home.history(), {{"tunable", "udp.rcvbuf"}, {"state", "kept"}}).is_object());
    }
    CHECK(home.restore().size() == 2);
    CHECK(most.now() == 60000);
    CHECK(cut.buffer() == 120000);
}
