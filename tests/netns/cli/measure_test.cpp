// SPDX-License-Identifier: Apache-2.0
// `measure` against real servers, in namespaces of their own.
#include <catch2/catch.hpp>

#include <atomic>

#include "netns/cli/delay_line.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

Ran measure_in(const Namespace& netns, Words words) {
    words.insert(words.begin(), "measure");
    return run(words, [&] { netns.enter(); });
}

// Accepts all that come, and keeps them until it ends.
class AcceptingServer {
public:
    AcceptingServer(const Namespace& netns, const char* address, std::uint16_t port)
        : listener_(netns.inside([&] { return listen_on(address, port, 1000); })), thread_([this] { serve(); }) {}
    AcceptingServer(const AcceptingServer&) = delete;
    AcceptingServer& operator=(const AcceptingServer&) = delete;
    ~AcceptingServer() {
        ended_ = true;
        thread_.join();
    }
    [[nodiscard]] std::size_t accepted() const { return accepted_; }

private:
    void serve() {
        while (!ended_) {
            if (await(listener_, POLLIN, 100)) accepted_ += accept_all(listener_);
        }
    }

    sys::Fd listener_;
    std::atomic<bool> ended_ = false;
    std::atomic<std::size_t> accepted_ = 0;
    std::thread thread_;
};

} // namespace

TEST_CASE("measure counts what a server accepted, and keeps to its rate", "[any-kernel]") {
    const Namespace netns;
    const AcceptingServer server(netns, "127.0.0.1", 8080);
    const Json said = json_of(measure_in(netns, {"127.0.0.1:8080", "--seconds", "2", "--rate", "100", "-o", "json"}));
    CHECK(said["target"] == "127.0.0.1:8080");
    CHECK(said["connects_failed"] == 0);
    CHECK(said["connects_ok"] > 0);
    CHECK(said["connects_ok"] <= 201);
    const std::size_t expected =
        said["connects_ok"].get<std::size_t>() + 1; // and the one that asks whether it is there
    CHECK(comes_true([&] { return server.accepted() == expected; }));
    CHECK(said["connect_ms_p50"].get<double>() > 0);
    CHECK(said["connect_ms_p50"] <= said["connect_ms_p99"]);
    CHECK(said["connect_ms_p99"] <= said["connect_ms_max"]);
    CHECK(said["throughput_mbit_per_second"].is_null());
    CHECK(said["no_throughput"].get<std::string>().starts_with("iperf3"));
}

TEST_CASE("measure's round trip is that of the way, and its table compares two", "[any-kernel]") {
    const DelayLine line({"--delay", "10ms"});
    const AcceptingServer server(line.far(), far_address, 8080);
    const TemporaryDirectory folder;
    const Ran first = measure_in(line.near(), {"10.88.0.2:8080", "--seconds", "1", "--rate", "50", "-o", "json"});
    const Json said = json_of(first);
    CHECK(said["connects_failed"] == 0);
    CHECK(said["round_trip_ms_p50"].get<double>() >= 20);
    CHECK(said["round_trip_ms_p50"].get<double>() < 25);
    CHECK(said["connect_ms_p50"].get<double>() >= 20);

    write_text(folder / "before.json", first.out);
    const Ran second = measure_in(line.near(), {"10.88.0.2:8080", "--seconds", "1", "--rate", "50", "--compare",
                                                (folder / "before.json").string()});
    CHECK(second.status == 0);
    CHECK(mentions(second.out, "BEFORE"));
    CHECK(mentions(second.out, "round trip, ms, p50"));
}

TEST_CASE("measure says which servers are not there, and asks them once", "[any-kernel]") {
    const Namespace netns;
    const Ran refused = measure_in(netns, {"127.0.0.1:8080"});
    CHECK(refused.status == 1);
    CHECK(refused.out.empty());
    CHECK(refused.err == "bpftune-k8s: 127.0.0.1:8080: refused\n");
    const Ran unreachable = measure_in(netns, {"192.0.2.1:80"});
    CHECK(unreachable.status == 1);
    CHECK(unreachable.err == "bpftune-k8s: 192.0.2.1:80: unreachable\n");
    const Ran unknown = measure_in(netns, {"no..such..name:80"});
    CHECK(unknown.status == 1);
    CHECK(mentions(unknown.err, "'no..such..name' is not resolved: "));
}

