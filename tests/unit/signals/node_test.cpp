// SPDX-License-Identifier: Apache-2.0
#include "signals/node.hpp"

#include <filesystem>
#include <fstream>

#include <catch2/catch.hpp>
#include <unistd.h>

using namespace bpftune;
using namespace bpftune::signals;
using namespace std::chrono_literals;

namespace {

namespace fs = std::filesystem;

// A made-up /proc and /sys.
class FakeNode {
public:
    FakeNode() : root_(fs::temp_directory_path() / ("bpftune-node-" + std::to_string(::getpid()))) {
        fs::remove_all(root_);
        fs::create_directories(root_);
    }
    FakeNode(const FakeNode&) = delete;
    FakeNode& operator=(const FakeNode&) = delete;
    ~FakeNode() {
        std::error_code ignored;
        fs::remove_all(root_, ignored);
    }
    void write(const fs::path& path, const std::string& text) const {
        fs::create_directories((root_ / path).parent_path());
        std::ofstream(root_ / path) << text;
    }
    void slab(const std::string& cache, const std::string& bytes) const {
        write("sys/kernel/slab/" + cache + "/slab_size", bytes + "\n");
    }
    [[nodiscard]] NodeReader reader() const { return NodeReader(root_ / "proc", root_ / "sys"); }
    [[nodiscard]] fs::path sys() const { return root_ / "sys"; }

private:
    fs::path root_;
};

void with_sockets(const FakeNode& node) {
    node.slab("TCP", "2368");
    node.slab("TCPv6", "2496");
    node.slab("request_sock_TCP", "320");
    node.slab("request_sock_TCPv6", "328");
}

MonoTime at(Nanoseconds since_start) { return MonoTime(1h + since_start); }

} // namespace

TEST_CASE("isolated CPUs are those of isolcpus and of nohz_full, of the first 64, and none where neither says any") {
    const FakeNode node;
    CHECK(isolated_cpus(node.sys()) == 0);
    node.write("sys/devices/system/cpu/isolated", "\n");
    node.write("sys/devices/system/cpu/nohz_full", "  (null)\n");
    CHECK(isolated_cpus(node.sys()) == 0);
    node.write("sys/devices/system/cpu/isolated", "2-3,70\n");
    CHECK(isolated_cpus(node.sys()) == 0xc);
    node.write("sys/devices/system/cpu/nohz_full", "3-4\n");
    CHECK(isolated_cpus(node.sys()) == 0x1c);
}

TEST_CASE("what cannot be read is unknown") {
    const FakeNode node;
    NodeReader reader = node.reader();
    reader.tick(at(1s));
    CHECK_FALSE(reader.unit_bytes().conntrack_entry);
    CHECK_FALSE(reader.unit_bytes().queued_connection);
    CHECK_FALSE(reader.unit_bytes().full_connection);
    CHECK_FALSE(reader.guards().memory_pressure);
    CHECK_FALSE(reader.guards().memory_available_bytes);
    CHECK_FALSE(reader.guards().tcp_memory);
    CHECK_FALSE(reader.guards().softirq);
}

TEST_CASE("a connection that waits is the larger socket, its request_sock and a segment, or a full buffer") {
    const FakeNode node;
    with_sockets(node);
    SECTION("the buffer is known") {
        node.write("proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t33554432\n");
        const NodeReader reader = node.reader();
        CHECK(reader.unit_bytes().queued_connection == 2496 + 328 + 2304);
        CHECK(reader.unit_bytes().full_connection == 2496 + 328 + 131072);
    }
    SECTION("the buffer is less than a segment") {
        node.write("proc/sys/net/ipv4/tcp_rmem", "1024\t1024\t1024\n");
        CHECK(node.reader().unit_bytes().full_connection == 2496 + 328 + 2304);
    }
    SECTION("the buffer is unknown") {
        node.write("proc/sys/net/ipv4/tcp_rmem", "4096\tlots\t33554432\n");
        CHECK(node.reader().unit_bytes().queued_connection == 2496 + 328 + 2304);
        CHECK_FALSE(node.reader().unit_bytes().full_connection);
    }
}

TEST_CASE("a kernel without IPv6 has only the sockets of IPv4") {
    const FakeNode node;
    node.slab("TCP", "2368");
    node.slab("request_sock_TCP", "320");
    CHECK(node.reader().unit_bytes().queued_connection == 2368 + 320 + 2304);
}

TEST_CASE("the size of a conntrack entry is found when nf_conntrack is loaded") {
    const FakeNode node;
    NodeReader reader = node.reader();
    reader.tick(at(1s));
    CHECK_FALSE(reader.unit_bytes().conntrack_entry);
    node.slab("nf_conntrack", "256");
    reader.tick(at(2s));
    CHECK(reader.unit_bytes().conntrack_entry == 256 + 128);
}

TEST_CASE("a slab of no size is unknown") {
    const FakeNode node;
    node.slab("nf_conntrack", "0");
    CHECK_FALSE(node.reader().unit_bytes().conntrack_entry);
    node.slab("nf_conntrack", "-256");
    CHECK_FALSE(node.reader().unit_bytes().conntrack_entry);
}

TEST_CASE("TCP's memory and its thresholds are pages in /proc, bytes here") {
    const FakeNode node;
    node.write("proc/thread-self/net/sockstat", "sockets: used 9\nTCP: inuse 1 orphan 0 tw 1 alloc 1 mem 300\n");
    node.write("proc/sys/net/ipv4/tcp_mem", "100\t200\t400\n");
    NodeReader reader = node.reader();
    reader.tick(at(1s));
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    REQUIRE(reader.guards().tcp_memory);
    CHECK(reader.guards().tcp_memory->bytes == 300 * page);
    CHECK(reader.guards().tcp_memory->pressure_bytes == 200 * page);
    CHECK(reader.guards().tcp_memory->high_bytes == 400 * page);
}

TEST_CASE("UDP's memory and its lowest threshold are pages in /proc, bytes here") {
    const FakeNode node;
    node.write("proc/thread-self/net/sockstat", "sockets: used 9\nUDP: inuse 1 mem 300\n");
    node.write("proc/sys/net/ipv4/udp_mem", "100\t200\t400\n");
    NodeReader reader = node.reader();
    reader.tick(at(1s));
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    REQUIRE(reader.guards().udp_memory);
    CHECK(reader.guards().udp_memory->bytes == 300 * page);
    CHECK(reader.guards().udp_memory->low_bytes == 100 * page);
    CHECK_FALSE(reader.guards().tcp_memory);
}

TEST_CASE("softirq time is a mean that one second does not make") {
    const FakeNode node;
    NodeReader reader = node.reader();
    const auto tick = [&](Nanoseconds time, int softirq, int idle) {
        node.write("proc/stat", "cpu  0 0 0 " + std::to_string(idle) + " 0 0 " + std::to_string(softirq) + " 0 0 0\n");
        reader.tick(at(time));
    };
    tick(0s, 0, 1000);
    CHECK_FALSE(reader.guards().softirq); // of no interval yet
    tick(10s, 20, 1980);
    CHECK(reader.guards().softirq == Approx(2));
    tick(20s, 120, 1980); // all of the time, for ten seconds
    CHECK(reader.guards().softirq == Approx(2 + 98 * 0.632).margin(0.1));
    tick(30s, 120, 1900); // idle time that goes back says nothing
    CHECK(reader.guards().softirq == Approx(2 + 98 * 0.632).margin(0.1));
}
