// SPDX-License-Identifier: Apache-2.0
// Recordings of a real service: what `replay` makes of them, and that no recorder holds it up.
// Not run under other kernels: what is recorded does not depend on them, and a burst does on a slow machine.
#include <catch2/catch.hpp>

#include <sys/socket.h>

#include "netns/service/fixtures.hpp"
#include "service/api_client.hpp"

using namespace bpftune::testing;
using namespace std::chrono_literals;

namespace {

constexpr std::uint16_t port = 8080;
const std::string automatic = policy_text("tuning", "mode: auto");

struct Recorder : Program {
    Recorder(const Home& home, const fs::path& file)
        : Program({"record", file.string(), "--socket", home.socket()}, home / random_name("out-"),
                  home / random_name("log-")),
          file_(file) {}

    [[nodiscard]] bool has_begun() const {
        return comes_true([&] { return fs::exists(file_) && fs::file_size(file_) > 20; });
    }
    void end() {
        signal(SIGINT);
        CHECK(wait() == 0);
    }

private:
    fs::path file_;
};

Json replay(const fs::path& file, const Words& more = {}) {
    Words words{"replay", file.string(), "-o", "json"};
    words.insert(words.end(), more.begin(), more.end());
    return json_of(run(words));
}

// What history and replay both say of a change. The state of a row of history is its latest.
Json said_of(const Json& change) {
    Json said;
    for (const char* key : {"tunable", "scope", "from", "to", "why", "evidence"}) said[key] = change[key];
    return said;
}

// Raises, without the verdicts on them: history has one row for both.
Json raises_of(const Json& decisions) {
    Json raises = Json::array();
    for (const Json& decision : decisions)
        if (decision["state"] == "applied") raises.push_back(said_of(decision));
    return raises;
}

Json rows_of(const Json& history) {
    Json rows = Json::array();
    for (const Json& change : history) rows.push_back(said_of(change));
    return rows;
}

} // namespace

TEST_CASE("a recorded night is replayed to the same decisions, under its own policy and under the file",
          "[any-kernel]") {
    const Home home;
    const Site site;
    const auto listener = site.listen(port);
    home.set_policy(automatic);
    Running service(home);
    Recorder recorder(home, home / "night");
    REQUIRE(recorder.has_begun());
    for (const std::size_t connections : {40, 200, 700}) {
        site.burst(listener, port, connections);
        REQUIRE(comes_true([&] { return limit_of(listener) > connections; }));
    }
    service.signal(SIGHUP);
    REQUIRE(service.says("policy: SIGHUP"));
    const Json top = home.top();
    REQUIRE(comes_true([&] { return home.top()["time"] != top["time"]; }));
    recorder.end();
    const Json history = home.history();
    REQUIRE(history.size() >= 4);
    const Json snapshots = replay(home / "night")["recording"]["snapshots"];
    CHECK_THAT(recorder.out(),
               Catch::StartsWith((home / "night").string() + ": " + snapshots.dump() + " snapshots, ") &&
                   Catch::EndsWith(" decisions\n") && !Catch::Contains(" 0 decisions"));

    for (const Words& policy : {Words{}, Words{"--policy", home.policy().string()}}) {
        const Json replayed = replay(home / "night", policy);
        INFO(replayed.dump(1) << history.dump(1));
        CHECK(replayed["differing"] == 0);
        CHECK(replayed["mode"] == "auto");
        CHECK(raises_of(replayed["decisions"]) == rows_of(history));
        const Json limit = row_where(replayed["limits"], {{"tunable", "listener.backlog"}});
        CHECK(limit["replayed"] == std::to_string(limit_of(listener)));
        CHECK(limit["original"] == "8");
    }
    const Json observed = replay(home / "night", {"--policy", home.policy().string(), "--mode", "observe"});
    CHECK(observed["raises"] == 0);
    CHECK(row_where(observed["limits"], {{"tunable", "listener.backlog"}})["replayed"] == "8");
    CHECK(observed["overflows"]["replayed"] > replay(home / "night")["overflows"]["replayed"]);
}

TEST_CASE("a recording that begins after the first raises goes on from there", "[any-kernel]") {
    const Home home;
    const Site site;
    const auto listener = site.listen(port);
    home.set_policy(automatic);
    const Running service(home);
    site.burst(listener, port);
    REQUIRE(comes_true([&] { return limit_of(listener) > 40; }));
    const Json before = home.history();
    Recorder first(home, home / "first");
    REQUIRE(first.has_begun());
    Recorder second(home, home / "second"); // the first goes on
    REQUIRE(second.has_begun());
    site.burst(listener, port, 300);
    REQUIRE(comes_true([&] { return limit_of(listener) > 300; }));
    const Json top = home.top();
    REQUIRE(comes_true([&] { return home.top()["time"] != top["time"]; }));
    first.end();
    second.kill(); // what it had is in the file
    for (const char* file : {"first", "second"}) {
        const Json replayed = replay(home / file);
        CHECK(replayed["differing"] == 0);
        CHECK(replayed["recording"]["cut_short"] == (std::string(file) == "second"));
        Json rows = rows_of(home.history());
        rows.erase(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(before.size()));
        CHECK(raises_of(replayed["decisions"]) == rows);
    }
}

