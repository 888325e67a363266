// SPDX-License-Identifier: Apache-2.0
#include "service/counted.hpp"

#include <catch2/catch.hpp>

using namespace bpftune;
using namespace bpftune::service;

namespace {

Counted sample() {
    Counted counted;
    counted.softnet = probes::SoftirqReading{.processed = 1000, .dropped = 3, .time_squeeze = 7};
    counted.conntrack_limit = 262144;
    Counted::Netns row{.netns = {.cookie = 1, .inode = 4026531833}};
    row.name = "web-0";
    row.segments = {.sent = 9900, .retransmitted = 100};
    row.states = TcpStates{.established = 40, .time_wait = 800, .close_wait = 7};
    row.conntrack_entries = 12;
    row.conntrack = ConntrackStates{.looked_at = 12, .tcp = 9, .udp = 2, .other = 1};
    row.conntrack->established.entries = 8;
    row.conntrack->close_wait.entries = 1;
    counted.namespaces = {row,
                          {.netns = {.cookie = 2, .inode = 4026531834}, .states = TcpStates{}},
                          {.netns = {.cookie = 3, .inode = 4026531835}}};
    return counted;
}

} // namespace

TEST_CASE("what was counted is read as ss and uniq have it, a namespace a line, and of so many as are asked for") {
    CHECK(lines_of(sample(), 10) ==
          std::vector<std::string>{
              "backlogs of all CPUs: 1000 packets, 3 dropped, 7 times squeezed",
              "conntrack: at most 262144 entries in each network namespace",
              std::string("4026531833 (web-0): 40 established, 7 close_wait, 800 time_wait; 9900 segments sent, 100 "
                          "again (1.00 %); ") +
                  "conntrack 12: 9 tcp (8 established, 1 close_wait, 0 time_wait), 2 udp, 1 other",
              "4026531834: no TCP sockets",
              "4026531835",
          });
    CHECK(lines_of(sample(), 1).size() == 3);
    CHECK(lines_of({}, 10).empty());
}

TEST_CASE("what is not known of what was counted is null") {
    CHECK(document_of(Counted()).dump() == R"({"softnet":null,"conntrack_limit":null,"namespaces":[]})");
    const views::Json rows = document_of(sample())["namespaces"];
    CHECK(rows[0]["states"]["close_wait"] == 7);
    CHECK(rows[0]["segments_retransmitted"] == 100);
    CHECK(rows[0]["conntrack"]["established"] == 8);
    CHECK(rows[2].dump() == R"({"netns":4026531835,"netns_name":null,"states":null,"segments_sent":null,)"
                            R"("segments_retransmitted":null,"conntrack_entries":null,"conntrack":null})");
}
