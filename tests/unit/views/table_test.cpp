// SPDX-License-Identifier: Apache-2.0
#include "views/table.hpp"

#include <algorithm>

#include <catch2/catch.hpp>

#include "core/text.hpp"
#include "unit/views/sample.hpp"

namespace bpftune::views {
namespace {

std::string table(const Snapshot& snapshot, const TableOptions& options) {
    const std::vector changes{sample_change()};
    return *top_table(top_document(snapshot, {.mode = "auto", .changes = changes, .policy_error = {}}), options);
}

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    for (std::size_t start = 0; start < text.size();) {
        const std::size_t end = text.find('\n', start);
        lines.push_back(text.substr(start, end - start));
        start = end + 1;
    }
    return lines;
}

// The line that begins with `start`.
std::string line(const std::string& text, std::string_view start) {
    for (const std::string& candidate : lines_of(text))
        if (candidate.starts_with(start)) return candidate;
    return {};
}

// Nothing that `printable` would escape but backslashes.
bool is_safe(std::string text) {
    std::erase(text, '\\');
    return printable(text) == text;
}

Snapshot crowded() {
    Snapshot snapshot = sample_snapshot();
    for (std::uint16_t i = 0; i < 40; ++i)
        snapshot.listeners.push_back(quiet_listener("service", static_cast<std::uint16_t>(20000 + i)));
    return snapshot;
}

} // namespace

TEST_CASE("top says which other services there are, with what makes a screen safe") {
    const std::vector<OtherService> others{{.pid = 712, .state_dir = "/srv/\x1b[2J"}};
    const auto document = top_document(sample_snapshot(), {.mode = "auto", .others = others});
    CHECK(document["other_services"][0]["pid"] == 712);
    const std::string text = *top_table(document, {.width = 400});
    CHECK(line(text, "Another service") ==
          "Another service runs on this kernel, pid 712, with the state directory /srv/\\x1b[2J: each takes what the "
          "other sets for somebody else's. Stop one of them");
    CHECK_FALSE(top_document(sample_snapshot(), {.mode = "auto"}).contains("other_services"));
}

