// SPDX-License-Identifier: Apache-2.0
#include <random>
#include <utility>

#include <catch2/catch.hpp>

#include "recording/json.hpp"
#include "recording/replay.hpp"
#include "unit/recording/live.hpp"

using namespace bpftune;
using namespace bpftune::testing;
using namespace std::chrono_literals;
using policy::Mode;
using recording::Replay;
using recording::same;

namespace {

constexpr NetnsId pod{.cookie = 2, .inode = 4026532247};
constexpr ObjectKey somaxconn{TunableId::somaxconn, pod};
constexpr ObjectKey backlog{TunableId::listener_backlog, pod, 101};

policy::Policy policy_in(Mode mode) {
    policy::Policy policy;
    policy.mode = mode;
    return policy;
}

Live web_server(Mode mode) {
    Live live;
    live.policy = policy_in(mode);
    live.world.somaxconn[pod] = 128;
    live.world.listeners[101] = {
        .netns = pod, .cookie = 101, .local = {"0.0.0.0", 8080}, .command = "nginx", .limit = 128, .asked = 65535};
    live.begin_recording();
    return live;
}

// A second in which `count` connections came at once and were accepted: those that fit.
void flash(Live& live, std::uint64_t count) {
    live.now += 1s;
    Listener& listener = live.world.listeners.at(101);
    const std::uint64_t fits = listener.limit + 1;
    const std::uint64_t waited = std::min(count, fits);
    listener.window = {.length = 1s,
                       .peak = static_cast<std::uint32_t>(waited),
                       .arrivals = waited,
                       .accepted = waited,
                       .overflows = count - waited};
    live.decide(live.world.tick(live.now, 1s));
}

Replay replayed(const Live& live, std::optional<policy::Policy> policy = {}) {
    Replay replay(std::move(policy));
    for (const std::string& line : live.lines) {
        const auto taken = replay.take(line);
        INFO(line << "\n" << (taken ? "" : taken.error().message));
        REQUIRE(taken);
    }
    return replay;
}

constexpr auto too_much = "what is recorded, and decided on it, takes more than 128 MiB";
constexpr std::size_t large = std::size_t{4} << 20; // of a text

// What is said of the first line that is refused.
std::string error_of(Replay& replay, const std::vector<std::string>& lines) {
    for (const std::string& line : lines)
        if (const auto taken = replay.take(line); !taken) return taken.error().message;
    return {};
}

// Random traffic, hands and failures.
class Trace {
public:
    explicit Trace(std::uint64_t seed) : dice_(seed) {
        live_.policy = random_policy();
        live_.fails = [this] { return once_in(10); };
        for (std::uint64_t i = 0; i < 3; ++i) {
            const NetnsId netns{.cookie = 2 + i / 2, .inode = 4026532000};
            live_.world.somaxconn[netns] = 128;
            live_.world.listeners[101 + i] = {.netns = netns,
                                              .cookie = 101 + i,
                                              .local = {"::", 80},
                                              .limit = 50 + 39 * static_cast<std::uint32_t>(i)};
        }
        live_.world.tables[World::host] = {.netns = World::host};
    }

    const Live& run() {
        for (int i = 0; i < 60; ++i) {
            if (i == 20) live_.begin_recording();
            if (once_in(15)) live_.reload(random_policy());
            if (once_in(10)) meddle();
            once_in(3) ? burst() : tick();
        }
        live_.lines.erase(live_.lines.begin(), std::ranges::find_if(live_.lines, [](const std::string& line) {
                              return line.starts_with(R"({"recording":)");
                          }));
        return live_;
    }

private:
    std::uint64_t up_to(std::uint64_t most) { return dice_() % (most + 1); }
    bool once_in(std::uint64_t times) { return up_to(times - 1) == 0; }

    policy::Policy random_policy() {
        policy::Policy policy = policy_in(once_in(6) ? Mode::recommend : Mode::automatic);
        policy.memory_budget_bytes = std::uint64_t{1} << (18 + up_to(10));
        if (once_in(2)) policy.of(TunableId::listener_backlog).named = true;
        if (once_in(4)) policy.of(TunableId::somaxconn).min = 200;
        return policy;
    }

