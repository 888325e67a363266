// SPDX-License-Identifier: Apache-2.0
// What the service says of sysctls that its policy expects.
#include <sstream>
#include <string>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/ip6.h>
#include <sched.h>
#include <sys/socket.h>

#include "netns/interrupts.hpp"
#include "netns/service/fixtures.hpp"
#include "netns/service/overload.hpp"
#include "sys/fd.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

const std::string fin_timeout = "/proc/sys/net/ipv4/tcp_fin_timeout"; // of the node's own namespace, harmless

std::string expecting(const std::string& expect) {
    return policy_text("expect", "mode: observe") + "  expect: {" + expect + "}\n";
}

std::size_t count(const std::string& text, const std::string& part) {
    std::size_t times = 0;
    for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++times;
    return times;
}

// By a process of this name, which no other is in the way of.
void set_by(const std::string& name, const std::string& value) {
    const pid_t pid = ::fork();
    if (pid == 0) {
        ::prctl(PR_SET_NAME, name.c_str());
        ::_exit(sys::write_file(fin_timeout, value) ? 0 : 1);
    }
    int status = 0;
    ::waitpid(pid, &status, 0);
    must(status == 0, "set tcp_fin_timeout");
}

// The routes that a limit is compared with: not those of local addresses, which are not counted (net/ipv6/route.c,
// rt6_stats_seq_show, addrconf_f6i_alloc).
std::uint64_t counted_routes(const Namespace& netns) {
    std::istringstream fields(netns.read("net/rt6_stats"));
    std::string field;
    for (int i = 0; i < 6; ++i) fields >> field;
    return std::stoull(field, nullptr, 16);
}

// Sends one each to so many neighbours that are not there. It waits for its neighbour, and as its header may say
// another one than the socket was told, it has a route of its own (ip6_pol_route, FLOWI_FLAG_KNOWN_NH). By one CPU:
// before they are compared with a limit each has its own sum, of up to 32 (include/net/dst_ops.h).
unsigned packets_refused(const Namespace& netns, unsigned packets) {
    return netns.inside([packets] {
        stay_on(static_cast<unsigned>(::sched_getcpu()));
        const sys::Fd socket(::socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
        unsigned refused = 0;
        for (unsigned i = 0; i < packets; ++i) {
            sockaddr_in6 to{};
            to.sin6_family = AF_INET6;
            const std::string address = fmt::format("fd00::{:x}", 2 + i);
            must(::inet_pton(AF_INET6, address.c_str(), &to.sin6_addr) == 1, "inet_pton");
            ip6_hdr packet{};
            packet.ip6_vfc = 6 << 4;
            packet.ip6_nxt = IPPROTO_NONE;
            packet.ip6_hlim = 64;
            packet.ip6_dst = to.sin6_addr;
            const auto* neighbour = reinterpret_cast<const sockaddr*>(&to);
            refused += ::sendto(socket.value(), &packet, sizeof packet, 0, neighbour, sizeof to) < 0 ? 1 : 0;
        }
        return refused;
    });
}

} // namespace

TEST_CASE("an expected sysctl that is wrong from the start is told once, and never written", "[any-kernel]") {
    const LoneHome home;
    const NodeValue value(fin_timeout, 61);
    home.set_policy(expecting("net.ipv4.tcp_fin_timeout: 60"));
    Running service(home);
    REQUIRE(service.says("net.ipv4.tcp_fin_timeout is 61 and not 60, as the policy expects: it was so"));
    CHECK(home.top()["unexpected"][0]["found"] == "61");
    const auto time = home.top()["time"];
    REQUIRE(comes_true([&] { return home.top()["time"] != time; })); // another tick
    CHECK(count(service.err(), "is 61 and not 60") == 1);
    CHECK(value.now() == 61);
    CHECK(home.history().empty());
}

