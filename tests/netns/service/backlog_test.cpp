// SPDX-License-Identifier: Apache-2.0
// What the service does where a CPU's backlog overflows.
#include <array>
#include <atomic>
#include <thread>

#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "netns/service/overload.hpp"
#include "sys/procfs.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

constexpr std::uint16_t port = 9;
const std::string backlog = "/proc/sys/net/core/netdev_max_backlog";
constexpr const char* name = "net.core.netdev_max_backlog";

std::uint64_t dropped() {
    std::uint64_t sum = 0;
    const auto text = sys::read_file("/proc/net/softnet_stat").value();
    for (const sys::SoftnetRow& row : sys::parse_softnet_stat(text).value()) sum += row.dropped;
    return sum;
}

// All packets to `to` are CPU 0's.
struct Link {
    Namespace from;
    Namespace to;
    Process resident{to, [] { return std::uint64_t{0}; }};

    Link() {
        connect(from, to);
        to.inside([] { // a namespace's own /sys has its devices
            must(::unshare(CLONE_NEWNS) == 0, "unshare");
            must(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "mounts of its own");
            must(::mount("sysfs", "/sys", "sysfs", 0, nullptr) == 0, "sysfs");
            must(sys::write_file("/sys/class/net/eth0/queues/rx-0/rps_cpus", "1").has_value(), "rps_cpus");
        });
    }
    // 50 packets, of which a backlog of 8 loses a part.
    void burst() const {
        send_at_one_go(from, "10.77.0.2", port);
        ::poll(nullptr, 0, 50);
    }
};

void send_without_pause(const Link& link) {
    ::setpriority(PRIO_PROCESS, 0, -20); // where others have the CPU in between, these are bursts
    send_at_one_go(link.from, "10.77.0.2", port);
    link.from.inside([] {
        const sys::Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        const sockaddr_in to = address_of("10.77.0.2", port);
        for (char byte = 0;;) ::sendto(socket.value(), &byte, 1, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to);
    });
}

// 300 packets of as many senders as that takes, whose own buffers hold back more; and a pause.
void send_with_pauses(const Link& link) {
    send_at_one_go(link.from, "10.77.0.2", port);
    link.from.inside([] {
        const sockaddr_in to = address_of("10.77.0.2", port);
        constexpr int segment = 1000;
        std::array<sys::Fd, 6> sockets;
        for (sys::Fd& socket : sockets) {
            socket = sys::Fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
            must(::setsockopt(socket.value(), IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment) == 0, "UDP_SEGMENT");
        }
        const std::vector<char> large(50000);
        for (;;) {
            for (const sys::Fd& socket : sockets)
                ::sendto(socket.value(), large.data(), large.size(), 0, reinterpret_cast<const sockaddr*>(&to),
                         sizeof to);
            ::poll(nullptr, 0, 40);
        }
    });
}

// ksoftirqd of its CPU waits for it.
void run_first() {
    ::setpriority(PRIO_PROCESS, 0, -20);
    for (std::atomic<std::uint64_t> turns = 0;;) ++turns;
}

Json last_row(const Home& home, const char* tunable = name) {
    return row_where(home.history(), {{"tunable", tunable}});
}

} // namespace

TEST_CASE("a backlog that bursts overflow, and that is worked off between them, is raised, and put back",
          "[any-kernel]") {
    const LoneHome home;
    const NodeValue limit(backlog, 8);
    const Link link;
    home.set_policy(node_policy({name}));
    const std::uint64_t before = dropped();
    const Running service(home);
    const bool raised = comes_true([&] {
        link.burst();
        return limit.now() > 8;
    });
    INFO(home.top().dump(1) << home.history().dump(1) << service.err());
    REQUIRE(raised);
    CHECK(limit.now() >= 16);
    CHECK(dropped() > before);
    const Json row = last_row(home);
    CHECK(mentions(row["why"], "bursts that it works off"));
    CHECK(row["evidence"]["lost"].get<std::uint64_t>() > 0);
    CHECK(row["evidence"]["lost"].get<std::uint64_t>() <= dropped() - before);
    CHECK(row["evidence"]["cpu"] == 0);
    CHECK(row["evidence"]["needed_percent"].get<std::uint64_t>() < 90);
    CHECK(home.restore().size() == 1);
    CHECK(limit.now() == 8);
}

TEST_CASE("a CPU that packets keep busy is no reason for a longer backlog, and that is said", "[any-kernel]") {
    if (std::thread::hardware_concurrency() < 2) return;
    const LoneHome home;
    const NodeValue limit(backlog, 8);
    const Link link;
    add_rules(link.to, 1000);
    const Load overload(last_cpu(), [&] { send_without_pause(link); });
    home.set_policy(node_policy({name}));
    const Running service(home);
    const bool said = comes_true([&] { return !last_row(home).is_null(); });
    INFO(home.top().dump(1) << home.history().dump(1) << service.err());
    REQUIRE(said);
    CHECK(last_row(home)["state"] == "advice");
    CHECK(mentions(last_row(home)["why"], "a longer backlog would only add delay"));
    CHECK(limit.now() == 8);
}

TEST_CASE("turns of the softirq that keep a CPU from its backlog are made longer where the policy names them, and put "
          "back") {
    if (std::thread::hardware_concurrency() < 2) return;
    const LoneHome home;
    const NodeValue limit(backlog, 200);
    const NodeValue packets("/proc/sys/net/core/netdev_budget", 1); // each turn ends after it polled one queue
    const NodeValue usecs("/proc/sys/net/core/netdev_budget_usecs", 8000);
    const Link link;
    add_rules(link.to, 20000);
    const Load hog(0, run_first);
    const Load bursts(last_cpu(), [&] { send_with_pauses(link); });
    home.set_policy(node_policy({"net.core.netdev_budget_usecs", "net.core.netdev_budget"}));
    const Running service(home);
    const bool raised = comes_true([&] { return usecs.now() > 8000; });
    INFO(home.top().dump(1) << home.history().dump(1) << service.err());
    REQUIRE(raised);
    const Json row = last_row(home, "net.core.netdev_budget_usecs");
    CHECK(row["from"] == "8000");
    CHECK(row["to"] == "16000");
    CHECK(row["evidence"]["squeezed"].get<std::uint64_t>() > 0);
    CHECK(row["evidence"]["needed_percent"].get<std::uint64_t>() < 90);
    CHECK(last_row(home, "net.core.netdev_budget")["to"] == "2");
    CHECK(home.restore().size() == 2);
    CHECK(usecs.now() == 8000);
    CHECK(packets.now() == 1);
}
