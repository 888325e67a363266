// SPDX-License-Identifier: Apache-2.0
// What the service does where one CPU has no time left for packets while another has. That takes two, of which nobody
// else uses one: a machine of their own (QUEUES=2 CPUS=2 of scripts/in-kernel), in which these are run by name
// ([queues]).
#include <array>
#include <string>

#include <netinet/ip_icmp.h>
#include <poll.h>

#include "netns/device_files.hpp"
#include "netns/interrupts.hpp"
#include "netns/service/overload.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

constexpr std::uint16_t port = 9;

bool has_one_cpu() {
    if (std::thread::hardware_concurrency() > 1) return false;
    WARN("one CPU has none beside it that could take over");
    return true;
}

void send_without_pause(const Namespace& from) {
    from.inside([] {
        const sys::Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        const sockaddr_in to = address_of("10.77.0.2", port);
        for (char byte = 0;;) ::sendto(socket.value(), &byte, 1, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to);
    });
}

// The device with two queues, whose other end answers pings: from 16 addresses, so that both queues have some. Both
// directions of a flow are of one queue (drivers/net/tun.c, tun_flow_update).
class Pinged {
public:
    static constexpr int addresses = 16;

    Pinged() {
        shell("ip link set eth0 up");
        for (int i = 0; i < addresses; ++i) shell(fmt::format("ip address add 198.18.0.{}/24 dev eth0", 2 + i));
        for (const int queue : {0, 1})
            must(sys::write_file(fmt::format("/sys/class/net/eth0/queues/tx-{}/xps_cpus", queue), "1").has_value(),
                 "let CPU 0 send by both queues");
    }
    Pinged(const Pinged&) = delete;
    Pinged& operator=(const Pinged&) = delete;
    ~Pinged() {
        [[maybe_unused]] const int status = std::system("nft delete table ip t; ip address flush dev eth0; "
                                                        "ip link set eth0 down");
    }

    // So many are on their way from each address at any time.
    static void ping_without_pause(int at_once) {
        std::array<sys::Fd, addresses> sockets;
        std::array<pollfd, addresses> answers{};
        for (int i = 0; i < addresses; ++i) {
            sockets[i] = sys::Fd(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMP));
            const sockaddr_in from = address_of(fmt::format("198.18.0.{}", 2 + i).c_str(), 0);
            must(::bind(sockets[i].value(), reinterpret_cast<const sockaddr*>(&from), sizeof from) == 0, "bind");
            answers[i] = {.fd = sockets[i].value(), .events = POLLIN, .revents = 0};
        }
        for (;;) {
            for (const pollfd& each : answers)
                for (int i = 0; i < at_once; ++i) ping(each.fd);
            while (::poll(answers.data(), answers.size(), 1000) > 0) // nobody answers: all of them were lost
                for (const pollfd& each : answers)
                    for (std::array<char, 256> packet{}; ::recv(each.fd, packet.data(), packet.size(), 0) > 0;)
                        ping(each.fd);
        }
    }

private:
    static void ping(int socket) {
        icmphdr request{};
        request.type = ICMP_ECHO;
        request.checksum = static_cast<std::uint16_t>(~htons(ICMP_ECHO << 8));
        const sockaddr_in to = address_of("198.18.0.1", 0);
        ::sendto(socket, &request, sizeof request, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to);
    }
};

Json change_of(const Home& home, const char* tunable) { return row_where(home.history(), {{"tunable", tunable}}); }

void check_reason(const Json& row, unsigned hot, unsigned idle) {
    CHECK(row["evidence"]["cpu"] == hot);
    CHECK(row["evidence"]["needed_percent"].get<std::uint64_t>() >= 75);
    CHECK(row["evidence"]["idle_cpu"] == idle);
    CHECK(row["evidence"]["idle_percent"].get<std::uint64_t>() >= 50);
}

} // namespace

TEST_CASE("packets of a device whose CPU has no time left are given to the CPU that has, and at the end no more",
          "[.][queues]") {
    if (has_one_cpu()) return;
    const LoneHome home;
    const Namespace from;
    const Namespace to;
    const Process resident{to, [] { return std::uint64_t{0}; }};
    connect(from, to);
    add_rules(to, 10000);
    const Load load(last_cpu(), [&] { send_without_pause(from); });
    home.set_policy(policy_text("steering", "mode: auto\n  onExit: restore", "    rps_cpus: {max: 1}\n"));
    Running service(home);
    const bool steered = comes_true([&] { return cpus_of(to) != "0"; });
    INFO(home.top().dump(1) << home.history().dump(1) << service.err());
    REQUIRE(steered);
    CHECK(cpus_of(to) == "1"); // of those that the policy allows
    CHECK(cpus_of(from) == "0");
    const Json row = change_of(home, "rps_cpus");
    CHECK(row["from"] == "0");
    CHECK(row["to"] == "1");
    check_reason(row, last_cpu(), 0);
    service.signal(SIGTERM);
    CHECK(service.wait() == 0);
    CHECK(cpus_of(to) == "0");
}

TEST_CASE("of two interrupts of a device that keep one CPU busy one is moved to the CPU that has time, and back at the "
          "end",
          "[.][queues]") {
    if (has_one_cpu()) return;
    const LoneHome home;
    const TwoQueues queues;
    const Pinged device;
    add_rules("nft", 5000);
    const Load load(0, [] { Pinged::ping_without_pause(32); });
    home.set_policy(node_policy({"smp_affinity"}) + "  onExit: restore\n");
    Running service(home);
    const auto all = [&] { return TwoQueues::cpus(queues.input[0]) + " " + TwoQueues::cpus(queues.input[1]); };
    const bool moved = comes_true([&] { return all() != "1 1"; });
    INFO(home.top().dump(1) << home.history().dump(1) << service.err());
    REQUIRE(moved);
    CHECK((all() == "1 2" || all() == "2 1"));
    const Json row = change_of(home, "smp_affinity");
    CHECK(row["from"] == "1");
    CHECK(row["to"] == "2");
    CHECK(row["evidence"]["interrupts"] == 2);
    check_reason(row, 0, 1);
    service.signal(SIGTERM);
    CHECK(service.wait() == 0);
    CHECK(all() == "1 1");
}