TEST_CASE("a recorder that does not read is left, told so, and holds nobody up", "[any-kernel]") {
    const Home home;
    std::vector<std::unique_ptr<Site>> sites;
    std::vector<bpftune::sys::Fd> listeners;
    for (int i = 0; i < 4; ++i) sites.push_back(std::make_unique<Site>());
    for (const auto& site : sites)
        for (std::uint16_t i = 0; i < 250; ++i) listeners.push_back(site->listen(static_cast<std::uint16_t>(port + i)));
    home.set_policy(policy_text("watching", "mode: observe"));
    const Running service(home, {.interval = "10ms"});
    // Each who begins makes everything be told anew to all: the first one, who does not read, soon has too much unread.
    const auto idle = take(bpftune::service::begin_to_ask(home.socket(), R"({"command": "record"})"));
    for (int i = 0; i < 200; ++i) {
        const auto other = take(bpftune::service::begin_to_ask(home.socket(), R"({"command": "record"})"));
        char byte = 0;
        REQUIRE(::recv(other.value(), &byte, 1, 0) == 1);
        std::this_thread::sleep_for(20ms);
    }
    CHECK(home.top()["mode"] == "observe");
    std::string text;
    std::vector<char> chunk(1 << 20);
    for (ssize_t count = 1; count > 0 && text.find(R"({"error":)") == std::string::npos;) {
        count = ::recv(idle.value(), chunk.data(), chunk.size(), 0);
        if (count > 0) text.append(chunk.data(), static_cast<std::size_t>(count));
    }
    CHECK(text.find("{\"error\":\"too much was left unread: nothing more is sent\"}\n") != std::string::npos);
    CHECK(text.size() < 18 << 20);
}

TEST_CASE("without a service it records with probes of its own, for as long as was asked", "[any-kernel]") {
    const Home home;
    const Site site;
    const auto listener = site.listen(port);
    Program recorder({"record", (home / "alone").string(), "--for", "3500ms", "--socket", home.socket()}, home / "out",
                     home / "log");
    site.burst(listener, port);
    CHECK(recorder.wait() == 0);
    CHECK_THAT(recorder.err(), Catch::Contains("no service answers at " + home.socket() + ": looking with probes"));
    CHECK_THAT(recorder.out(), Catch::EndsWith(" snapshots, 0 decisions\n"));
    const Json replayed = replay(home / "alone");
    CHECK(replayed["recording"]["snapshots"] >= 2);
    CHECK(replayed["mode"] == "observe");
    CHECK(replayed["decisions"].empty());
}

TEST_CASE("a recording that ended before there was anything to record is an error, and no file", "[any-kernel]") {
    const TemporaryDirectory folder;
    const Ran ran = run({"record", folder / "file", "--for", "1ms", "--socket", folder / "none"});
    CHECK(ran.status == 1);
    CHECK(ran.out.empty());
    CHECK_THAT(ran.err,
               Catch::EndsWith("bpftune-k8s: nothing was recorded: it ended before the first look at the node\n"));
    CHECK_FALSE(fs::exists(folder / "file"));
}

TEST_CASE("what cannot be replayed is said, and where", "[any-kernel]") {
    const Home home;
    write_text(home / "foreign", "apiVersion: v1\n");
    home.set_policy("spec: {mode: soon}\n");
    const Ran foreign = run({"replay", (home / "foreign").string()});
    CHECK(foreign.status == 1);
    CHECK(foreign.err.find("foreign: line 1: not a recording, or damaged") != std::string::npos);
    const Ran broken = run({"replay", (home / "foreign").string(), "--policy", home.policy().string()});
    CHECK(broken.status == 2);
    CHECK(broken.err.find("policy.yaml:1:") != std::string::npos);
    const Ran missing = run({"replay", (home / "missing").string()});
    CHECK(missing.status == 1);
    CHECK(missing.out.empty());
    const std::string policy = contents(home.policy());
    const Ran over = run({"record", home.policy().string(), "--for", "100ms", "--socket", home.socket()});
    CHECK(over.status == 1);
    CHECK_THAT(over.err, Catch::EndsWith("policy.yaml is there already, and is left as it is: name a new file\n"));
    CHECK(contents(home.policy()) == policy);
    const auto as_nobody = [] { must(::setresuid(65534, 65534, 65534) == 0, "become nobody"); };
    const TemporaryDirectory shared;
    fs::permissions(shared.path(), fs::perms{01777});
    for (int i = 0; i < 2; ++i) { // what failed leaves no file behind that the next try would meet
        const Ran without =
            run({"record", (shared / "new").string(), "--socket", (shared / "none").string()}, as_nobody);
        CHECK_THAT(without.err, Catch::Contains("without any rights the node cannot be seen"));
        CHECK_FALSE(fs::exists(shared / "new"));
    }
    CHECK(run({"record", (home / "no" / "where").string(), "--socket", home.socket()}).status == 1);
    CHECK(run({"record", (home / "f").string(), "--for", "soon"}).status == 2);
}