    void meddle() {
        live_.world.set(once_in(2) ? ObjectKey{TunableId::somaxconn, live_.world.listeners.at(101).netns}
                                   : ObjectKey{TunableId::listener_backlog, {}, 101 + up_to(2)},
                        1 + up_to(5000));
    }

    void tick() {
        live_.now += once_in(6) ? 70s : 1s;
        for (auto& [cookie, listener] : live_.world.listeners) {
            listener.window = {.length = 1s, .peak = static_cast<std::uint32_t>(up_to(listener.limit + 1))};
            listener.window.arrivals = listener.window.peak + up_to(100);
            if (once_in(3)) listener.window.overflows = up_to(3000);
        }
        Conntrack& table = live_.world.tables.at(World::host);
        table.entries = up_to(live_.world.conntrack_max);
        table.window_drops = once_in(4) ? up_to(500) : 0;
        table.entries_per_second = static_cast<double>(up_to(1000)) / 7;
        Snapshot snapshot = live_.world.tick(live_.now, 1s);
        snapshot.guards.memory_pressure = once_in(8) ? 40.25 : 0.1;
        live_.now += 3ms;
        live_.decide(snapshot);
    }

    void burst() {
        Listener& listener = live_.world.listeners.at(101 + up_to(2));
        listener.queue = listener.limit / 2 + 1;
        listener.window = {.length = 2ms, .peak = listener.queue, .arrivals = listener.queue, .event = live_.now};
        const Snapshot snapshot = live_.world.pressure(listener, live_.now);
        listener.queue = 0;
        live_.now += 1ms;
        live_.decide(snapshot);
        live_.now += 20ms;
    }

    std::mt19937_64 dice_;
    Live live_;
};

} // namespace

TEST_CASE("under the same policy each decision and the state are those of then, from any moment on") {
    std::size_t writes = 0;
    for (std::uint64_t seed = 0; seed < 300; ++seed) {
        Trace trace(seed);
        const Live& live = trace.run();
        const Replay replay = replayed(live);
        INFO("seed " << seed);
        CHECK(replay.report().differing == 0);
        REQUIRE(same(replay.state(), live.state));
        CHECK(replay.policy() == live.policy);
        writes += live.outcomes.size();
    }
    CHECK(writes > 1000);
}

TEST_CASE("what was only watched is raised by a policy that may, and is lost no more") {
    Live live = web_server(Mode::observe);
    for (int i = 0; i < 15; ++i) flash(live, 400);
    REQUIRE(live.decisions.empty());

    const Replay replay = replayed(live, policy_in(Mode::automatic));
    const recording::Report& report = replay.report();
    CHECK(report.raises >= 2);
    CHECK(report.roll_backs == 0);
    CHECK(report.limits.at(backlog).replayed == 1024);
    CHECK(report.limits.at(backlog).recorded == 128);
    CHECK(report.limits.at(somaxconn).replayed == 1024);
    CHECK(report.overflows.recorded == 15 * (400 - 129));
    CHECK(report.overflows.replayed == 400 - 129); // of the first second
    CHECK(std::ranges::none_of(report.decisions, &recording::Replayed::live));
    CHECK(report.decisions.back().change.state == ChangeState::kept);
}

TEST_CASE("what was raised is lost again by a policy that may not") {
    Live live = web_server(Mode::automatic);
    for (int i = 0; i < 15; ++i) flash(live, 400);
    REQUIRE(live.world.value(backlog) == 1024);

    const recording::Report report = replayed(live, policy_in(Mode::recommend)).report();
    CHECK(report.raises == 0);
    CHECK(report.limits.at(backlog).replayed == 128);
    CHECK(report.limits.at(backlog).recorded == 1024);
    CHECK(report.overflows.recorded == 400 - 129);
    CHECK(report.overflows.replayed == 15 * (400 - 129));
}