TEST_CASE("top at 80 columns") {
    CHECK(table(sample_snapshot(), {}) ==
          R"(2026-11-21 22:00:00 +0000  n1  mode auto  events lost 0
measured: listen by tracepoint, time_wait by tracepoint, softirq by procfs,
conntrack by netlink, sysctl by cgroup, buffers by tracepoint, neighbours by
procfs

Listeners: 3, 1 with loss
LISTENS ON    WHO             QUEUE  PEAK  LIMIT  ASKED  BINDS      LOST  LOST/S
0.0.0.0:8080  shop/web-0/ng~      3   129    128    511  somaxconn   351    12.0
    net.core.somaxconn of its network namespace limits the queue to 128; the
    application asked for 511
[::]:10250    kubelet             7     7   4096      -  somaxconn     0     0.0
[::]:22       sshd                0     0   4096      -  somaxconn     0     0.0

SYN queues by network namespace: 1, 0 with loss
NETNS       SYN DROPPED  COOKIES SENT  ACCEPT LOST  OF CLOSED  POD
4026532247            0          7814          351          0  shop/web-0

TIME_WAIT by network namespace: 1, 0 with loss
NETNS      SOCKETS  LIMIT ENTERED/S OVERFLOWS NO PORT NO PORT FOR POD
4026532247     812 131072      40.0         0       0 -           shop/web-0

Softirq backlog by CPU: 2, 0 with loss
CPU  PROCESSED  DROPPED  SQUEEZED  LIMIT  BACKLOG  PACKETS/S  TIME %
1        1.23M        0         0   1000        2        0.0       -
0           15        0         0   1000        0        0.0       -

Conntrack by network namespace: 1, 1 with loss
NETNS      ENTRIES LIMIT GROWTH/S DROPPED EVICTED CLASHED FULL IN S POD
4026532247   20000 20000      950   16013       0       0       0.0 shop/web-0

TCP buffers by network namespace: none

UDP sockets that dropped: none

Neighbour tables of the node: none

Fragments by network namespace: none

Memory that sockets share: none

TCP by network namespace: 1, 0 with loss
NETNS        SENT  RETRANS  RETRANS %  ESTAB  CLOSE_WAIT  HELD BY  POD
4026532247  98500     1500        1.5     40           7  nginx    shop/web-0

Network devices of a busy CPU: none

Interrupts of a busy CPU: none

Changes, newest first
22:00:01  net.core.somaxconn  128 → 1024  kept: accept queue of 0.0.0.0:8080 (n~
)");
}

TEST_CASE("top says how pods are called, and why not by the container runtime") {
    const auto shown = [](const NamedBy& pods) {
        return line(
            *top_table(top_document(sample_snapshot(), {.mode = "auto", .changes = {}, .pods = pods}), {.width = 200}),
            "pods: ");
    };
    CHECK(shown({.rung = "cri", .why = {}}) == "pods: named by cri");
    CHECK(shown({.rung = "logs", .why = "no runtime\x1b[2J"}) == "pods: named by logs: no runtime\\x1b[2J");
    CHECK(display_width(shown({.rung = "logs", .why = std::string(300, 'x')})) == 200); // one line
}

TEST_CASE("a wide screen shows more columns") {
    const std::string text = table(sample_snapshot(), {.width = 200});
    CHECK(
        line(text, "NETNS       LISTENS") ==
        "NETNS       LISTENS ON    PID  WHO               QUEUE  PEAK  LIMIT  ASKED  SOMAXCONN  BINDS      DROPS  LOST"
        "  LOST/S  ARRIVALS  SYN QUEUE");
    CHECK(
        line(text, "4026532247  0.0.0.0") ==
        "4026532247  0.0.0.0:8080  712  shop/web-0/nginx      3   129    128    511        128  somaxconn    355   351"
        "    12.0      1211          -");
}

TEST_CASE("what is no pod has its unit, or the bound name of its namespace, where a pod has its name") {
    Snapshot snapshot = sample_snapshot();
    snapshot.listeners = {sample_listener()};
    snapshot.netns_names = {{.netns = sample_tcp().netns, .bound = {"lab-1", "1f2e"}, .unit = "lab.service"}};
    const auto who = [&] { return line(table(snapshot, {.width = 220}), "4026532247  0.0.0.0"); };
    const auto whose = [&] { return line(table(snapshot, {.width = 220}), "4026532247      812"); };
    CHECK(who().find("  shop/web-0/nginx ") != std::string::npos);
    CHECK(whose().ends_with("  shop/web-0"));

    snapshot.listeners[0].pod.reset();
    snapshot.listeners[0].unit = "nginx.service";
    snapshot.tcp[0].pod.reset();
    CHECK(who().find("  nginx (nginx.service) ") != std::string::npos);
    CHECK(whose().ends_with("  lab.service"));

    snapshot.listeners[0].unit.clear();
    snapshot.netns_names[0].unit.clear();
    CHECK(who().find("  nginx (lab-1) ") != std::string::npos);
    CHECK(whose().ends_with("  lab-1"));

    snapshot.netns_names.clear();
    CHECK(who().find("  nginx ") != std::string::npos);
    CHECK(whose().ends_with("  -"));
}

TEST_CASE("who else has a hand on a socket stands behind whose it is") {
    Snapshot snapshot = sample_snapshot();
    snapshot.listeners = {sample_listener()};
    const auto who = [&] { return line(table(snapshot, {.width = 220}), "4026532247  0.0.0.0"); };
    snapshot.listeners[0].other = OtherHolder{.pod = Pod{"mesh", "ztunnel-x", "proxy", "u9"}, .unit = {}};
    CHECK(who().find("  shop/web-0/nginx + mesh/ztunnel-x/proxy ") != std::string::npos);
    snapshot.listeners[0].pod.reset();
    snapshot.listeners[0].unit = "nginx.service";
    snapshot.listeners[0].other = OtherHolder{.pod = {}, .unit = "init.scope"};
    CHECK(who().find("  nginx (nginx.service) + init.scope ") != std::string::npos);
    snapshot.listeners[0].other = OtherHolder{}; // in no unit
    CHECK(who().find("  nginx (nginx.service) + process 1 ") != std::string::npos);
}

TEST_CASE("a long address is cut before its port") {
    Snapshot snapshot = sample_snapshot();
    snapshot.listeners = {sample_listener()};
    snapshot.listeners[0].local = {"fd00:10:244:0:ffff:1234:5678:9abc", 8080};
    CHECK(line(table(snapshot, {.width = 80}), "[fd00") ==
          "[fd00:10:244:0~:8080 shop/web-0/ng~     3  129   128   511 somaxconn  351   12.0");
    CHECK(line(table(snapshot, {.width = 120}), "[fd00").starts_with("[fd00:10:244:0:ffff:1234:5678:9abc]:8080  shop"));
}

TEST_CASE("what limits a listener that lost connections is said in words") {
    const auto note = [](Listener listener) {
        Snapshot snapshot = sample_snapshot();
        snapshot.listeners = {std::move(listener)};
        return line(table(snapshot, {.width = 300}), "    ");
    };
    Listener listener = sample_listener();
    CHECK(note(listener) ==
          "    net.core.somaxconn of its network namespace limits the queue to 128; the application asked for 511");
    listener.asked.reset();
    CHECK(note(listener) == "    net.core.somaxconn of its network namespace limits the queue to 128; the application "
                            "asked for a number that was not seen");
    listener.somaxconn = 1024;
    CHECK(note(listener) == "    net.core.somaxconn is 1024 now, but the queue keeps the 128 of when listen() was "
                            "called; the application asked for a number that was not seen");
    listener.binds = Binds::unknown;
    CHECK(
        note(listener) ==
        "    128 is what the application asked for, or what net.core.somaxconn (1024 now) was when it called listen(): "
        "a restart of the application would tell, listener.backlog named in the policy raises it in either case");
    listener.binds = Binds::somaxconn;
    listener.somaxconn = listener.asked = 128;
    CHECK(
        note(listener) ==
        "    net.core.somaxconn of its network namespace limits the queue to 128; the application asked for 128, which "
        "is all that net.core.somaxconn allowed: taken for as much as is allowed");
    listener.somaxconn = 1024;
    listener.binds = Binds::application;
    CHECK(note(listener) == "    the application asked for a queue of only 128: raising net.core.somaxconn (1024) "
                            "cannot help, its own backlog setting can, or listener.backlog in the policy");
    listener.binds = Binds::syn_backlog;
    CHECK(note(listener) == "    128 connections may wait to be accepted (net.core.somaxconn is 1024, the application "
                            "asked for 128); for handshakes under way net.ipv4.tcp_max_syn_backlog is the smaller "
                            "limit, syncookies being off");
    listener.overflows = 0;
    listener.overflows_per_second = 0;
    CHECK(note(listener).empty());
}

TEST_CASE("what history advised last of a listener is what top says of it") {
    Snapshot snapshot = sample_snapshot();
    snapshot.listeners = {sample_listener()};
    Change advice = sample_change();
    advice.scope.netns = snapshot.listeners[0].netns;
    advice.scope.listener = ListenerRef{.inode = snapshot.listeners[0].inode};
    advice.state = ChangeState::advice;
    advice.why = "it hangs or is stopped";
    std::vector changes{sample_change(), advice};
    const auto note = [&] {
        return line(*top_table(top_document(snapshot, {.mode = "auto", .changes = changes}), {.width = 300}), "    ");
    };
    CHECK(note() == "    it hangs or is stopped");
    advice.state = ChangeState::applied;
    changes.push_back(advice);
    CHECK(note().starts_with("    net.core.somaxconn of its network namespace limits"));
}

TEST_CASE("a flood is said below its row, also where nothing was lost and there is little room") {
    Snapshot snapshot = crowded();
    snapshot.listeners[40].flood = "2000 connections/s, 0/s accepted";
    snapshot.tcp[0].flood = "8000 SYN cookies/s, 12/s came back";
    snapshot.conntrack[0].flood = "940 of 1000 entries looked at are unanswered";
    const std::string text = table(snapshot, {.width = 80, .height = 30});
    CHECK(text.find("\n    flood: 2000 connections/s, 0/s accepted\n") != std::string::npos);
    CHECK(text.find("\n    flood: 8000 SYN cookies/s, 12/s came back\n") != std::string::npos);
    CHECK(text.find("\n    flood: 940 of 1000 entries looked at are unanswered\n") != std::string::npos);
}

TEST_CASE("no limit is called none, and what clashes is said below its row") {
    Snapshot snapshot = sample_snapshot();
    snapshot.conntrack[0].limit = 0;
    snapshot.conntrack[0].clash = "NAT ports exhausted";
    const std::string text = table(snapshot, {.width = 200});
    CHECK(line(text, "4026532247    20000   none").starts_with("4026532247"));
    CHECK(text.find("\n    clash: NAT ports exhausted\n") != std::string::npos);
}

TEST_CASE("the listener that loses most now comes first, then who has lost, then the fullest") {
    Snapshot snapshot = sample_snapshot();
    Listener once = quiet_listener("once", 1);
    once.overflows = 1'000'000;
    Listener slow = quiet_listener("slow", 2);
    slow.overflows = 1;
    slow.overflows_per_second = 0.5;
    snapshot.listeners.insert(snapshot.listeners.end(), {once, slow});
    const std::string text = table(snapshot, {.width = 200});
    std::vector<std::size_t> places;
    for (const char* who : {" nginx", "slow ", "once ", "kubelet ", "sshd "}) places.push_back(text.find(who));
    places[0] = text.find("shop/web-0/nginx");
    CHECK(std::ranges::is_sorted(places));
}

TEST_CASE("rows that do not fit are counted, those without loss go first, and the screen is not passed") {
    for (const std::size_t height : {20U, 24U, 30U, 40U, 50U, 60U, 70U}) {
        const std::string text = table(crowded(), {.width = 120, .height = height});
        CHECK(lines_of(text).size() <= height);
        CHECK(text.find("shop/web-0/nginx") != std::string::npos);
    }
    const std::string text = table(crowded(), {.width = 120, .height = 24});
    CHECK(line(text, "Listeners") == "Listeners: 43, 1 with loss … 35 more without loss");
    CHECK(line(text, "Without") == "Without loss: SYN queues by network namespace: 1; TIME_WAIT by network namespace: "
                                   "1; Softirq backlog by CPU: 2; TCP buf~");
    CHECK(lines_of(table(crowded(), {.width = 120})).size() > 60);
}

TEST_CASE("where nothing fits the number of rows with loss is told") {
    Snapshot snapshot = crowded();
    snapshot.listeners.assign(5, sample_listener());
    const std::string text = table(snapshot, {.width = 120, .height = 16});
    CHECK(line(text, "Listeners") == "Listeners: 5, 5 with loss … 4 more, 4 of them with loss");
}

TEST_CASE("a flow that a buffer holds back is named below the row of its namespace") {
    Snapshot snapshot = sample_snapshot();
    TcpBuffers& row = snapshot.buffers.emplace_back();
    row.netns = {.cookie = 12, .inode = 4026532247};
    row.rmem_max = 200000;
    row.looked_at = 3;
    row.receiving = {.flows = 1};
    row.receiving->largest = HeldFlow{.pid = 712,
                                      .command = "curl",
                                      .local = {"10.0.0.2", 41810},
                                      .remote = {"10.0.0.1", 443},
                                      .limit_bytes = 98304,
                                      .bytes_per_second = 1'600'000,
                                      .round_trip_us = 50'000};
    const std::string text = table(snapshot, {.width = 120});
    CHECK(line(text, "NETNS       RMEM") ==
          "NETNS       RMEM MAX  WMEM MAX  FLOWS  BY RMEM  BY SO_RCVBUF  BY WMEM  BY SO_SNDBUF  "
          "BY SCALE  BY LOSS  CONTROL  POD");
    CHECK(line(text, "4026532247    200000") ==
          "4026532247    200000         -      3        1             0        -             -  "
          "       -        -  -        -");
    CHECK(line(text, "    held back") == "    held back by tcp_rmem: curl (pid 712), 10.0.0.2:41810 and 10.0.0.1:443: "
                                         "1.6 MB/s, 98304 bytes at once in 50.0 ms");
}

TEST_CASE("the last ten changes are shown, the newest first") {
    std::vector<Change> changes(12, sample_change());
    for (std::size_t i = 0; i < changes.size(); ++i) changes[i].to = std::to_string(1000 + i);
    const Json top = top_document(sample_snapshot(), {.mode = "auto", .changes = changes, .policy_error = {}});
    const auto lines = lines_of(*top_table(top, {}));
    CHECK(lines[lines.size() - 10].find("128 → 1011") != std::string::npos);
    CHECK(lines.back().find("128 → 1002") != std::string::npos);
    CHECK(lines_of(*top_table(top_document({}, {.mode = "auto", .policy_error = {}}), {})).back() == "Changes: none");
}

TEST_CASE("the error of a policy that was not reloaded is above the tables") {
    const Json top =
        top_document({}, {.mode = "auto", .policy_error = "p.yaml:3:5: error: unknown key\n    mod: auto\n    ^"});
    CHECK(top_table(top, {})->find("The policy was not reloaded, the old one stays:\n"
                                   "p.yaml:3:5: error: unknown key\n"
                                   "    mod: auto\n"
                                   "    ^\n") != std::string::npos);
}

TEST_CASE("a journal that takes no rows is above the tables") {
    const Json top = top_document({}, {.mode = "auto", .journal_error = "journal x: disk is full"});
    CHECK(line(*top_table(top, {}), "Nothing is written") ==
          "Nothing is written, because no change can be recorded: journal x: disk is full");
}

TEST_CASE("an HTTP port that is another's is above the tables") {
    const Json top = top_document({}, {.mode = "auto", .http_error = "cannot listen on 127.0.0.1:9810"});
    CHECK(line(*top_table(top, {}), "No metrics") == "No metrics are served: cannot listen on 127.0.0.1:9810");
    CHECK(top.at("http_error") == "cannot listen on 127.0.0.1:9810");
    CHECK_FALSE(top_document({}, {.mode = "auto"}).contains("http_error"));
}

TEST_CASE("escapes appear only where colour was asked for") {
    CHECK(table(sample_snapshot(), {}).find('\x1b') == std::string::npos);
    const std::string text = table(sample_snapshot(), {.color = true});
    CHECK(text.find("\x1b[1mListeners: 3, 1 with loss\x1b[0m\n") != std::string::npos);
    CHECK(text.find("\x1b[31m0.0.0.0:8080") != std::string::npos);
    CHECK(text.find("\x1b[31m[::]:22") == std::string::npos);
}

TEST_CASE("hostile names stay on their line, inside the screen, without control characters") {
    for (const std::string& name : hostile_names()) {
        Snapshot snapshot = sample_snapshot();
        snapshot.node = name;
        snapshot.listeners[0].command = name;
        snapshot.listeners[2].pod = Pod{name, name, name, ""};
        snapshot.tcp[0].ports_exhausted_command = name;
        const std::size_t lines = lines_of(table(sample_snapshot(), {})).size();
        for (const std::size_t width : {20U, 80U, 120U, 200U}) {
            const std::string text = table(snapshot, {.width = width});
            if (width == 80) CHECK(lines_of(text).size() == lines);
            for (const std::string& each : lines_of(text)) {
                CHECK(display_width(each) <= width);
                CHECK(is_safe(each));
            }
        }
    }
}

TEST_CASE("the answer of another version shows what is known, and the rest as unknown") {
    const auto shown = top_table(Json::parse(R"({"schema":1,"sources":[],"listeners":[7,{"port":80,"queue":"x",
        "overflows":[1],"pod":{"name":3},"binds":{"a":1},"brand_new":1}],"new_table":[{}],"softirq":"?"})"),
                                 {});
    REQUIRE(shown);
    CHECK(*shown == R"(-  -  mode -  events lost -
measured: -

Listeners: 1, 0 with loss
LISTENS ON  WHO  QUEUE  PEAK  LIMIT  ASKED  BINDS  LOST  LOST/S
-:80        -        x     -      -      -  -         -       -

Changes: none
)");
    CHECK(top_table(Json("text"), {}).error().message == "not a JSON object");
}

TEST_CASE("whom the policy holds back is said by its lines, four of them at most") {
    std::vector<Restraint> restraints{
        {.by = "held by policy.yaml:12", .mode = "observe", .count = 5, .names = {"shop/a", "shop/b", "shop/c"}}};
    const auto shown = [&] {
        return top_table(top_document(sample_snapshot(), {.mode = "auto", .restraints = restraints}), {.width = 120})
            .value();
    };
    CHECK_THAT(shown(), Catch::Contains("\nheld by policy.yaml:12, mode observe: shop/a, shop/b, shop/c and 2 more\n"));
    restraints.resize(6, {.by = "held by \x1b[2J", .mode = "observe", .count = 1, .names = {std::string(500, 'x')}});
    CHECK_THAT(shown(), Catch::Contains("and 2 more of these: -o json has all\n"));
    CHECK(shown().find('\x1b') == std::string::npos);
    for (const std::string& line : lines_of(shown())) CHECK(display_width(line) <= 120);
}

} // namespace bpftune::views