TEST_CASE("measure counts by cause what a full accept queue costs", "[any-kernel]") {
    const Namespace netns;
    const auto listener = netns.inside([] { return listen_on("127.0.0.1", 8080, 20); });
    SECTION("which drops SYNs: those time out") {
        const Json said =
            json_of(measure_in(netns, {"127.0.0.1:8080", "--seconds", "1", "--rate", "100", "-o", "json"}));
        CHECK(said["connects_ok"] == 20); // 21 fit, one of which asked whether it is there
        CHECK(said["failed_timed_out"] > 0);
        CHECK(said["connects_failed"] == said["failed_timed_out"]);
    }
    SECTION("which drops last ACKs: those are unanswered, or reset where that was asked for") {
        // Over a long way the queue has room when the SYNs come, and then none for all of their last ACKs. What waits
        // for its ACK is reset; what came by a SYN cookie, as there are too many of these, is dropped.
        const DelayLine line({"--delay", "20ms"});
        line.far().write("sys/net/ipv4/tcp_abort_on_overflow", "1");
        const auto short_queue = line.far().inside([] { return listen_on(far_address, 8080, 5); });
        const Json said = json_of(measure_in(
            line.near(), {"10.88.0.2:8080", "--seconds", "1", "--rate", "2000", "--connections", "50", "-o", "json"}));
        INFO(said);
        CHECK(said["connects_ok"] == 5);
        CHECK(said["failed_reset"] > 0);
        CHECK(said["failed_unanswered"] > 0);
    }
}

TEST_CASE("measure has the throughput from an iperf3 server, or says that there is none", "[any-kernel]") {
    const Namespace netns;
    const AcceptingServer server(netns, "127.0.0.1", 8080);
    const Words words{"127.0.0.1:8080", "--seconds", "1", "--rate", "10", "--iperf3", "5999", "-o", "json"};
    const Json without = json_of(measure_in(netns, words));
    CHECK(without["throughput_mbit_per_second"].is_null());
    CHECK(mentions(without["no_throughput"], "iperf3 on port 5999: "));
    CHECK(mentions(without["no_throughput"], "Connection refused"));

    const Process iperf3(netns, [] {
        const pid_t pid = ::fork();
        if (pid == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            ::execlp("iperf3", "iperf3", "-s", "-p", "5999", "--logfile", "/dev/null", nullptr);
            ::_exit(127);
        }
        return static_cast<std::uint64_t>(pid);
    });
    REQUIRE(comes_true([&] { return netns.read("net/tcp6").find(":176F ") != std::string::npos; })); // 5999
    const Json with = json_of(measure_in(netns, words));
    CHECK(with["no_throughput"].is_null());
    CHECK(with["throughput_mbit_per_second"].get<double>() > 0);
    CHECK(with["throughput_retransmits"].is_number());
}

TEST_CASE("measure without a free port says so", "[any-kernel]") {
    const Namespace netns;
    netns.write("sys/net/ipv4/ip_local_port_range", "40000 40009");
    netns.write("sys/net/ipv4/tcp_tw_reuse", "0");
    const auto listener = netns.inside([] { return listen_on("127.0.0.1", 8080, 100); });
    const Json said = json_of(measure_in(netns, {"127.0.0.1:8080", "--seconds", "1", "--rate", "100", "-o", "json"}));
    CHECK(said["failed_no_port"] > 0);
    CHECK(said["connects_failed"] == said["failed_no_port"]);
    CHECK(said["connects_ok"] == 9); // of ten ports, one of which asked whether it is there
}

TEST_CASE("measure refuses what it cannot do, and files that are no measurement", "[any-kernel]") {
    const Namespace netns;
    for (const Words& words :
         {Words{}, Words{"::1"}, Words{"a:b"}, Words{"a:80", "b:80"}, Words{"a:80", "--seconds", "61"},
          Words{"a:80", "--connections", "0"}, Words{"a:80", "--rate", "20001"}}) {
        const Ran ran = measure_in(netns, words);
        INFO(ran.err);
        CHECK(ran.status == 2);
        CHECK(ran.out.empty());
    }
    const TemporaryDirectory folder;
    write_text(folder / "bad.json", "{\"schema\": 1, \"target\": \"a\", \"seconds\": \"\x1b[2J\"}");
    const Ran bad = measure_in(netns, {"127.0.0.1:8080", "--compare", (folder / "bad.json").string()});
    CHECK(bad.status == 2);
    CHECK(mentions(bad.err, "bad.json:1:42: error: control character \\x1b"));
    CHECK(measure_in(netns, {"127.0.0.1:8080", "--compare", (folder / "none.json").string()}).status == 1);
}
