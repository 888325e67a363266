// SPDX-License-Identifier: Apache-2.0
// UDP sockets that drop, and whether it is bursts or who reads them.
#include <catch2/catch.hpp>

#include <cstring>
#include <optional>
#include <sstream>

#include <poll.h>

#include <linux/filter.h>

#include "netns/probes/datagrams.hpp"
#include "netns/signals/watcher.hpp"

using namespace bpftune;
using namespace bpftune::testing;
using namespace std::chrono_literals;

namespace {

constexpr int more_than_fit = 600; // in net.core.rmem_default

bool is_unseen(Watcher& watcher) {
    return is_blind(watcher.probes().looks_at_udp().has_value(), "what UDP sockets drop");
}

std::vector<UdpSocket> rows_of(Watcher& watcher, const Namespace& netns) {
    ::poll(nullptr, 0, 110); // looks are some time of the kernel's apart
    std::vector<UdpSocket> rows = watcher.look().udp;
    std::erase_if(rows, [&](const UdpSocket& row) { return row.netns.inode != netns.inode(); });
    return rows;
}

std::optional<UdpSocket> row_of(Watcher& watcher, const Namespace& netns, const Datagrams& datagrams) {
    for (const UdpSocket& row : rows_of(watcher, netns))
        if (row.local.port == datagrams.port()) return row;
    return std::nullopt;
}

// The kernel's own count of the namespace, of IPv4 and IPv6.
std::uint64_t buffer_errors(const Namespace& netns) {
    std::istringstream ipv6(netns.read("net/snmp6"));
    std::uint64_t count = 0;
    for (std::string name, value; ipv6 >> name >> value;)
        if (name == "Udp6RcvbufErrors") count += std::stoull(value);
    std::istringstream ipv4(netns.read("net/snmp"));
    std::vector<std::string> names;
    for (std::string line; std::getline(ipv4, line);) {
        if (!line.starts_with("Udp: ")) continue;
        std::istringstream words(line);
        std::vector<std::string> fields{std::istream_iterator<std::string>(words), {}};
        if (names.empty()) {
            names = fields;
            continue;
        }
        const auto at = std::ranges::find(names, "RcvbufErrors") - names.begin();
        return count + std::stoull(fields[static_cast<std::size_t>(at)]);
    }
    return count;
}

} // namespace

TEST_CASE("what UDP sockets of a namespace lose is counted to the last one, and adds up to its RcvbufErrors",
          "[netns]") {
    const Namespace netns;
    const Process inside([&] {
        netns.enter();
        return std::uint64_t{0};
    });
    const Datagrams ipv4(netns);
    const Datagrams ipv6(netns, AF_INET6);
    const Datagrams small(netns, AF_INET, 8192);
    Watcher watcher(30s);
    if (is_unseen(watcher)) return;
    CHECK(rows_of(watcher, netns).empty()); // none has dropped anything
    for (int round = 1; round <= 3; ++round) {
        for (const Datagrams* each : {&ipv4, &ipv6, &small}) {
            each->send(more_than_fit * round);
            each->read();
        }
        const auto rows = rows_of(watcher, netns);
        REQUIRE(rows.size() == 3);
        std::uint64_t lost = 0;
        for (const UdpSocket& row : rows) {
            CHECK(row.overflows == row.drops);
            CHECK(row.overflows > 0);
            CHECK(row.netns_overflows == buffer_errors(netns));
            lost += row.overflows;
        }
        CHECK(lost == buffer_errors(netns));
    }
    const auto row = row_of(watcher, netns, small);
    REQUIRE(row.has_value());
    CHECK(row->set_by_application);
    CHECK(row->buffer_bytes == 16384);
    CHECK(row->pid == ::getpid());
    CHECK(row->fd == small.fd());
    CHECK_FALSE(row_of(watcher, netns, ipv4)->set_by_application);
}

