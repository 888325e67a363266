// SPDX-License-Identifier: Apache-2.0
// How many series /metrics has, and whose: pods come, lose and go, and no sum of rates is wrong.
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "policy/keys.hpp"
#include "tunables/catalog.hpp"
#include "unit/views/sample.hpp"
#include "views/metrics.hpp"

namespace bpftune::views {
namespace {

using namespace std::chrono_literals;

std::map<std::string, double> series_of(const Metrics& metrics) {
    std::map<std::string, double> series;
    std::istringstream stream(metrics.text());
    for (std::string line; std::getline(stream, line);)
        if (!line.starts_with("#")) series[line.substr(0, line.rfind(' '))] = std::stod(line.substr(line.rfind(' ')));
    return series;
}

double value_of(const Metrics& metrics, const std::string& name) {
    const auto series = series_of(metrics);
    const auto found = series.find(name);
    return found == series.end() ? -1 : found->second;
}

std::string overflows_of(const std::string& pod) {
    return R"(bpftune_listener_overflows_total{namespace="shop",pod=")" + pod + R"(",container="nginx"})";
}
constexpr auto overflows_of_others = R"(bpftune_listener_overflows_total{namespace="",pod="other",container=""})";

// A node with a network namespace and a listener in each of its pods.
class Node {
public:
    explicit Node(std::size_t pods, std::size_t most_series = 1000) : metrics("0.1.0") {
        metrics.limit_series(most_series);
        for (std::size_t i = 0; i < pods; ++i) start("web-" + std::to_string(i));
        tick();
    }

    void start(const std::string& pod) {
        const NetnsId netns{.cookie = next_, .inode = static_cast<std::uint32_t>(4026540000 + next_)};
        Listener l = sample_listener();
        l.netns = netns;
        l.cookie = next_++;
        l.pod = Pod{"shop", pod, "nginx"};
        l.overflows = l.queue = l.queue_peak = 0;
        snapshot.listeners.push_back(l);
        NetnsTcp tcp = sample_tcp();
        tcp.netns = netns;
        tcp.pod = Pod{"shop", pod, ""};
        snapshot.tcp.push_back(tcp);
        Conntrack table = sample_conntrack();
        table.netns = netns;
        table.pod = tcp.pod;
        table.entries = table.drops = 0;
        snapshot.conntrack.push_back(table);
    }
    void stop(std::size_t i) {
        const auto at = [=](auto& rows) { rows.erase(rows.begin() + static_cast<std::ptrdiff_t>(i)); };
        at(snapshot.listeners);
        at(snapshot.tcp);
        at(snapshot.conntrack);
    }
    void lose(std::size_t i, std::uint64_t count) { snapshot.listeners[i].overflows += count; }
    void tick(Nanoseconds interval = 1s) {
        snapshot.time.mono += interval;
        snapshot.sources.fill(Rung::tracepoint);
        metrics.update(snapshot, "auto");
    }
    [[nodiscard]] bool has_series(const std::string& pod) const {
        return series_of(metrics).contains(overflows_of(pod));
    }