TEST_CASE("who changes an expected sysctl is named, and when it is right again that is said", "[any-kernel]") {
    const LoneHome home;
    const NodeValue value(fin_timeout, 60);
    home.set_policy(expecting("net/ipv4/tcp_fin_timeout: '60'"));
    Running service(home);
    CHECK(home.top()["unexpected"].empty());
    set_by("evil\x1b[2J\n", "61");
    REQUIRE(service.says("is 61 and not 60, as the policy expects"));
    const std::string why = home.top()["unexpected"][0]["why"];
    CHECK(service.err().find('\x1b') == std::string::npos);
    if (home.top()["sources"]["sysctl"] == "cgroup")
        CHECK(mentions(why, "evil\\x1b[2J"));
    else
        CHECK(mentions(why, "not known who"));
    CHECK(value.now() == 61);
    set_by("repair", "60");
    REQUIRE(service.says("tcp_fin_timeout is as the policy expects again"));
    CHECK(home.top()["unexpected"].empty());
}

TEST_CASE("an expected sysctl that is not on this node is told with why, and a reload takes it back", "[any-kernel]") {
    const LoneHome home;
    home.set_policy(expecting("net.ipv4.conf.no-such.forwarding: 1"));
    Running service(home);
    REQUIRE(service.says("there is no network device no-such"));
    CHECK(home.top()["unexpected"][0]["found"].is_null());
    home.set_policy(expecting("net.ipv4.tcp_fin_timeout: " + contents(fin_timeout)));
    service.signal(SIGHUP);
    REQUIRE(service.says("'expect' loaded"));
    CHECK(comes_true([&] { return home.top()["unexpected"].empty(); }));
}

TEST_CASE("whether bridged packets pass iptables is compared where br_netfilter is loaded, else it is said not to be",
          "[any-kernel]") {
    const LoneHome home;
    const std::string sysctl = "net.bridge.bridge-nf-call-iptables";
    const std::string file = "/proc/sys/net/bridge/bridge-nf-call-iptables";
    home.set_policy(expecting(sysctl + ": 1"));
    if (::access(file.c_str(), F_OK) != 0) {
        CHECK(mentions(run({"doctor", "--policy", home.policy()}).out, "br_netfilter is not loaded"));
        return;
    }
    const NodeValue value(file, 0);
    Running service(home);
    REQUIRE(service.says(sysctl + " is 0 and not 1, as the policy expects"));
    CHECK(mentions(run({"doctor", "--policy", home.policy()}).out, "WRONG: " + sysctl + " is 0 and not 1"));
    must(sys::write_file(file, "1").has_value(), "set bridge-nf-call-iptables");
    REQUIRE(service.says(sysctl + " is as the policy expects again"));
}

TEST_CASE("doctor compares what a policy expects, and a difference is a finding", "[any-kernel]") {
    const LoneHome home;
    const NodeValue value(fin_timeout, 61);
    home.set_policy(expecting("net.ipv4.tcp_fin_timeout: 60"));
    const Ran ran = run({"doctor", "--policy", home.policy()});
    CHECK(ran.status == 1);
    CHECK(mentions(ran.out, "WRONG: net.ipv4.tcp_fin_timeout is 61 and not 60"));
    home.set_policy(expecting("net.ipv4.tcp_fin_timeout: 61"));
    CHECK(mentions(run({"doctor", "--policy", home.policy()}).out, "net.ipv4.tcp_fin_timeout is 61\n"));
    CHECK(value.now() == 61);
}

TEST_CASE("doctor reports of the rest where the policy is refused, which is a finding", "[any-kernel]") {
    const Home home;
    home.set_policy("spec: 7\n");
    const std::string file = home.policy();
    const Ran ran = run({"doctor", "--policy", file});
    CHECK(ran.status == 1);
    CHECK(mentions(ran.out, ": works with less\n"));
    CHECK(mentions(ran.out, "WRONG: it is refused"));
    CHECK(ran.err.starts_with("bpftune-k8s: " + file + ":1:1: error: "));
    const Ran json = run({"doctor", "-o", "json", "--policy", file});
    CHECK(json.status == 1);
    CHECK("bpftune-k8s: " + Json::parse(json.out)["policy_error"].get<std::string>() + '\n' == json.err);
    CHECK(run({"doctor", "--policy", home / "none.yaml"}).status == 1);
}

