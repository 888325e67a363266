// SPDX-License-Identifier: Apache-2.0
// What is put back looks at what is in use first.
#include "actuators/journal.hpp"
#include "fixtures.hpp"
#include "service/boot.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

constexpr std::uint16_t port = 8080;

// A listener of 8 that was raised, and in which 30 wait then: twice that is 64.
struct Waiting {
    Home home;
    Site site{8};
    sys::Fd listener = site.listen(port);
    std::unique_ptr<Running> service;
    std::vector<sys::Fd> connections;

    explicit Waiting(const std::string& spec = "mode: auto") {
        home.set_policy(policy_text("undo", spec));
        service = std::make_unique<Running>(home);
        REQUIRE(comes_true([&] {
            site.burst(listener, port);
            return limit_of(listener) > 64 && somaxconn_in(site.netns) > 64;
        }));
        connections = site.connect(30, port);
        REQUIRE(comes_true([&] { return queue() == 30; }));
    }
    [[nodiscard]] std::uint64_t queue() const { return take(sys::accept_queue(listener.value())).length; }
    void accept(int count) const {
        for (int i = 0; i < count; ++i) static_cast<void>(accept_one(listener));
    }
    [[nodiscard]] bool is_back() const { return limit_of(listener) == 8 && somaxconn_in(site.netns) == 8; }
    // Of the listener; the exit status must say whether all is back.
    [[nodiscard]] Json restored(int status, const Words& more = {}) const {
        const Ran ran = home.restored(more);
        INFO(ran.out << ran.err);
        REQUIRE(ran.status == status);
        return row_where(Json::parse(ran.out), {{"tunable", "listener.backlog"}});
    }
};

} // namespace

TEST_CASE("a dry run says how many wait, and what the original would lose", "[any-kernel]") {
    const Waiting waiting;
    const auto before = limit_of(waiting.listener);
    const Json line = waiting.restored(0, {"--dry-run"});
    CHECK(line["result"] == "would_lower");
    CHECK(line["in_use"] == "30");
    CHECK(line["to"] == "64");
    CHECK(line["detail"].get<std::string>().starts_with(
        "30 connections wait or complete their handshakes: at 8 none of them is lost"));
    CHECK(limit_of(waiting.listener) >= before);
}

TEST_CASE("without a service restore is one step, and the next goes on", "[any-kernel]") {
    const Waiting waiting;
    waiting.service->kill();
    const Json step = waiting.restored(1);
    CHECK(step["result"] == "lowered");
    CHECK(step["original"] == "8");
    CHECK(limit_of(waiting.listener) == 64);
    CHECK(somaxconn_in(waiting.site.netns) == 64);
    CHECK(waiting.restored(1)["result"] == "in_use");
    waiting.accept(28);
    CHECK(waiting.restored(0)["result"] == "restored");
    CHECK(waiting.is_back());
    CHECK(waiting.home.restore().empty());
}

TEST_CASE("with a service the steps go on as what waits is worked off, and nothing else is written", "[any-kernel]") {
    const Waiting waiting;
    CHECK(waiting.restored(1)["result"] == "lowered");
    CHECK(limit_of(waiting.listener) == 64);
    const Json top = waiting.home.top();
    CHECK(top["mode"] == "observe");
    CHECK(top["mode_reason"].get<std::string>().find("values go back as their use falls") != std::string::npos);
    waiting.accept(18);
    CHECK(comes_true([&] { return limit_of(waiting.listener) == 32 && somaxconn_in(waiting.site.netns) == 32; }));
    waiting.accept(12);
    CHECK(comes_true([&] { return waiting.is_back(); }));
    waiting.site.burst(waiting.listener, port);
    CHECK(comes_true([&] { return waiting.home.restore().empty(); }));
    CHECK(waiting.is_back());
    for (const Json& row : waiting.home.history())
        if (row["scope"]["netns"] == waiting.site.netns.inode()) CHECK(row["state"] == "restored");
}

TEST_CASE("what a restore left is known with its original when the policy is loaded again", "[any-kernel]") {
    const Waiting waiting;
    CHECK(waiting.restored(1)["result"] == "lowered");
    waiting.service->signal(SIGHUP);
    CHECK(waiting.service->says("adopted: listener.backlog = 64 (was 8)"));
    waiting.service->kill();
    CHECK(waiting.restored(0, {"--now"})["result"] == "restored");
    CHECK(waiting.is_back());
}

TEST_CASE("at the end with onExit: restore one step is made, and the next start goes on", "[any-kernel]") {
    const std::string mode = GENERATE("observe", "auto");
    INFO(mode);
    const Waiting waiting("mode: auto\n  onExit: restore");
    waiting.service->signal(SIGTERM);
    CHECK(waiting.service->wait() == 0);
    CHECK(limit_of(waiting.listener) == 64);
    waiting.home.set_policy(policy_text("undo", "mode: " + mode));
    const Running next(waiting.home);
    if (mode == "observe") CHECK(waiting.home.top()["mode_reason"] == "2 values go back as their use falls");
    waiting.accept(30);
    CHECK(comes_true([&] { return waiting.is_back(); }));
}

TEST_CASE("restore --now does not wait for what is in use", "[any-kernel]") {
    const Waiting waiting;
    CHECK(waiting.restored(0, {"--now"})["result"] == "restored");
    CHECK(waiting.is_back());
    waiting.accept(30);
}

TEST_CASE("what restore --now left does not wait for what is in use when it can go back", "[any-kernel]") {
    Waiting waiting;
    InFlight sent(std::move(waiting.listener));
    CHECK(waiting.restored(1, {"--now"})["result"] == "in_use");
    waiting.listener = sent.receive();
    CHECK(comes_true([&] { return waiting.is_back(); }));
    CHECK(waiting.queue() == 30);
    waiting.accept(30);
}

TEST_CASE("what was put back, and not recorded because the service was killed, is nobody else's", "[any-kernel]") {
    const Waiting waiting;
    waiting.accept(30);
    waiting.service->kill();
    {
        auto journal = take(actuators::Journal::open(waiting.home.state(), take(service::boot_id())));
        REQUIRE(journal.all_undoing());
        auto writer = take(actuators::Writer::start());
        for (const actuators::Holding& each : take(journal.holdings()))
            REQUIRE(
                writer.write(each.tunable, each.scope, std::stoull(each.current), std::stoull(each.original)).kind ==
                Outcome::Kind::written);
    }
    const Running next(waiting.home);
    CHECK(waiting.home.restore().empty());
    for (const Json& row : waiting.home.history())
        if (row["scope"]["netns"] == waiting.site.netns.inode()) CHECK(row["state"] == "restored");
}