TEST_CASE("a raise that was not made is known as long as nobody sets the value") {
    Live live = web_server(Mode::observe);
    for (int i = 0; i < 3; ++i) flash(live, 400);
    live.world.set(somaxconn, 300);
    for (int i = 0; i < 3; ++i) flash(live, 400);

    const recording::Report report = replayed(live, policy_in(Mode::automatic)).report();
    CHECK(report.limits.at(somaxconn).replayed == 300);
    CHECK(report.limits.at(backlog).replayed == 1024);
    const auto yielded = std::ranges::find(report.decisions, ChangeState::yielded,
                                           [](const recording::Replayed& each) { return each.change.state; });
    REQUIRE(yielded != report.decisions.end());
    CHECK(yielded->change.to == "300");
}

TEST_CASE("a conntrack table that overflowed is shown at the limit that it would have had") {
    Live live;
    live.begin_recording();
    live.world.tables[World::host] = {.netns = World::host, .entries = 20000, .window_drops = 900};
    for (int i = 0; i < 15; ++i) {
        live.now += 1s;
        live.decide(live.world.tick(live.now, 1s));
    }
    const recording::Report report = replayed(live, policy_in(Mode::automatic)).report();
    CHECK(report.limits.at({TunableId::conntrack_max, World::host}).replayed > 20000);
    CHECK(report.conntrack_drops.recorded == 15 * 900);
    CHECK(report.conntrack_drops.replayed == 900);
    CHECK(report.roll_backs == 0);
}

TEST_CASE("after everything was put back nothing is written until the policy is loaded anew") {
    Live live = web_server(Mode::automatic);
    live.lines.push_back(recording::Encoder::restored());
    Live watched = web_server(Mode::observe);
    for (int i = 0; i < 3; ++i) flash(watched, 400);
    live.lines.insert(live.lines.end(), watched.lines.begin() + 1, watched.lines.end());
    CHECK(replayed(live).report().raises == 0);
    CHECK(replayed(live, policy_in(Mode::automatic)).report().raises == 0);
    live.lines.push_back(recording::Encoder::reloaded(policy_in(Mode::automatic)));
    live.lines.push_back(watched.lines.back());
    CHECK(replayed(live).report().raises > 0);
    CHECK(replayed(live, policy_in(Mode::automatic)).report().raises > 0);
}

TEST_CASE("a recording begins with its header") {
    Replay replay({});
    CHECK(replay.take(recording::Encoder::restored()).error().message == "a recording begins with its header");
}

TEST_CASE("decisions that take more memory than a recording may are refused, however short its lines are") {
    Live live = web_server(Mode::observe);
    live.world.listeners.at(101).pod = Pod{.ns = "shop", .name = std::string(large, 'x')};
    Replay replay(policy_in(Mode::recommend));
    std::string error;
    for (int i = 0; i < 100 && error.empty(); ++i) {
        live.now += 2h; // said again
        flash(live, 400);
        if (i > 0) CHECK(live.lines.back().size() < 1000);
        error = error_of(replay, std::exchange(live.lines, {}));
    }
    CHECK(error == too_much);
}

TEST_CASE("limits that were set then count with all that names their objects") {
    Live live;
    live.policy = policy_in(Mode::observe);
    live.begin_recording();
    Replay replay({});
    REQUIRE(error_of(replay, live.lines).empty());
    std::string error;
    recording::Encoder encoder;
    for (std::uint64_t i = 1; i < 50 && error.empty(); ++i) {
        Decision raise{.tunable = TunableId::listener_backlog, .scope = {.netns = pod}, .from = 128, .to = 1024};
        raise.scope.listener = ListenerRef{.cookie = i, .local = {std::string(large, 'x'), 80}};
        const recording::Settled settled{.decision = 0, .outcome = {Outcome::Kind::written, 1024, {}}, .now = {}};
        error = error_of(replay, {encoder.step({}, {.now = {}, .decisions = {raise}, .settled = {settled}})});
    }
    CHECK(error == too_much);
}
