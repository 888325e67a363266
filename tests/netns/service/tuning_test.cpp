// SPDX-License-Identifier: Apache-2.0
// What the service does to the kernel while it runs, and what it leaves behind when it stops as it should.
#include "fixtures.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

constexpr std::uint16_t port = 8080;
const std::string automatic = policy_text("tuning", "mode: auto");

// Every sysctl below /proc/sys/net, as the calling thread's namespace has it.
std::map<std::string, std::string> sysctls() {
    std::map<std::string, std::string> values;
    for (const auto& entry : fs::recursive_directory_iterator("/proc/sys/net")) {
        if (!entry.is_regular_file() || entry.path().filename() == "nf_conntrack_count") continue;
        if (const auto value = sys::read_file(entry.path())) values[entry.path()] = *value; // some are write-only
    }
    return values;
}

// Whether a burst has been seen: its peak, or on rungs that look only now and then, what it lost.
bool noticed(const Home& home, const Site& site) {
    const Json row = listener_row(home.top(), site, port);
    return row["arrivals"].is_null() ? row["overflows"] > 0 : row["queue_peak"] == 9;
}

// Every field that the interface promises.
void check_change(const Json& change, const Site& site, bool by_event) {
    INFO(change.dump());
    CHECK(change["id"].is_number_integer());
    CHECK(change["time"].get<std::string>().size() == std::string("2026-11-21T22:00:01.004Z").size());
    CHECK(change["scope"]["netns"] == site.netns.inode());
    CHECK(change["scope"]["listener"]["address"] == "127.0.0.1");
    CHECK(change["scope"]["listener"]["port"] == port);
    CHECK(change["scope"]["listener"]["inode"].get<std::uint64_t>() > 0);
    CHECK(change["scope"]["pod"].is_null());
    CHECK(change["state"] == "applied");
    CHECK(change["why"].get<std::string>().size() > 10);
    CHECK(change["evidence"]["limit"] == 8);
    if (!by_event) {
        CHECK(change["evidence"]["overflows"].get<std::uint64_t>() > 0);
        CHECK(change["reaction_us"].is_null());
        return;
    }
    CHECK(change["evidence"]["queue_peak"].get<std::uint64_t>() > 4);
    CHECK(change["evidence"]["arrivals"].get<std::uint64_t>() > 4);
    CHECK((change["reaction_us"].is_null() || change["reaction_us"].get<std::int64_t>() > 0));
}

// Whether the raise was the answer to an event, where there are any, and not left to a tick.
bool raises_on_a_burst() {
    const Home home;
    const Site site;
    const auto listener = site.listen(port);
    home.set_policy(automatic);
    Running service(home);

    site.burst(listener, port);
    REQUIRE(comes_true([&] { return limit_of(listener) > 8 && limit_of(listener) == somaxconn_in(site.netns); }));
    // The burst's end may correct it once more.
    CHECK(comes_true([&] { return home.top()["changes"] == home.history() && home.history().size() % 2 == 0; }));
    CHECK(comes_true([&] { return listener_row(home.top(), site, port)["binds"] == "somaxconn"; }));
    const Json row = listener_row(home.top(), site, port);
    CHECK(row["asked"].is_null()); // it listened before the service came
    CHECK(row["pid"] == ::getpid());
    const bool by_event = !is_blind(sees_arrivals(home), "a burst before its end");
    service.signal(SIGTERM);
    CHECK(service.wait() == 0);

    const Json history = home.history();
    const Json somaxconn = row_where(history, {{"tunable", "net.core.somaxconn"}, {"from", "8"}});
    const Json backlog = row_where(history, {{"tunable", "listener.backlog"}, {"from", "8"}});
    check_change(somaxconn, site, by_event);
    check_change(backlog, site, by_event);
    CHECK(somaxconn["to"] == backlog["to"]);
    CHECK(somaxconn["evidence"]["cost_bytes"] == 0); // a ceiling
    CHECK(backlog["evidence"]["cost_bytes"].get<std::uint64_t>() > 2304);
    CHECK(backlog["evidence"]["worst_case_bytes"] > backlog["evidence"]["cost_bytes"]);
    CHECK(newest(history, site, "net.core.somaxconn")["to"] == std::to_string(somaxconn_in(site.netns)));
    CHECK(newest(history, site, "listener.backlog")["to"] == std::to_string(limit_of(listener)));
    return !by_event || (!somaxconn["reaction_us"].is_null() && !backlog["reaction_us"].is_null());
}

} // namespace

TEST_CASE("a burst raises somaxconn and the live listener with it") {
    // Where the machine stalls in the middle of the burst it is none, and a tick finds out what it was.
    CHECK((raises_on_a_burst() || raises_on_a_burst() || raises_on_a_burst()));
}

