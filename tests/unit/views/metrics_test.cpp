// SPDX-License-Identifier: Apache-2.0
#include "views/metrics.hpp"

#include <regex>
#include <set>
#include <sstream>

#include <catch2/catch.hpp>

#include "tunables/catalog.hpp"
#include "unit/views/sample.hpp"

namespace bpftune::views {
namespace {

using namespace std::chrono_literals;

std::vector<std::string> lines_with(const std::string& text, std::string_view what) {
    std::vector<std::string> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);)
        if (line.find(what) != std::string::npos && !line.starts_with("#")) lines.push_back(line);
    return lines;
}

std::string line_with(const std::string& text, std::string_view what) {
    const auto lines = lines_with(text, what);
    REQUIRE(lines.size() == 1);
    return lines[0];
}

// What a scraper demands of the text format 0.0.4: HELP and TYPE once, before the samples of their family, each series
// once, and nothing else.
void check_format(const std::string& text) {
    static const std::regex help(R"(# HELP ([a-z_0-9]+) [ -~]+)");
    static const std::regex type(R"(# TYPE ([a-z_0-9]+) (counter|gauge))");
    static const std::regex sample(
        R"(([a-z_0-9]+)(\{[a-z]+="([^"\\\n]|\\["\\n])*"(,[a-z]+="([^"\\\n]|\\["\\n])*")*\})? -?[0-9.e+-]+)");
    std::set<std::string> families;
    std::set<std::string> series;
    std::string family;
    std::smatch match;
    REQUIRE(text.ends_with('\n'));
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) {
        INFO(line);
        if (std::regex_match(line, match, help)) {
            family = match[1];
            CHECK(families.insert(family).second);
        } else if (std::regex_match(line, match, type)) {
            CHECK(match[1] == family);
        } else {
            REQUIRE(std::regex_match(line, match, sample));
            CHECK(match[1] == family);
            CHECK(series.insert(line.substr(0, line.rfind(' '))).second);
        }
    }
}

Snapshot listeners(std::vector<Listener> all) {
    Snapshot snapshot;
    snapshot.sources.fill(Rung::tracepoint);
    snapshot.listeners = std::move(all);
    return snapshot;
}

Listener listener(std::uint64_t cookie, std::uint64_t overflows, std::uint32_t queue = 0) {
    Listener l = sample_listener();
    l.cookie = cookie;
    l.overflows = overflows;
    l.queue = l.queue_peak = queue;
    return l;
}

constexpr std::string_view overflows_of_web = R"(overflows_total{namespace="shop",pod="web-0",container="nginx"})";

std::string overflows(const Metrics& metrics) {
    const std::string line = line_with(metrics.text(), overflows_of_web);
    return line.substr(line.rfind(' ') + 1);
}

} // namespace

