// SPDX-License-Identifier: Apache-2.0
#include "views/json.hpp"

#include <catch2/catch.hpp>

#include "signals/catalog.hpp"
#include "tunables/catalog.hpp"
#include "unit/views/sample.hpp"
#include "views/table.hpp"

namespace bpftune::views {
namespace {

Snapshot one_listener() {
    Snapshot snapshot = sample_snapshot();
    snapshot.listeners = {sample_listener()};
    snapshot.softirq.resize(1);
    snapshot.socket_sizes.rmem_max = 16777216;
    return snapshot;
}

} // namespace

TEST_CASE("of a table with more rows than are shown those that lose are, and the rest is counted") {
    Snapshot snapshot = one_listener();
    Listener quiet = sample_listener();
    quiet.drops = 0;
    quiet.overflows = 0;
    quiet.overflows_per_second = 0;
    snapshot.listeners.assign(most_rows + 500, quiet);
    for (std::size_t i = 0; i < snapshot.listeners.size(); ++i) snapshot.listeners[i].inode = i;
    snapshot.listeners.back().overflows = 7;
    const Json top = top_document(snapshot, {.mode = "auto"});
    REQUIRE(top["listeners"].size() == most_rows);
    CHECK(top["listeners"].front()["inode"] == 0);
    CHECK(top["listeners"].back()["overflows"] == 7);
    CHECK(top["left_out"] == Json({{"listeners", 500}}));
    CHECK(top_table(top, {.width = 100, .height = 20})->contains(": 1500, 1 with loss"));
    CHECK_FALSE(top_document(one_listener(), {.mode = "auto"}).contains("left_out"));
}

TEST_CASE("top's JSON is the documented object") {
    const std::vector changes{sample_change()};
    CHECK(
        top_json(one_listener(), {.mode = "auto", .changes = changes, .policy_error = {}}) ==
        R"({"schema":1,"time":"2026-11-21T22:00:00.123Z","node":"n1","mode":"auto",)"
        R"("sources":{"listen":"tracepoint","time_wait":"tracepoint","softirq":"procfs","conntrack":"netlink",)"
        R"("sysctl":"cgroup","buffers":"tracepoint","neighbours":"procfs"},)"
        R"("lost_events":0,"withheld_events":0,)"
        R"("socket_sizes":{"rmem_max":16777216,"wmem_max":null,"rmem_default":null,"wmem_default":null},)"
        R"("listeners":[{"netns":4026532247,"inode":48211,"address":"0.0.0.0","port":8080,"pid":712,)"
        R"("command":"nginx","pod":{"namespace":"shop","name":"web-0","container":"nginx"},)"
        R"("queue":3,"queue_peak":129,"limit":128,"asked":511,"somaxconn":128,"binds":"somaxconn",)"
        R"("drops":355,"overflows":351,"overflows_per_second":12.0,"arrivals":1211,"syn_queue":null,)"
        R"("fastopen_queue":null,"overflows_are":"exact","flooded":0,"flood":null,"unit":null,"netns_name":null,)"
        R"("queue_ratio":0.023255813953488372,"also_held_by":null}],)"
        R"("syn_queue":[{"netns":4026532247,"dropped":0,"cookies_sent":7814,)"
        R"("listen_overflows":351,"overflows_of_closed":0,"cookies_returned":12,"flooded":0,"flood":null,)"
        R"("other_drops":0,"fastopen":null,"fastopen_requests":0,"fastopen_opened":0,"fastopen_failed":0,)"
        R"("pod":{"namespace":"shop","name":"web-0","container":null},"unit":null,"netns_name":null}],)"
        R"("time_wait":[{"netns":4026532247,"sockets":812,"limit":131072,"entries_per_second":40.0,"overflows":0,)"
        R"("ports_exhausted":0,"ports_exhausted_command":null,"ports_exhausted_pid":null,"ports_exhausted_pod":null,"entries":5012,)"
        R"("ports_exhausted_remote":null,"local_ports":null,"tw_reuse":null,"tw_reuse_delay_ms":null,)"
        R"("pod":{"namespace":"shop","name":"web-0","container":null},"unit":null,"netns_name":null}],)"
        R"("softirq":[{"cpu":0,"processed":15,"dropped":0,"time_squeeze":0,"backlog_limit":1000,"backlog":0,"packets_per_second":0.0,"softirq_percent":null,)"
        R"("flow_limited":0,"budget":null,"budget_usecs":null,)"
        R"("idle_percent":null,"needed_percent":null,"hot_seconds":null,"softirq_ratio":null}],)"
        R"("conntrack":[{"netns":4026532247,"entries":20000,"limit":20000,"entries_per_second":950.0,)"
        R"("inserts_per_second":null,"drops":16013,"early_drops":0,"insert_failed":0,)"
        R"("nat_exhausted":0,"clashes":0,"chain_too_long":0,"clash":null,"full_in_seconds":0.0,)"
        R"("buckets":16384,"unanswered_ratio":null,"flooded":0,"unanswered":null,"flood":null,)"
        R"("sampled_entries":null,"tcp_entries":null,"udp_entries":null,"other_entries":null,)"
        R"("established_entries":null,"established_idle_entries":null,)"
        R"("established_timeout_seconds":null,"established_needed_seconds":null,)"
        R"("time_wait_entries":null,"time_wait_idle_entries":null,"time_wait_timeout_seconds":null,)"
        R"("time_wait_needed_seconds":null,"close_wait_entries":null,"close_wait_idle_entries":null,)"
        R"("close_wait_timeout_seconds":null,"close_wait_needed_seconds":null,)"
        R"("pod":{"namespace":"shop","name":"web-0","container":null},"unit":null,"netns_name":null}],)"
        R"("buffers":[],"udp":[],"neighbours":[],"fragments":[],"socket_memory":[],)"
        R"("tcp":[{"netns":4026532247,"segments_sent":98500,"segments_retransmitted":1500,)"
        R"("retransmitted_percent":1.5,"established":40,"close_wait":7,"close_wait_command":"nginx",)"
        R"("close_wait_pid":712,"close_wait_held":6,"time_wait":800,"syn_sent":0,"syn_recv":0,"fin_wait1":0,)"
        R"("fin_wait2":0,"last_ack":0,"closing":0,"listening":3,)"
        R"("pod":{"namespace":"shop","name":"web-0","container":null},"unit":null,"netns_name":null}],)"
        R"("steering":[],"interrupts":[],)"
        R"("changes":[{"id":7,"time":"2026-11-21T22:00:01.004Z","tunable":"net.core.somaxconn",)"
        R"("scope":{"netns":4026532247,"listener":{"inode":48211,"address":"0.0.0.0","port":8080},)"
        R"("pod":{"namespace":"shop","name":"web-0"}},"from":"128","to":"1024","state":"kept",)"
        R"("why":"accept queue of 0.0.0.0:8080 (nginx) reached 97 of 128 while it was being accepted from",)"
        R"("evidence":{"queue_peak":97,"limit":128,"arrivals":1211},"reaction_us":310}]})");
}

TEST_CASE("a table whose probe is unavailable has no key, one without rows is empty") {
    Snapshot snapshot;
    snapshot.sources = sources_of(Probe::softirq, Rung::procfs);
    CHECK(top_json(snapshot, {.mode = "observe", .policy_error = {}}) ==
          R"({"schema":1,"time":"1970-01-01T00:00:00.000Z","node":"","mode":"observe",)"
          R"("sources":{"listen":"unavailable","time_wait":"unavailable","softirq":"procfs",)"
          R"("conntrack":"unavailable","sysctl":"unavailable","buffers":"unavailable","neighbours":"unavailable"},)"
          R"("lost_events":0,"withheld_events":0,)"
          R"("socket_sizes":{"rmem_max":null,"wmem_max":null,"rmem_default":null,"wmem_default":null},)"
          R"("softirq":[],"steering":[],"interrupts":[],"changes":[]})");
}

TEST_CASE("what is not known of a change is null") {
    Change change = sample_change();
    change.tunable = TunableId::conntrack_max;
    change.scope = {};
    change.evidence.clear();
    change.reaction.reset();
    change.state = ChangeState::recommended;
    change.why = "mode is recommend";
    CHECK(changes_json(std::span(&change, 1)) ==
          R"([{"id":7,"time":"2026-11-21T22:00:01.004Z","tunable":"net.netfilter.nf_conntrack_max",)"
          R"("scope":{"netns":0,"listener":null,"pod":null},"from":"128","to":"1024","state":"recommended",)"
          R"("why":"mode is recommend","evidence":{},"reaction_us":null}])");
    CHECK(changes_json({}) == "[]");
    change.state = ChangeState::advice;
    change.from = change.to = "";
    CHECK(changes_json(std::span(&change, 1)).find(R"("from":null,"to":null,"state":"advice")") != std::string::npos);
}

TEST_CASE("the error of a policy that was not reloaded is passed on") {
    const Json top = top_document({}, {.mode = "auto", .policy_error = "policy.yaml:3:5: unknown key"});
    CHECK(top.at("policy_error") == "policy.yaml:3:5: unknown key");
}

TEST_CASE("numbers are exact") {
    Snapshot snapshot = one_listener();
    snapshot.listeners[0].overflows = UINT64_MAX;
    snapshot.conntrack[0].full_in_seconds = 0.1;
    const Json top = Json::parse(top_json(snapshot, {.mode = "auto", .policy_error = {}}));
    CHECK(top.at("listeners")[0].at("overflows") == UINT64_MAX);
    CHECK(top.at("conntrack")[0].at("full_in_seconds") == 0.1);
}

TEST_CASE("JSON of any bytes parses, is one line, and text that is UTF-8 comes back as it was") {
    for (const std::string& name : hostile_names()) {
        Snapshot snapshot = one_listener();
        snapshot.node = name;
        snapshot.listeners[0].command = name;
        snapshot.listeners[0].pod = Pod{name, name, name, ""};
        snapshot.tcp[0].ports_exhausted_command = name;
        Change change = sample_change();
        change.why = name;
        change.scope.pod = Pod{name, name, name, ""};
        const std::string text =
            top_json(snapshot, {.mode = "auto", .changes = std::span(&change, 1), .policy_error = name});
        CHECK(text.find('\n') == std::string::npos);
        const auto top = parse_answer(text);
        REQUIRE(top);
        const std::string command = top->at("listeners")[0].at("command");
        const bool is_utf8 = Json(name).dump(-1, ' ', false, Json::error_handler_t::ignore) ==
                             Json(name).dump(-1, ' ', false, Json::error_handler_t::replace);
        if (is_utf8) CHECK(command == name);
        CHECK(top->at("changes")[0].at("why") == command);
    }
}

TEST_CASE("an answer that is not of this schema is refused with the reason") {
    CHECK(parse_answer("").error().message == "the answer is not a JSON object: ");
    CHECK(parse_answer("[1]").error().message == "the answer is not a JSON object: [1]");
    CHECK(parse_answer("{\"schema\":1,\x1b[2J").error().message ==
          R"(the answer is not a JSON object: {"schema":1,\x1b[2J)");
    CHECK(parse_answer(R"({"hello":"world"})").error().message ==
          R"(the answer has no "schema": it is not from bpftune-k8s)");
    CHECK(parse_answer(R"({"schema":2})").error().message ==
          "the service speaks schema 2 and this program schema 1: use "
          "the program of the service's version");
    CHECK(parse_answer(R"({"error":"no\u001b such"})").error().message == R"(the service says: no\x1b such)");
    CHECK(parse_answer(R"({"schema":1})"));
    CHECK_FALSE(parse_answer(std::string(100'000, '[')));
}

TEST_CASE("the signal that a tunable serves is in the catalog") {
    for (const tunables::Tunable& tunable : tunables::catalog()) {
        INFO(tunable.name);
        if (tunable.serves.empty()) continue;
        std::size_t found = 0;
        for (const signals::Table& table : signals::catalog())
            found +=
                static_cast<std::size_t>(std::ranges::count(table.signals, tunable.serves, &signals::Signal::name));
        CHECK(found == 1);
    }
}

} // namespace bpftune::views