TEST_CASE("a queue whose raise does not fit the memory budget is left alone, and history says what it would have cost",
          "[any-kernel]") {
    const Home home;
    const Site site;
    const auto listener = site.listen(port);
    home.set_policy(
        policy_text("tuning", "mode: auto\n  memoryBudget: 4KiB\n  tenantShare: 100%")); // less than one connection
    const Running service(home);
    std::string why; // of the first refusal; what comes after it has other reasons
    REQUIRE(comes_true([&] {
        site.burst(listener, port);
        const Json refused = row_where(home.history(), {{"tunable", "listener.backlog"}, {"state", "advice"}});
        if (refused.is_object()) why = refused["why"];
        return !why.empty();
    }));
    CHECK_THAT(why, Catch::Contains("not raised: ") && Catch::Contains(" would cost ") &&
                        Catch::Contains("(worst case ") && Catch::Contains("memoryBudget has 4.0 KiB left"));
    CHECK(limit_of(listener) == 8);
    const Json ceiling = newest(home.history(), site, "net.core.somaxconn");
    if (ceiling.is_object()) CHECK(ceiling["evidence"]["cost_bytes"] == 0);
}

TEST_CASE("a listener that the raise is not for, but that asked for more, gets its share", "[any-kernel]") {
    const Home home;
    const Site site;
    home.set_policy(automatic);
    const Running service(home);
    if (is_blind(sees_arrivals(home), "what listen() asked for")) return;
    const auto wide = site.listen(port, 511);
    const auto narrow = site.listen(port + 1, 5);
    const auto busy = site.listen(port + 2, 4096);

    REQUIRE(comes_true([&] { return listener_row(home.top(), site, port)["asked"] == 511; }));
    site.burst(busy, port + 2);
    const bool raised = comes_true([&] { return limit_of(wide) == somaxconn_in(site.netns) && limit_of(wide) > 8; });
    INFO(home.history().dump(1) << service.err());
    REQUIRE(raised);
    CHECK(limit_of(narrow) == 5);
}

TEST_CASE("a limit above somaxconn, which was lowered since, is the application's own or not: that is not known") {
    const Home home;
    const Site site(1000);
    const auto listener = site.listen(port, 65535);
    site.netns.write("sys/net/core/somaxconn", "256");
    home.set_policy(automatic);
    const Running service(home);
    REQUIRE(comes_true([&] { return listener_row(home.top(), site, port)["limit"] == 1000; }));
    CHECK(listener_row(home.top(), site, port)["binds"] == "unknown");
}

TEST_CASE("the application's own argument binds unless the policy names listener.backlog") {
    const Home home;
    const Site site(4096);
    home.set_policy(automatic);
    const Running service(home);
    // Where its listen() is not seen, 8 may as well be what somaxconn was at the time.
    const bool seen = !is_blind(sees_arrivals(home), "what listen() asked for");
    const auto listener = site.listen(port, 8);
    if (seen) REQUIRE(comes_true([&] { return listener_row(home.top(), site, port)["asked"] == 8; }));

    // Below arrivals a burst is seen by what it lost between two looks, of which one must have been before.
    REQUIRE(comes_true([&] {
        site.burst(listener, port);
        return newest(home.history(), site, "listener.backlog").is_object();
    }));
    const Json told = newest(home.history(), site, "listener.backlog");
    CHECK(told["state"] == "recommended");
    CHECK(told["why"].get<std::string>().find("listener.backlog named in the policy") != std::string::npos);
    CHECK(listener_row(home.top(), site, port)["binds"] == (seen ? "application" : "unknown"));
    CHECK(limit_of(listener) == 8);

    home.set_policy(automatic + "    listener.backlog: {max: 64}\n");
    service.signal(SIGHUP);
    REQUIRE(comes_true([&] {
        site.burst(listener, port);
        return limit_of(listener) > 8;
    }));
    CHECK(limit_of(listener) <= 64);
    CHECK(somaxconn_in(site.netns) == 4096);
}

TEST_CASE("observe and recommend write nothing at all", "[any-kernel]") {
    const std::string mode = GENERATE("observe", "recommend");
    const Home home;
    const Site site;
    const auto listener = site.listen(port);
    home.set_policy(policy_text("tuning", "mode: " + mode));
    const auto host = sysctls();
    const auto inside = site.netns.inside([] { return sysctls(); });

    Running service(home);
    site.burst(listener, port);
    REQUIRE(comes_true([&] { return noticed(home, site); }));
    if (mode == "recommend") REQUIRE(comes_true([&] { return !home.history().empty(); }));
    service.signal(SIGTERM);
    CHECK(service.wait() == 0);

    CHECK(site.netns.inside([] { return sysctls(); }) == inside);
    CHECK(sysctls() == host);
    CHECK(limit_of(listener) == 8);
    const Json history = home.history();
    CHECK(history.empty() == (mode == "observe"));
    for (const Json& change : history) {
        CHECK(change["state"] == "recommended");
        CHECK(change["reaction_us"].is_null());
        CHECK(change["why"].get<std::string>().find("mode is recommend") != std::string::npos);
    }
    CHECK(home.restore().empty());
}