TEST_CASE("a policy that expects something of a sysctl that does nothing on this kernel is told so", "[any-kernel]") {
    const LoneHome home;
    const std::string told = "net.ipv4.route.max_size does nothing here: IPv4 has no routing cache since 3.6";
    home.set_policy(expecting("net.ipv4.route.max_size: 2147483647"));
    CHECK(mentions(run({"doctor", "--policy", home.policy()}).out, told));
    const Ran checked = run({"policy", "check", home.policy()});
    CHECK(checked.status == 0);
    CHECK(mentions(checked.err, told));
    home.set_policy(expecting("net.ipv4.ip_forward: 0"));
    CHECK_FALSE(mentions(run({"doctor", "--policy", home.policy()}).out, "does nothing here"));
    CHECK(run({"policy", "check", home.policy()}).err.empty());
}

TEST_CASE("bounds of a limit that binds nothing where SYN cookies are sent are told so, whatever else is expected",
          "[any-kernel]") {
    const LoneHome home;
    if (contents("/proc/sys/net/ipv4/tcp_syncookies").starts_with('0')) return; // it may bind here
    const std::string told = "net.ipv4.tcp_max_syn_backlog does nothing here: it bounds something only where "
                             "net.ipv4.tcp_syncookies is 0";
    home.set_policy(policy_text("bound", "mode: auto", "    net.ipv4.tcp_max_syn_backlog: {max: 16384}\n"));
    CHECK(mentions(run({"doctor", "--policy", home.policy()}).out, told));
    const Ran checked = run({"policy", "check", home.policy()});
    CHECK(checked.status == 0);
    CHECK(mentions(checked.err, told));
}

TEST_CASE("a limit on the routes of IPv6 is said to do nothing exactly where this kernel lets more through") {
    const Namespace netns;
    shell(fmt::format("ip -n {0} link add a0 type veth peer name b0 && ip -n {0} link set a0 up && "
                      "ip -n {0} link set b0 up && ip -n {0} -6 address add fd00::1/64 dev a0 nodad",
                      netns.name()));
    netns.write("sys/net/ipv6/neigh/a0/mcast_solicit", "1000"); // so that they wait for long
    netns.write("sys/net/ipv6/route/gc_thresh", "2");
    netns.write("sys/net/ipv6/route/gc_min_interval_ms", "0");
    netns.write("sys/net/ipv6/route/max_size", "4");
    constexpr unsigned packets = 60;
    const unsigned refused = packets_refused(netns, packets);
    INFO(refused << " of " << packets << " were refused");
    REQUIRE(counted_routes(netns) >= packets - refused);
    // The table of neighbours is one for the node: nobody else's has these any longer.
    shell(fmt::format("ip -n {} link set a0 down", netns.name()));
    const LoneHome home;
    home.set_policy(expecting("net.ipv6.route.max_size: 2147483647"));
    const bool told = mentions(run({"doctor", "--policy", home.policy()}).out, "net.ipv6.route.max_size does nothing");
    CHECK(told == (refused == 0));
}

TEST_CASE("doctor compares what each queue and interrupt of the node's devices has with what the policy expects",
          "[.][queues]") {
    const LoneHome home;
    const TwoQueues device; // whose interrupts are all given to CPU 0
    const auto set = [](const std::string& file, const std::string& value) {
        must(sys::write_file("/sys/class/net/eth0/queues/" + file, value).has_value(), "set " + file);
    };
    for (const std::string queue : {"0", "1"}) set("rx-" + queue + "/rps_flow_cnt", "64");
    set("tx-0/xps_cpus", "1");
    set("tx-1/xps_cpus", "2");
    home.set_policy(expecting("rps_flow_cnt: 64, xps_cpus: 1, smp_affinity: 1"));
    const Ran right = run({"doctor", "--policy", home.policy()});
    CHECK(mentions(right.out, "rps_flow_cnt is 64\n"));
    CHECK(mentions(right.out, "smp_affinity is 1\n"));
    CHECK(mentions(right.out, "WRONG: xps_cpus is 1 (eth0 tx-0), 2 (eth0 tx-1) and not 1"));
    set("rx-1/rps_flow_cnt", "0");
    TwoQueues::set(device.input[1], "2");
    const Ran wrong = run({"doctor", "--policy", home.policy()});
    CHECK(wrong.status == 1);
    CHECK(mentions(wrong.out, "WRONG: rps_flow_cnt is 64 (eth0 rx-0), 0 (eth0 rx-1) and not 64"));
    CHECK(mentions(wrong.out, fmt::format("2 (eth0 irq {})", device.input[1])));
    set("rx-0/rps_flow_cnt", "0");
}