    Metrics metrics;
    Snapshot snapshot;

private:
    std::uint64_t next_ = 1;
};

// As Prometheus computes increase(), over all scrapes: what a series begins with is not counted.
class Reader {
public:
    void scrape(Node& node) {
        for (const auto& [name, value] : series_of(node.metrics)) {
            if (!name.starts_with("bpftune_listener_overflows_total{")) continue;
            const auto [last, is_first] = last_.try_emplace(name, value);
            if (!is_first) increase_[name] += value - (value < last->second ? 0 : last->second);
            last->second = value;
        }
        node.metrics.scraped();
    }
    [[nodiscard]] double increase(const std::string& name) const {
        const auto found = increase_.find(name);
        return found == increase_.end() ? 0 : found->second;
    }
    [[nodiscard]] double increase() const {
        double sum = 0;
        for (const auto& [name, increase] : increase_) sum += increase;
        return sum;
    }

private:
    std::map<std::string, double> last_;
    std::map<std::string, double> increase_;
};

} // namespace

TEST_CASE("of 2,000 pods those that lost most have series of their own, and the number of all series is as allowed") {
    Node node(2000);
    for (std::size_t i = 0; i < 2000; ++i) node.lose(i, i);
    node.tick();
    node.tick();
    const auto series = series_of(node.metrics);
    CHECK(series.size() <= 1000);
    CHECK(series.size() > 850); // the room is used
    CHECK(series.at("bpftune_metrics_series") == static_cast<double>(series.size()));
    CHECK(series.at("bpftune_metrics_series_limit") == 1000);
    CHECK(node.has_series("web-1999"));
    CHECK_FALSE(node.has_series("web-3"));
    std::size_t own = 0;
    for (const auto& [name, value] : series) own += name.starts_with("bpftune_tcp_segments_sent_total{") ? 1 : 0;
    CHECK(series.at("bpftune_metrics_folded_pods") == 2000. - static_cast<double>(own - 1));
    CHECK(series.at(R"(bpftune_time_wait_sockets{namespace="",pod="other",container=""})") ==
          812 * (2000. - static_cast<double>(own - 1)));
}

TEST_CASE("25 pods that lose have series of their own within the least budget, beside all that a node of 32 CPUs has") {
    constexpr std::size_t pods = 110;
    Node node(pods);
    for (std::size_t i = 0; i < pods; ++i) {
        const NetnsTcp& tcp = node.snapshot.tcp[i];
        node.snapshot.buffers.push_back({.netns = tcp.netns, .pod = tcp.pod});
        node.snapshot.fragments.push_back({.netns = tcp.netns, .pod = tcp.pod, .limit_bytes = 4 << 20});
    }
    for (unsigned cpu = 0; cpu < 32; ++cpu)
        node.snapshot.softirq.push_back({.cpu = cpu, .processed = 2, .backlog = cpu, .softirq_percent = 1});
    for (const tunables::Tunable& tunable : tunables::catalog().first(8)) // as many as a node sees changed
        for (const ChangeState state : {ChangeState::applied, ChangeState::kept, ChangeState::rolled_back})
            node.metrics.changed({.tunable = tunable.id}, state);
    node.snapshot.neighbours = {{.family = Family::ipv4}, {.family = Family::ipv6}};
    node.snapshot.socket_memory = {{.pool = MemoryPool::tcp}, {.pool = MemoryPool::udp}};
    node.snapshot.listeners.push_back(quiet_listener("sshd", 22));
    for (int round = 0; round < 3; ++round) {
        for (std::size_t i = 50; i < 75; ++i) node.lose(i, 10 + i);
        node.tick();
    }
    for (std::size_t i = 50; i < 75; ++i) CHECK(node.has_series("web-" + std::to_string(i)));
    CHECK(series_of(node.metrics).size() <= policy::fewest_series);
}

TEST_CASE("of the pods without series of their own those that lose are counted apart, for the alert") {
    Node node(300);
    node.tick();
    CHECK(value_of(node.metrics, "bpftune_metrics_folded_pods") > 200);
    CHECK(value_of(node.metrics, "bpftune_metrics_folded_losing_pods") == 0);
    for (std::size_t i = 0; i < 300; ++i) node.lose(i, 10);
    node.tick();
    CHECK(value_of(node.metrics, "bpftune_metrics_folded_losing_pods") ==
          value_of(node.metrics, "bpftune_metrics_folded_pods"));
}

TEST_CASE("what neither alerts nor graphs are about is shared by all pods, whether they have series of their own") {
    Node node(3);
    node.tick();
    CHECK(node.has_series("web-0"));
    CHECK(value_of(node.metrics, R"(bpftune_tcp_established_sockets{namespace="",pod="other",container=""})") == 120);
    CHECK(value_of(node.metrics, R"(bpftune_tcp_established_sockets{namespace="shop",pod="web-0",container=""})") ==
          -1);
}

TEST_CASE("of a pod's own gauges one that is 0 has no series") {
    Node node(1);
    const auto flooded = R"(bpftune_listener_flooded{namespace="shop",pod="web-0",container="nginx"})";
    CHECK(value_of(node.metrics, flooded) == -1);
    node.snapshot.listeners[0].flood = "connections that are never accepted";
    node.tick();
    CHECK(value_of(node.metrics, flooded) == 1);
    node.snapshot.listeners[0].flood.reset();
    node.tick();
    CHECK(value_of(node.metrics, flooded) == -1);
}

TEST_CASE("with room for all of them no pod is summed up as other") {
    const Node node(500, policy::most_series);
    CHECK(value_of(node.metrics, "bpftune_metrics_folded_pods") == 0);
    CHECK(value_of(node.metrics, overflows_of_others) == -1);
}

TEST_CASE("a pod that begins to have series shows zero until it was scraped, and what it lost before is in other") {
    Node node(100);
    node.metrics.scraped();
    node.tick(); // those have series that nothing speaks for, by name
    REQUIRE_FALSE(node.has_series("web-99"));
    const double before = value_of(node.metrics, overflows_of_others);
    node.lose(99, 30);
    node.tick();
    CHECK(value_of(node.metrics, overflows_of_others) == before + 30);
    for (int second = 0; second < 5; ++second) {
        node.lose(99, 5);
        node.tick();
        CHECK(value_of(node.metrics, overflows_of("web-99")) == 0);
    }
    node.metrics.scraped();
    node.lose(99, 5);
    node.tick();
    CHECK(value_of(node.metrics, overflows_of("web-99")) == 30);
    CHECK(value_of(node.metrics, overflows_of_others) == before + 30);
}

TEST_CASE("where nobody scrapes any more a series shows what it counted two minutes after its beginning") {
    Node node(1);
    node.metrics.scraped();
    node.start("new");
    node.lose(1, 7);
    node.tick();
    CHECK(value_of(node.metrics, overflows_of("new")) == 0);
    node.tick(2min);
    CHECK(value_of(node.metrics, overflows_of("new")) == 0);
    node.tick();
    CHECK(value_of(node.metrics, overflows_of("new")) == 7);
}

TEST_CASE("before the first scrape no series is held back: a scraper begins with what it finds") {
    Node node(1);
    node.start("new");
    node.lose(1, 7);
    node.tick();
    CHECK(value_of(node.metrics, overflows_of("new")) == 7);
}

TEST_CASE("a burst of a pod whose series has just begun is in the increase that a scrape every 30 s finds") {
    Node node(100);
    Reader reader;
    double lost = 0;
    const auto seconds = [&](int count, const std::vector<std::size_t>& losing) {
        for (int second = 0; second < count; ++second) {
            for (const std::size_t i : losing) node.lose(i, 100);
            lost += 100. * static_cast<double>(losing.size());
            node.tick();
        }
    };
    reader.scrape(node);
    seconds(4, {});
    seconds(10, {99}); // had none until then
    REQUIRE(node.has_series("web-99"));
    node.start("new"); // has lost something when it is first seen
    seconds(10, {100});
    REQUIRE(node.has_series("new"));
    for (int scrape = 0; scrape < 3; ++scrape) {
        seconds(6, {});
        reader.scrape(node);
        seconds(24, {});
    }
    CHECK(reader.increase(overflows_of("web-99")) == 900);
    CHECK(reader.increase(overflows_of("new")) + reader.increase(overflows_of_others) == 1100);
    CHECK(reader.increase() == lost);
}

TEST_CASE("a full queue of a pod without series of its own is full among the others") {
    Node node(100);
    node.tick();
    REQUIRE_FALSE(node.has_series("web-99"));
    node.snapshot.listeners[99].queue = node.snapshot.listeners[99].limit + 1;
    node.tick();
    CHECK(value_of(node.metrics, R"(bpftune_listener_queue_fullest_ratio{namespace="",pod="other",container=""})") ==
          1);
}

TEST_CASE("who lost nothing has series by how near it came to a limit") {
    Node node(100);
    node.snapshot.conntrack[98].entries = node.snapshot.conntrack[98].limit * 9 / 10;
    node.tick();
    node.tick();
    CHECK(node.has_series("web-98"));
}

TEST_CASE("series do not come and go with small changes of the order") {
    Node node(120, 1100);
    for (std::size_t i = 0; i < 120; ++i) node.lose(i, 1000 + i);
    node.tick();
    const auto names_of_pods = [&] {
        std::vector<std::string> names;
        for (std::size_t i = 0; i < 120; ++i)
            if (node.has_series("web-" + std::to_string(i))) names.push_back(std::to_string(i));
        return names;
    };
    REQUIRE(names_of_pods().size() < 60);
    const std::size_t last = 120 - (names_of_pods().size() + 1) / 2; // of those that are sure to have series
    REQUIRE_FALSE(node.has_series("web-" + std::to_string(last - 1)));
    node.lose(last - 1, 3);
    node.tick();
    CHECK(node.has_series("web-" + std::to_string(last - 1)));
    const auto before = names_of_pods();
    for (int round = 0; round < 10; ++round) { // the two overtake each other
        node.lose(last - round % 2, 3);
        node.tick();
        CHECK(names_of_pods() == before);
    }
}

TEST_CASE("a pod that is gone makes room for one that is there, once it has been scraped") {
    Node node(120);
    for (std::size_t i = 0; i < 120; ++i) node.lose(i, 100);
    node.tick();
    REQUIRE(node.has_series("web-0"));
    while (!node.snapshot.listeners.empty()) node.stop(0);
    for (int i = 0; i < 120; ++i) node.start("new-" + std::to_string(i));
    node.tick(30s);
    CHECK(node.has_series("web-0"));
    node.tick(2min);
    CHECK_FALSE(node.has_series("web-0"));
    node.tick();
    CHECK(node.has_series("new-0"));
}

TEST_CASE("a pod whose container starts anew for days keeps its own series, and the room of others") {
    Node node(2);
    for (int start = 0; start < 500; ++start) { // a runtime that does not answer: by the container's ID
        node.snapshot.listeners[0].pod->container = std::to_string(100000 + start);
        node.lose(0, 10);
        node.tick(5min);
        node.lose(1, 1);
        node.tick();
    }
    node.snapshot.listeners[0].pod->container = "nginx";
    node.lose(0, 10);
    node.tick();
    CHECK(node.has_series("web-0"));
    CHECK(node.has_series("web-1"));
}

TEST_CASE("whatever pods do, no counter falls, nothing is counted twice or not at all, and the budget holds") {
    std::mt19937_64 random(11); // the same each time
    const auto below = [&](std::size_t end) { return static_cast<std::size_t>(random() % end); };
    const auto is_counter = [](const std::string& name) {
        return name.starts_with("bpftune_listener_overflows_total");
    };
    Node node(30);
    Reader reader;
    reader.scrape(node);
    auto before = series_of(node.metrics);
    std::uint64_t lost = 0;
    for (int tick = 0; tick < 600; ++tick) {
        if (below(4) == 0) node.start("more-" + std::to_string(tick));
        if (node.snapshot.listeners.size() > 5 && below(5) == 0) node.stop(below(node.snapshot.listeners.size()));
        for (std::size_t left = below(6); left > 0; --left) {
            const std::size_t count = below(10) == 0 ? below(10'000) : below(20);
            node.lose(below(node.snapshot.listeners.size()), count);
            lost += count;
        }
        node.metrics.limit_series(below(50) == 0 ? 1000 + below(1500) : 1200);
        node.tick(std::chrono::seconds(1 + below(40)));
        const auto after = series_of(node.metrics);
        CHECK(static_cast<double>(after.size()) <= after.at("bpftune_metrics_series_limit"));
        for (const auto& [name, value] : after) {
            const auto old = before.find(name);
            if (is_counter(name) && old != before.end() && value < old->second) FAIL_CHECK(name << " fell");
        }
        before = after;
        if (tick % 3 == 0) reader.scrape(node);
    }
    for (int scrape = 0; scrape < 3; ++scrape) { // until all is shown
        node.tick();
        reader.scrape(node);
    }
    CHECK(reader.increase() == static_cast<double>(lost));
}

TEST_CASE("CPUs beyond 32 are one series") {
    Metrics metrics("0.1.0");
    Snapshot snapshot;
    snapshot.sources.fill(Rung::procfs);
    for (unsigned cpu = 0; cpu < 33; ++cpu) snapshot.softirq.push_back({.cpu = cpu, .processed = 2, .backlog = cpu});
    metrics.update(snapshot, "auto");
    CHECK(value_of(metrics, R"(bpftune_softirq_packets_total{cpu="all"})") == 66);
    CHECK(value_of(metrics, R"(bpftune_softirq_packets_total{cpu="0"})") == -1);
}

TEST_CASE("what is not of pods fits into the least budget, and leaves room for some") {
    Metrics metrics("0.1.0");
    Snapshot snapshot = sample_snapshot();
    snapshot.sources.fill(Rung::procfs);
    snapshot.softirq.clear();
    for (unsigned cpu = 0; cpu < 32; ++cpu)
        snapshot.softirq.push_back({.cpu = cpu, .processed = 2, .backlog = cpu, .softirq_percent = 1});
    snapshot.neighbours = {{.family = Family::ipv4}, {.family = Family::ipv6}};
    snapshot.socket_memory = {{.pool = MemoryPool::tcp}, {.pool = MemoryPool::udp}};
    for (std::size_t i = 0; i < policy::most_expected; ++i)
        snapshot.expected.push_back({.name = "net.x" + std::to_string(i), .expected = "1", .found = "1"});
    for (const tunables::Tunable& tunable : tunables::catalog())
        for (const ChangeState state : all_change_states) metrics.changed({.tunable = tunable.id}, state);
    metrics.limit_series(policy::fewest_series);
    metrics.update(snapshot, "auto");
    CHECK(series_of(metrics).size() <= policy::fewest_series);
    metrics.update(snapshot, "auto");
    CHECK(value_of(metrics, R"(bpftune_conntrack_drops_total{namespace="shop",pod="web-0",container=""})") >= 0);
}

TEST_CASE("very long and hostile names of pods are cut, between two characters") {
    Node node(1);
    std::string name;
    for (int i = 0; i < 200; ++i) name += "\xc3\xa9";
    node.start(name);
    for (const std::string& hostile : hostile_names()) node.start(hostile);
    node.start("other");
    node.snapshot.listeners.back().pod = Pod{"", "other", ""};
    node.tick();
    for (const auto& [series, value] : series_of(node.metrics)) CHECK(series.size() < 3 * 253 + 150);
    CHECK(node.metrics.text().find("\xc3\"") == std::string::npos);
}

} // namespace bpftune::views