TEST_CASE("the mode of the command line takes the place of the policy's", "[any-kernel]") {
    const Home home;
    const Site site;
    const auto listener = site.listen(port);
    home.set_policy(automatic);
    const Running service(home, {.more = {"--mode", "observe"}});
    CHECK(home.top()["mode"] == "observe");
    site.burst(listener, port);
    REQUIRE(comes_true([&] { return noticed(home, site); }));
    CHECK(limit_of(listener) == 8);
}

TEST_CASE("every value is back after SIGTERM with onExit: restore") {
    const Home home;
    const Site site;
    const auto listener = site.listen(port);
    home.set_policy(policy_text("tuning", "mode: auto\n  onExit: restore"));
    Running service(home);
    site.burst(listener, port);
    REQUIRE(comes_true([&] { return limit_of(listener) > 8; }));
    service.signal(SIGTERM);
    CHECK(service.wait() == 0);

    CHECK(limit_of(listener) == 8);
    CHECK(somaxconn_in(site.netns) == 8);
    for (const Json& change : home.history()) CHECK(change["state"] == "restored");
    CHECK_FALSE(fs::exists(home.socket()));
}

TEST_CASE("values stay after SIGTERM with onExit: keep, are adopted by the next start, and restored on request",
          "[any-kernel]") {
    const Home home;
    const Site site;
    const auto listener = site.listen(port);
    home.set_policy(automatic);
    Running first(home);
    site.burst(listener, port);
    REQUIRE(comes_true([&] { return limit_of(listener) > 8 && limit_of(listener) == somaxconn_in(site.netns); }));
    first.signal(SIGTERM);
    CHECK(first.wait() == 0);
    const std::uint64_t raised = limit_of(listener);
    CHECK(raised > 8);
    CHECK(somaxconn_in(site.netns) == raised);

    Running second(home);
    CHECK(second.err().find(fmt::format("adopted: net.core.somaxconn = {} (was 8)", raised)) != std::string::npos);
    CHECK(second.err().find(fmt::format("adopted: listener.backlog = {} (was 8)", raised)) != std::string::npos);
    second.signal(SIGTERM);
    CHECK(second.wait() == 0);
    CHECK(limit_of(listener) == raised);

    const Ran dry = home.restored({"--dry-run"});
    CHECK(json_of(dry).size() == 2);
    for (const Json& line : json_of(dry)) CHECK(line["result"] == "would_restore");
    CHECK(limit_of(listener) == raised);
    for (const Json& line : home.restore()) CHECK(line["result"] == "restored");
    CHECK(limit_of(listener) == 8);
    CHECK(somaxconn_in(site.netns) == 8);
    CHECK(home.restore().empty());
}

TEST_CASE("a value that someone else changes after our raise is left alone", "[any-kernel]") {
    const Home home;
    const Site site;
    const auto listener = site.listen(port);
    home.set_policy(automatic);
    Running service(home);
    site.burst(listener, port);
    REQUIRE(comes_true([&] { return limit_of(listener) > 8 && limit_of(listener) == somaxconn_in(site.netns); }));

    SECTION("while the service runs") {
        site.netns.write("sys/net/core/somaxconn", "5000");
        const Json yielded{{"tunable", "net.core.somaxconn"}, {"state", "yielded"}};
        REQUIRE(comes_true([&] { return row_where(home.history(), yielded).is_object(); }));
        site.burst(listener, port, 400);
        const Json lines = home.restore();
        CHECK(row_where(lines, {{"tunable", "net.core.somaxconn"}}).is_null()); // ours no more
        CHECK(limit_of(listener) == 8);
    }
    SECTION("while no service runs: restore reports it") {
        service.signal(SIGTERM);
        REQUIRE(service.wait() == 0);
        site.netns.write("sys/net/core/somaxconn", "5000");
        const Json lines = home.restore();
        const Json line = row_where(lines, {{"tunable", "net.core.somaxconn"}});
        CHECK(line["result"] == "foreign");
        CHECK(line["found"] == "5000");
        CHECK(row_where(lines, {{"tunable", "listener.backlog"}})["result"] == "restored");
        CHECK(newest(home.history(), site, "net.core.somaxconn")["state"] == "yielded");
    }
    SECTION("before a start: it is not adopted") {
        service.kill();
        site.netns.write("sys/net/core/somaxconn", "5000");
        const Running next(home);
        CHECK(newest(home.history(), site, "net.core.somaxconn")["state"] == "yielded");
    }
    CHECK(somaxconn_in(site.netns) == 5000);
}
