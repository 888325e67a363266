// SPDX-License-Identifier: Apache-2.0
// What the service does where the node's neighbour tables are full. All namespaces share these, other tests' too: a
// machine of its own is needed, and tests/kernels/inside runs them by name.
#include <netinet/in.h>
#include <sys/socket.h>

#include "netns/service/fixtures.hpp"
#include "sys/procfs.hpp"
#include "tunables/catalog.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

// Of one family, in the kernel's proportions, and small: entries have to be confirmed within 5 s to fill it.
struct Thresholds {
    explicit Thresholds(int version)
        : folder(fmt::format("/proc/sys/net/ipv{}/neigh/default/", version)), third(folder + "gc_thresh3", 64),
          second(folder + "gc_thresh2", 32), first(folder + "gc_thresh1", 8) {}

    std::string folder;
    NodeValue third;
    NodeValue second;
    NodeValue first;
};

std::string only(std::string_view prefix) {
    std::string text = "apiVersion: bpftune-k8s.io/v1alpha1\nkind: NodeTuningPolicy\nmetadata: {name: neighbours}\n"
                       "spec:\n  mode: auto\n  tunables:\n";
    for (const auto& row : tunables::catalog())
        text += fmt::format("    {}: {{mode: {}}}\n", row.name, row.name.starts_with(prefix) ? "auto" : "observe");
    return text;
}

// A link on whose other end each address of 10.88.0.0/16 answers, and a hundred of IPv6; of 10.89.0.0/16 none does.
struct Link {
    Namespace from;
    Namespace to;
    Process resident{from, [] { return std::uint64_t{0}; }};

    Link() {
        connect(from, to);
        shell(fmt::format("ip -n {} route add local 10.88.0.0/16 dev lo && ip -n {} route add 10.88.0.0/15 dev eth0",
                          to.name(), from.name()));
        shell(
            fmt::format("ip -n {} addr add fd00:88::ffff/64 dev eth0 nodad; "
                        "for i in $(seq 100); do echo addr add fd00:88::$i/64 dev eth0 nodad; done | ip -n {} -batch -",
                        from.name(), to.name()));
    }

    // One datagram to each of so many.
    void send_to(const char* network, int version, int neighbours) const {
        from.inside([&] {
            const sys::Fd socket(::socket(version == 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
            for (int i = 1; i <= neighbours; ++i) {
                sockaddr_in6 six{.sin6_family = AF_INET6, .sin6_port = htons(9)};
                sockaddr_in four{.sin_family = AF_INET, .sin_port = htons(9)};
                const std::string address = fmt::format("{}{}", network, i);
                ::inet_pton(AF_INET, address.c_str(), &four.sin_addr);
                ::inet_pton(AF_INET6, address.c_str(), &six.sin6_addr);
                const auto* to_whom =
                    version == 4 ? reinterpret_cast<const sockaddr*>(&four) : reinterpret_cast<const sockaddr*>(&six);
                ::sendto(socket.value(), "", 1, 0, to_whom, version == 4 ? sizeof four : sizeof six);
            }
        });
    }
};

sys::NeighbourStat table(int version) {
    const char* file = version == 4 ? "/proc/net/stat/arp_cache" : "/proc/net/stat/ndisc_cache";
    return take(sys::parse_neighbour_stat(take(sys::read_file(file))));
}

Json table_row(const Home& home, int version) {
    return row_where(home.top()["neighbours"], {{"family", fmt::format("ipv{}", version)}});
}

} // namespace

TEST_CASE("a neighbour table that is too small for peers that answer is raised, and put back", "[.][own-machine]") {
    const int version = GENERATE(4, 6);
    const char* network = version == 4 ? "10.88.0." : "fd00:88::";
    const LoneHome home;
    const Thresholds limits(version);
    const Link link;
    home.set_policy(only(fmt::format("net.ipv{}.neigh", version)));
    const sys::NeighbourStat before = table(version);
    const Running service(home);
    const bool raised = comes_true([&] {
        link.send_to(network, version, 100);
        return limits.first.now() > 8;
    });
    INFO(home.top().dump(1) << home.history().dump(1) << service.err());
    REQUIRE(raised);
    CHECK(limits.third.now() >= 128);
    CHECK(limits.second.now() == limits.third.now() / 2);
    CHECK(limits.first.now() == limits.third.now() / 8);
    const Json row =
        row_where(home.history(), {{"tunable", fmt::format("net.ipv{}.neigh.default.gc_thresh3", version)}});
    CHECK(mentions(row["why"], "was full at 64"));
    CHECK(row["evidence"]["lost"].get<std::uint64_t>() > 0);
    CHECK(row["evidence"]["lost"].get<std::uint64_t>() <= table_row(home, version)["refused"].get<std::uint64_t>());

    const sys::NeighbourStat then = table(version);
    link.send_to(network, version, 100);
    CHECK(comes_true([&] { return table_row(home, version)["entries"] >= 90; }));
    CHECK(table(version).table_fulls == then.table_fulls);
    CHECK(comes_true([&] { return table_row(home, version)["refused"] == then.table_fulls - before.table_fulls; }));

    shell(fmt::format("ip -n {} -{} neigh flush dev eth0", link.from.name(), version)); // else they are in use
    CHECK(comes_true([&] {
        (void)home.restore();
        return limits.third.now() == 64 && limits.second.now() == 32 && limits.first.now() == 8;
    }));
}

TEST_CASE("a scan of addresses at which nobody is raises no neighbour table, and that is said", "[.][own-machine]") {
    const LoneHome home;
    const Thresholds limits(4);
    const Link link;
    home.set_policy(only("net.ipv4.neigh"));
    const Running service(home);
    const auto row = [&] { return row_where(home.history(), {{"tunable", "net.ipv4.neigh.default.gc_thresh3"}}); };
    const bool said = comes_true([&] {
        link.send_to("10.89.0.", 4, 200);
        return !row().is_null();
    });
    INFO(home.top().dump(1) << home.history().dump(1) << service.err());
    REQUIRE(said);
    CHECK(row()["state"] == "advice");
    CHECK(mentions(row()["why"], "did not answer: a scan"));
    CHECK(limits.third.now() == 64);
}
