// SPDX-License-Identifier: Apache-2.0
#include "controller/expect.hpp"

#include <catch2/catch.hpp>

using namespace bpftune;
using namespace bpftune::controller;
using namespace std::chrono_literals;

namespace {

constexpr NetnsId host{.cookie = 1, .inode = 4026531840};

struct Node {
    Watch watch;
    Snapshot snapshot;

    Node() {
        snapshot.host = host;
        snapshot.sources[static_cast<std::size_t>(Probe::sysctl)] = Rung::cgroup;
    }
    void expects(const std::string& expected, const std::optional<std::string>& found,
                 const std::string& why_not = "") {
        snapshot.expected = {{.name = "net.ipv4.ip_forward",
                              .sysctl = "net/ipv4/ip_forward",
                              .expected = expected,
                              .found = found,
                              .absent = !found,
                              .why_not = why_not}};
    }
    void writes(const std::string& command, const std::string& text, const NetnsId& netns = host,
                const std::string& sysctl = "net/ipv4/ip_forward") {
        snapshot.time.mono += 1ms;
        snapshot.sysctl_writes.push_back({.time = snapshot.time.mono,
                                          .netns = netns,
                                          .sysctl = sysctl,
                                          .value = std::nullopt,
                                          .more = {},
                                          .pid = 7,
                                          .command = command,
                                          .text = text});
    }
    // What is told at the next tick; empty: nothing.
    std::string tick(const std::optional<std::string>& found, const std::string& why_not = "") {
        snapshot.time.mono += 1s;
        expects("1", found, why_not);
        const auto news = watch_expected(watch, snapshot);
        if (news.empty()) return {};
        REQUIRE(news.size() == 1);
        return news[0].is_wrong ? sentence(*watch.at(news[0].sysctl).wrong) : "right again";
    }
};

} // namespace

TEST_CASE("what is as expected is not spoken of, and what is not is told once, and once when it is right again") {
    Node node;
    CHECK(node.tick("1").empty());
    CHECK_FALSE(node.tick("0").empty());
    CHECK(node.tick("0").empty());
    CHECK(node.tick("1") == "right again");
    CHECK(node.tick("1").empty());
}

TEST_CASE("who was seen to set it is named, and no one else") {
    Node node;
    CHECK(node.tick("1").empty());
    node.writes("pod", "0", {.cookie = 2, .inode = 4026532000});      // another network namespace
    node.writes("other", "0", host, "net/ipv4/conf/eth0/forwarding"); // another sysctl
    node.writes("harmless", "1");
    node.writes("refused", "nonsense");
    CHECK(node.tick("0") == "net.ipv4.ip_forward is 0 and not 1, as the policy expects: it was not seen who set it");
    CHECK(node.tick("1") == "right again");
    node.writes("evil", "0");
    node.writes("late", "0"); // when it was 0 already
    CHECK(node.tick("0") == "net.ipv4.ip_forward is 0 and not 1, as the policy expects: evil (pid 7) set it");
    CHECK(node.tick("1") == "right again");
    CHECK(node.tick("0") == "net.ipv4.ip_forward is 0 and not 1, as the policy expects: it was not seen who set it");
}

TEST_CASE("who sets it wrong again after it was put right within one tick is the one that is named") {
    Node node;
    CHECK(node.tick("1").empty());
    node.writes("first", "0");
    node.writes("repair", "1");
    node.writes("second", "0");
    CHECK(node.tick("0") == "net.ipv4.ip_forward is 0 and not 1, as the policy expects: second (pid 7) set it");
}

TEST_CASE("a write by the other name of the same value counts, and one that the kernel reads as that number") {
    Node node;
    CHECK(node.tick("1").empty());
    node.writes("evil", "0x0", host, "net/ipv4/conf/all/forwarding");
    node.snapshot.sysctl_writes.back().value = 0;
    CHECK(is_expected(node.snapshot, host, "net/ipv4/conf/all/forwarding"));
    CHECK_FALSE(is_expected(node.snapshot, host, "net/ipv4/tcp_sack"));
    CHECK_FALSE(is_expected(node.snapshot, {.cookie = 2, .inode = 3}, "net/ipv4/ip_forward"));
    CHECK(node.tick("0") == "net.ipv4.ip_forward is 0 and not 1, as the policy expects: evil (pid 7) set it");
}

TEST_CASE("what is wrong from the start is told as that") {
    Node node;
    node.expects("1", "0");
    const auto news = watch_expected(node.watch, node.snapshot);
    REQUIRE(news.size() == 1);
    CHECK(news[0].from_start);
    CHECK(node.watch.at("net/ipv4/ip_forward").wrong->why == "it was so when it was first looked at");
}

TEST_CASE("without events nobody is blamed, and it is said why") {
    Node node;
    node.snapshot.sources[static_cast<std::size_t>(Probe::sysctl)] = Rung::procfs;
    CHECK(node.tick("1").empty());
    CHECK(node.tick("0") == "net.ipv4.ip_forward is 0 and not 1, as the policy expects: it is not known who set it, "
                            "since `sysctl` is not by cgroup here");
}

TEST_CASE("what is not there is told with its reason, and again when the reason is another one") {
    Node node;
    CHECK(node.tick({}, "br_netfilter is not loaded") ==
          "net.ipv4.ip_forward is not 1, as the policy expects: br_netfilter is not loaded");
    CHECK(node.tick({}, "br_netfilter is not loaded").empty());
    CHECK_FALSE(node.tick({}, "it cannot be read").empty());
    CHECK(node.tick("1") == "right again");
}

TEST_CASE("what comes in the place of what was not there was set by nobody that wrote to that") {
    Node node;
    CHECK(node.tick("1").empty());
    node.writes("sysctl", "0");
    CHECK_FALSE(node.tick("0").empty());
    CHECK_FALSE(node.tick(std::nullopt, "there is no network device web-1").empty());
    CHECK(node.tick("0") == "net.ipv4.ip_forward is 0 and not 1, as the policy expects: it was not seen who set it");
    CHECK(node.tick("1") == "right again");
    node.writes("sysctl", "0");
    CHECK(node.tick("0").contains("sysctl (pid 7) set it"));
}

TEST_CASE("another expectation of the same sysctl is told anew, and one that is no longer in the policy is forgotten") {
    Node node;
    CHECK_FALSE(node.tick("0").empty());
    node.expects("2", "0");
    CHECK(watch_expected(node.watch, node.snapshot).size() == 1);
    node.snapshot.expected.clear();
    CHECK(watch_expected(node.watch, node.snapshot).empty());
    CHECK(node.watch.empty());
}

TEST_CASE("values are compared by number where both are numbers, word by word") {
    CHECK(is_same_setting("1", "00000001"));
    CHECK(is_same_setting("4096 131072 6291456", "4096 131072 6291456"));
    CHECK(is_same_setting("-1", "-1"));
    CHECK(is_same_setting("", ""));
    CHECK_FALSE(is_same_setting("1", "10"));
    CHECK_FALSE(is_same_setting("1 2", "1"));
    CHECK_FALSE(is_same_setting("1", "1 2"));
    CHECK_FALSE(is_same_setting("bbr", "bb"));
    CHECK_FALSE(is_same_setting("1a", "1"));
}
