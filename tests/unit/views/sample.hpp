// SPDX-License-Identifier: Apache-2.0
// A node as the tests of the views see it: the example of the interface, and what hostile processes make of it.
#pragma once

#include <string>
#include <vector>

#include "core/change.hpp"
#include "core/snapshot.hpp"

namespace bpftune::views {

inline WallTime sample_time() {
    using namespace std::chrono;
    return sys_days{year{2026} / 11 / 21} + 22h + 123ms;
}

inline Listener sample_listener() {
    Listener l;
    l.netns = {.cookie = 12, .inode = 4026532247};
    l.cookie = 77;
    l.inode = 48211;
    l.local = {"0.0.0.0", 8080};
    l.pid = 712;
    l.command = "nginx";
    l.pod = Pod{"shop", "web-0", "nginx", ""};
    l.queue = 3;
    l.queue_peak = 129;
    l.limit = 128;
    l.asked = 511;
    l.somaxconn = 128;
    l.binds = Binds::somaxconn;
    l.drops = 355;
    l.overflows = 351;
    l.overflows_per_second = 12;
    l.arrivals = 1211;
    return l;
}

inline Listener quiet_listener(std::string command, std::uint16_t port, std::uint32_t queue = 0) {
    Listener l;
    l.netns = {.cookie = 1, .inode = 4026531833};
    l.cookie = port;
    l.inode = 9000U + port;
    l.local = {"::", port};
    l.pid = 100;
    l.command = std::move(command);
    l.queue = queue;
    l.queue_peak = queue;
    l.limit = 4096;
    l.somaxconn = 4096;
    return l;
}

inline NetnsTcp sample_tcp() {
    NetnsTcp n;
    n.netns = {.cookie = 12, .inode = 4026532247};
    n.pod = Pod{"shop", "web-0", "", ""};
    n.somaxconn = 128;
    n.listen_overflows = 351;
    n.cookies_sent = 7814;
    n.cookies_returned = 12;
    n.time_wait_sockets = 812;
    n.time_wait_limit = 131072;
    n.time_wait_entries = 5012;
    n.time_wait_entries_per_second = 40;
    n.ports_exhausted = 0;
    n.segments_sent = 98500;
    n.segments_retransmitted = 1500;
    n.retransmitted_percent = 1.5;
    n.states = TcpStates{.established = 40, .time_wait = 800, .close_wait = 7};
    n.listening = 3;
    n.close_wait_holder = CloseWaitHolder{.pid = 712, .command = "nginx", .held = 6};
    return n;
}

inline Conntrack sample_conntrack() {
    Conntrack c;
    c.netns = {.cookie = 12, .inode = 4026532247};
    c.pod = Pod{"shop", "web-0", "", ""};
    c.entries = 20000;
    c.limit = 20000;
    c.buckets = 16384;
    c.entries_per_second = 950;
    c.drops = 16013;
    c.full_in_seconds = 0;
    return c;
}

// One probe on a rung, and no other.
inline Sources sources_of(Probe probe, Rung rung) {
    Sources sources = all_unavailable();
    sources[static_cast<std::size_t>(probe)] = rung;
    return sources;
}

inline Snapshot sample_snapshot() {
    Snapshot s;
    s.time.wall = sample_time();
    s.node = "n1";
    s.sources = {Rung::tracepoint, Rung::tracepoint, Rung::procfs, Rung::netlink,
                 Rung::cgroup,     Rung::tracepoint, Rung::procfs};
    s.listeners = {quiet_listener("sshd", 22), quiet_listener("kubelet", 10250, 7), sample_listener()};
    s.tcp = {sample_tcp()};
    s.softirq = {{.cpu = 0, .processed = 15, .backlog = 0, .backlog_limit = 1000},
                 {.cpu = 1, .processed = 1234567, .backlog = 2, .backlog_limit = 1000}};
    s.conntrack = {sample_conntrack()};
    return s;
}

inline Change sample_change() {
    Change c;
    c.id = 7;
    c.time = sample_time() + std::chrono::milliseconds(881);
    c.tunable = TunableId::somaxconn;
    c.scope.netns = {.cookie = 12, .inode = 4026532247};
    c.scope.listener = ListenerRef{.cookie = 77, .inode = 48211, .local = {"0.0.0.0", 8080}};
    c.scope.pod = Pod{"shop", "web-0", "nginx", ""};
    c.original = c.from = "128";
    c.to = "1024";
    c.state = ChangeState::kept;
    c.why = "accept queue of 0.0.0.0:8080 (nginx) reached 97 of 128 while it was being accepted from";
    c.evidence = {{"queue_peak", 97}, {"limit", 128}, {"arrivals", 1211}};
    c.reaction = std::chrono::microseconds(310);
    return c;
}

// What a process may call itself, and a pod may not but who knows.
inline const std::vector<std::string>& hostile_names() {
    static const std::vector<std::string> names{
        "\xff\xfe\x80",              // no UTF-8
        "\x1b[2J\x1b]0;owned\x07",   // terminal escapes
        "a\"b'c,d",                  // quotes and commas
        "one\ntwo\r\nthree\ttab",    // lines
        "back\\slash\\x41",          // escapes of escapes
        "\xf0\x9f\x90\x9d bee",      // four bytes
        "\xe2\x80\xaegnp.exe",       // right-to-left override
        "\302\23331m",               // a control character of C1
        std::string("nul\0byte", 8), //
        "",                          //
        "# HELP x y",                // looks like metrics
        "\xe2\x82",                  // cut in the middle
    };
    return names;
}

} // namespace bpftune::views