TEST_CASE("metrics are named, helped and typed by the catalog") {
    Metrics metrics("0.1.0");
    metrics.update(sample_snapshot(), "auto");
    metrics.update({.policy_name = "web \"nodes\"",
                    .policy_hash = "00ff",
                    .policy_loaded = false,
                    .policy_loaded_at = WallTime(std::chrono::seconds(1'700'000'000)),
                    .journal_writable = false,
                    .memory_charged_bytes = 4096,
                    .memory_budget_bytes = 1 << 20,
                    .process = {.cpu_seconds = 1.5, .open_fds = 17}});
    const std::string text = metrics.text();
    check_format(text);
    CHECK(text.starts_with("# HELP bpftune_listener_queue_connections Connections that wait to be accepted.\n"
                           "# TYPE bpftune_listener_queue_connections gauge\n"
                           R"(bpftune_listener_queue_connections{namespace="",pod="",container=""} 7)"
                           "\n"
                           R"(bpftune_listener_queue_connections{namespace="",pod="other",container=""} 3)"
                           "\n"));
    CHECK(line_with(text, "softirq_packets_total{cpu=\"1\"}") == R"(bpftune_softirq_packets_total{cpu="1"} 1234567)");
    CHECK(line_with(text, "build_info") == R"(bpftune_build_info{version="0.1.0"} 1)");
    CHECK(line_with(text, "bpftune_mode") == R"(bpftune_mode{mode="auto"} 1)");
    CHECK(line_with(text, R"(probe="conntrack")") == R"(bpftune_source_info{probe="conntrack",source="netlink"} 1)");
    CHECK(line_with(text, "bpftune_policy_info") == R"(bpftune_policy_info{name="web \"nodes\"",hash="00ff"} 1)");
    CHECK(line_with(text, "policy_last_reload_successful") == "bpftune_policy_last_reload_successful 0");
    CHECK(line_with(text, "policy_last_reload_success_timestamp_seconds").ends_with(" 1700000000"));
    CHECK(line_with(text, "memory_charged_bytes") == "bpftune_memory_charged_bytes 4096");
    CHECK(line_with(text, "memory_budget_bytes") == "bpftune_memory_budget_bytes 1048576");
    CHECK(line_with(text, "process_cpu_seconds_total") == "process_cpu_seconds_total 1.5");
    CHECK(line_with(text, "process_open_fds") == "process_open_fds 17");
    CHECK(lines_with(text, "process_max_fds").empty()); // not read
    CHECK(line_with(text, "journal_writable") == "bpftune_journal_writable 0");
    CHECK(line_with(text, "lost_events") == "bpftune_lost_events_total 0");
    CHECK(line_with(text, "withheld_events") == "bpftune_withheld_events_total 0");
}

TEST_CASE("no series names a process, port, address or network namespace") {
    Metrics metrics("0.1.0");
    metrics.update(sample_snapshot(), "auto");
    for (const std::string_view label : {"pid=", "port=", "address=", "netns=", "inode=", "command="})
        CHECK(lines_with(metrics.text(), label).empty());
}

TEST_CASE("before the first snapshot there are well-formed metrics too") {
    const Metrics metrics("0.1.0");
    check_format(metrics.text());
    CHECK(lines_with(metrics.text(), "listener_").empty());
    CHECK(line_with(metrics.text(), R"(probe="listen")") ==
          R"(bpftune_source_info{probe="listen",source="unavailable"} 1)");
}

TEST_CASE("a counter is the sum over its rows, and does not fall when one of them closes") {
    Metrics metrics("0.1.0");
    metrics.update(listeners({listener(1, 10), listener(2, 5)}), "auto");
    CHECK(overflows(metrics) == "15");
    metrics.update(listeners({listener(2, 6)}), "auto");
    CHECK(overflows(metrics) == "16");
    metrics.update(listeners({}), "auto");
    CHECK(overflows(metrics) == "16");
    metrics.update(listeners({listener(3, 4), listener(2, 7)}), "auto");
    CHECK(overflows(metrics) == "21"); // the second is back: it was counted up to 6
}

TEST_CASE("a row whose pod becomes known goes on counting there and keeps what it counted before") {
    Metrics metrics("0.1.0");
    Listener unknown = listener(1, 10);
    unknown.pod.reset();
    metrics.update(listeners({unknown}), "auto");
    metrics.update(listeners({listener(1, 13)}), "auto");
    CHECK(overflows(metrics) == "3");
    CHECK(line_with(metrics.text(), R"(overflows_total{namespace="",pod="",container=""})").ends_with(" 10"));
}

TEST_CASE("the series of a pod that has gone is dropped a quarter of an hour later") {
    Metrics metrics("0.1.0");
    Snapshot snapshot = listeners({listener(1, 10)});
    metrics.update(snapshot, "auto");
    snapshot.listeners.clear();
    snapshot.time.mono += std::chrono::minutes(15);
    metrics.update(snapshot, "auto");
    CHECK(overflows(metrics) == "10");
    snapshot.time.mono += std::chrono::seconds(1);
    metrics.update(snapshot, "auto");
    CHECK(lines_with(metrics.text(), overflows_of_web).empty());
}

TEST_CASE("of too many rows that are gone, those that were seen last go on where they were") {
    Metrics metrics("0.1.0");
    const auto at = [&](int second, std::uint64_t first, std::uint64_t last, std::uint64_t lost) {
        std::vector<Listener> all;
        for (std::uint64_t cookie = first; cookie <= last; ++cookie) all.push_back(listener(cookie, lost));
        Snapshot snapshot = listeners(std::move(all));
        snapshot.time.mono += std::chrono::seconds(second);
        metrics.update(snapshot, "auto");
    };
    at(0, 9001, 9010, 1);
    at(1, 1, 4096, 1);
    at(2, 1, 0, 1); // none
    CHECK(overflows(metrics) == "4106");
    at(3, 1, 4096, 3);
    CHECK(overflows(metrics) == "12298"); // two more each
    at(4, 9001, 9010, 3);
    CHECK(overflows(metrics) == "12328"); // from zero
}

TEST_CASE("gauges are summed where a sum means something, else the largest or the least counts") {
    Metrics metrics("0.1.0");
    Snapshot snapshot = listeners({listener(1, 0, 7), listener(2, 0, 30)});
    snapshot.conntrack.assign(3, sample_conntrack());
    snapshot.conntrack[0].entries = 100;
    snapshot.conntrack[0].full_in_seconds = 60;
    snapshot.conntrack[1].full_in_seconds = 7.5;
    snapshot.conntrack[2].full_in_seconds.reset();
    metrics.update(snapshot, "auto");
    const std::string text = metrics.text();
    CHECK(line_with(text, "queue_connections{").ends_with(" 37"));
    CHECK(line_with(text, "queue_peak_connections{").ends_with(" 30"));
    CHECK(line_with(text, "conntrack_entries{").ends_with(" 20000"));
    CHECK(line_with(text, "full_in_seconds{").ends_with(" 7.5"));
    metrics.update(listeners({}), "auto");
    CHECK(lines_with(metrics.text(), "queue_connections{").empty());
}

TEST_CASE("how full a queue is does not depend on others beside it, be they a pod's or the node's own") {
    Metrics metrics("0.1.0");
    Snapshot snapshot = listeners({listener(1, 0, 129), listener(2, 0, 20)}); // of 128, and one more
    snapshot.listeners.push_back(quiet_listener("sshd", 22, 100));
    snapshot.listeners.push_back(quiet_listener("kubelet", 10250, 2048));
    metrics.update(snapshot, "auto");
    const std::string text = metrics.text();
    CHECK(line_with(text, R"(queue_fullest_ratio{namespace="shop",pod="web-0",container="nginx"})").ends_with("} 1"));
    CHECK(line_with(text, R"(queue_fullest_ratio{namespace="",pod="",container=""})").find("} 0.4998") !=
          std::string::npos);
}

TEST_CASE("a queue past a limit that was lowered is full, and no more") {
    Metrics metrics("0.1.0");
    Snapshot snapshot = listeners({listener(1, 0, 100)});
    snapshot.listeners[0].limit = 16;
    metrics.update(snapshot, "auto");
    CHECK(line_with(metrics.text(), "queue_fullest_ratio{").ends_with("} 1"));
    snapshot.listeners[0].limit = snapshot.listeners[0].queue = 0;
    metrics.update(snapshot, "auto");
    CHECK(lines_with(metrics.text(), "queue_fullest_ratio{").empty()); // of a pod's own, what is 0 takes no room
}

TEST_CASE("what is no pod's has a sample of each gauge, be it 0") {
    Metrics metrics("0.1.0");
    metrics.update(listeners({quiet_listener("sshd", 22)}), "auto");
    CHECK(line_with(metrics.text(), "listener_flooded{") ==
          R"(bpftune_listener_flooded{namespace="",pod="",container=""} 0)");
}

TEST_CASE("what is not known has no series") {
    Metrics metrics("0.1.0");
    Snapshot snapshot = sample_snapshot();
    snapshot.tcp[0].ports_exhausted.reset();
    snapshot.conntrack[0].full_in_seconds.reset();
    snapshot.sources[static_cast<std::size_t>(Probe::softirq)] = Rung::none;
    metrics.update(snapshot, "auto");
    for (const std::string_view name : {"ports_exhausted", "full_in_seconds", "softirq_packets"})
        CHECK(lines_with(metrics.text(), name).empty());
}

TEST_CASE("what is no limit is no sample of one") {
    Metrics metrics("1");
    Snapshot snapshot = sample_snapshot();
    snapshot.conntrack[0].limit = 0;
    metrics.update(snapshot, "observe");
    CHECK(metrics.text().find("bpftune_conntrack_limit_entries") == std::string::npos);
}

TEST_CASE("a table that is away for a while is not counted twice when it is back") {
    Metrics metrics("1");
    Snapshot snapshot = sample_snapshot();
    metrics.update(snapshot, "observe");
    Snapshot without = snapshot;
    without.conntrack.clear();
    without.time.mono += std::chrono::minutes(1);
    metrics.update(without, "observe");
    snapshot.time.mono += std::chrono::minutes(2);
    snapshot.conntrack[0].drops += 3;
    metrics.update(snapshot, "observe");
    CHECK(line_with(metrics.text(), "conntrack_drops_total{").ends_with(" 16016"));
}

TEST_CASE("the snapshot of a pressure event changes no metric") {
    Metrics metrics("0.1.0");
    metrics.update(sample_snapshot(), "auto");
    const std::string before = metrics.text();
    Snapshot pressure = listeners({listener(77, 999, 50)});
    pressure.cause = Snapshot::Cause::pressure;
    metrics.update(pressure, "auto");
    CHECK(metrics.text() == before);
}

TEST_CASE("changes are counted by tunable and by each state that they reach") {
    Metrics metrics("0.1.0");
    metrics.changed({.tunable = TunableId::somaxconn}, ChangeState::applied);
    metrics.changed({.tunable = TunableId::somaxconn}, ChangeState::applied);
    metrics.changed({.tunable = TunableId::somaxconn}, ChangeState::kept);
    const std::string text = metrics.text();
    CHECK(lines_with(text, "bpftune_changes_total").size() == 2);
    CHECK(line_with(text, R"({tunable="net.core.somaxconn",state="applied"})").ends_with(" 2"));
    CHECK(line_with(text, R"({tunable="net.core.somaxconn",state="kept"})").ends_with(" 1"));
}

TEST_CASE("the first change that reaches a state is no rise until a scrape has seen zero") {
    Metrics metrics("0.1.0");
    Snapshot snapshot = listeners({});
    const auto tick = [&](Nanoseconds interval) {
        snapshot.time.mono += interval;
        metrics.update(snapshot, "auto");
        return metrics.text();
    };
    constexpr std::string_view series = R"({tunable="net.core.somaxconn",state="rolled_back"})";
    tick(1s);
    metrics.scraped();
    tick(1s);
    metrics.changed({.tunable = TunableId::somaxconn}, ChangeState::rolled_back);
    metrics.scraped(); // of a page from before the change
    CHECK(line_with(tick(1s), series).ends_with(" 0"));
    CHECK(line_with(tick(1s), series).ends_with(" 0"));
    metrics.scraped();
    CHECK(line_with(tick(1s), series).ends_with(" 1"));

    metrics.changed({.tunable = TunableId::somaxconn}, ChangeState::failed);
    CHECK(lines_with(tick(2min), R"(state="failed"} 0)").size() == 1);
    CHECK(lines_with(tick(1s), R"(state="failed"} 1)").size() == 1); // nobody scrapes
}

TEST_CASE("a value that was put back over somebody else's is counted, not that it could not be") {
    Metrics metrics("0.1.0");
    const Decision put_back{.act = Decision::Act::reassert, .tunable = TunableId::somaxconn};
    metrics.changed({.tunable = TunableId::somaxconn}, ChangeState::applied);
    metrics.changed(put_back, ChangeState::failed);
    CHECK(lines_with(metrics.text(), "values_put_back_total").empty());
    metrics.changed(put_back, ChangeState::kept);
    metrics.changed(put_back, ChangeState::applied);
    CHECK(line_with(metrics.text(), "values_put_back_total") ==
          R"(bpftune_values_put_back_total{tunable="net.core.somaxconn"} 2)");
}

TEST_CASE("values of an earlier run that are held are told") {
    Metrics metrics("0.1.0");
    metrics.adopted(TunableId::somaxconn);
    metrics.update({.held = {{TunableId::somaxconn, 3}}});
    CHECK(line_with(metrics.text(), "bpftune_held_values") == R"(bpftune_held_values{tunable="net.core.somaxconn"} 3)");
}

TEST_CASE("large counters are written whole") {
    Metrics metrics("0.1.0");
    metrics.update(listeners({listener(1, 9'007'199'254'740'991)}), "auto");
    CHECK(overflows(metrics) == "9007199254740991");
}

TEST_CASE("hostile names make well-formed label values") {
    for (const std::string& name : hostile_names()) {
        Metrics metrics("0.1.0");
        Snapshot snapshot = listeners({listener(1, 10)});
        snapshot.listeners[0].pod = Pod{name, name, name, ""};
        metrics.update(snapshot, "auto");
        check_format(metrics.text());
    }
    Metrics metrics("0.1.0");
    Snapshot snapshot = listeners({listener(1, 10)});
    snapshot.listeners[0].pod = Pod{"a\"b\\c\nd\xff", "x", "y", ""};
    metrics.update(snapshot, "auto");
    CHECK(line_with(metrics.text(), "overflows_total") ==
          R"(bpftune_listener_overflows_total{namespace="a\"b\\c\\x0ad\\xff",pod="x",container="y"} 10)");
}

} // namespace bpftune::views