TEST_CASE("a burst that is read at once is told from a reader that is too slow or hangs", "[netns]") {
    const Namespace netns;
    const Datagrams bursts(netns);
    const Datagrams slow(netns);
    const Datagrams hangs(netns);
    Watcher watcher(30s);
    if (is_unseen(watcher)) return;
    for (int look = 1; look <= 8; ++look) {
        bursts.send(more_than_fit);
        bursts.read();
        slow.send(more_than_fit);
        slow.read(20);
        hangs.send(more_than_fit);
        const auto rows = rows_of(watcher, netns);
        REQUIRE(rows.size() == 3);
        for (const UdpSocket& row : rows) {
            CHECK(row.looks == static_cast<unsigned>(look));
            CHECK(row.has_bursts() == (look >= 3 && row.local.port == bursts.port()));
            CHECK(row.is_read_slowly() == (look >= 3 && row.local.port != bursts.port()));
        }
    }
}

TEST_CASE("a reader that was too slow has no bursts once nothing comes to it any more", "[netns]") {
    const Namespace netns;
    const Datagrams slow(netns);
    Watcher watcher(30s);
    if (is_unseen(watcher)) return;
    for (int look = 1; look <= 8; ++look) {
        slow.send(more_than_fit);
        slow.read(20);
        rows_of(watcher, netns);
    }
    slow.read();
    for (int look = 1; look <= 8; ++look) {
        const auto row = row_of(watcher, netns, slow);
        REQUIRE(row.has_value());
        CHECK(row->is_read_slowly());
        CHECK(row->queue_bytes == 0);
    }
}

TEST_CASE("what a socket dropped before the service began is no news, and costs no look", "[netns]") {
    const Namespace netns;
    const Process inside([&] {
        netns.enter();
        return std::uint64_t{0};
    });
    const Datagrams datagrams(netns);
    datagrams.send(more_than_fit);
    datagrams.read();
    const std::uint64_t before = buffer_errors(netns);
    REQUIRE(before > 0);
    Watcher watcher(30s);
    if (is_unseen(watcher)) return;
    CHECK(rows_of(watcher, netns).empty());
    datagrams.send(more_than_fit);
    const auto row = row_of(watcher, netns, datagrams);
    REQUIRE(row.has_value());
    CHECK(row->overflows == buffer_errors(netns) - before);
}

TEST_CASE("what a filter discards is a drop, and no overflow", "[netns]") {
    const Namespace netns;
    const Process inside([&] {
        netns.enter();
        return std::uint64_t{0};
    });
    const Datagrams datagrams(netns);
    sock_filter nothing{.code = BPF_RET | BPF_K, .jt = 0, .jf = 0, .k = 0};
    const sock_fprog program{.len = 1, .filter = &nothing};
    must(::setsockopt(datagrams.fd(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0, "attach a filter");
    Watcher watcher(30s);
    if (is_unseen(watcher)) return;
    datagrams.send(50);
    const auto row = row_of(watcher, netns, datagrams);
    REQUIRE(row.has_value());
    CHECK(row->drops == 50);
    CHECK(row->overflows == 0);
}

TEST_CASE("one namespace's many sockets that drop do not keep those of another from being looked at", "[netns]") {
    const Namespace crowded;
    const Namespace other;
    std::vector<Datagrams> many;
    for (int i = 0; i < 270; ++i) many.emplace_back(crowded, AF_INET, 1);
    const Datagrams one(other, AF_INET, 1);
    Watcher watcher(30s);
    if (is_unseen(watcher)) return;
    for (const Datagrams& each : many) each.send(10);
    one.send(10);
    const auto rows = watcher.look().udp;
    CHECK(std::ranges::count(rows, crowded.inode(), [](const UdpSocket& row) { return row.netns.inode; }) == 256);
    CHECK(std::ranges::count(rows, other.inode(), [](const UdpSocket& row) { return row.netns.inode; }) == 1);
    const auto crowd = std::ranges::find(rows, crowded.inode(), [](const UdpSocket& row) { return row.netns.inode; });
    CHECK(crowd->left_out == 14);
}
