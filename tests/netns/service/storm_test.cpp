// SPDX-License-Identifier: Apache-2.0
// Work without end, by a process with no rights: it costs the service no turn of its loop.
#include <grp.h>

#include "fixtures.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

constexpr uid_t nobody = 65534;

void give_up_all_rights() {
    must(::setgroups(0, nullptr) == 0 && ::setgid(nobody) == 0 && ::setuid(nobody) == 0, "become nobody");
}

[[noreturn]] void listen_without_end() {
    while (true) static_cast<void>(listen_on("127.0.0.1", 0, 5));
}

// A process that begins to listen, and closes, as often as it can.
Process listen_loop(const Site& site) {
    return Process(site.netns, [] {
        give_up_all_rights();
        std::thread(listen_without_end).detach();
        return std::uint64_t{0};
    });
}

} // namespace

TEST_CASE("one who listens and closes without end does not keep the loop from ticks, requests and its end", "[loud]") {
    const LoneHome home;
    home.set_policy(policy_text("storm", GENERATE("mode: observe", "mode: auto")));
    const Site site(4);
    const Site other(4);
    const auto listener = other.listen(8080);
    Running service(home, {.listen = "none"});
    const Process one = listen_loop(site);
    const Process two = listen_loop(site);
    for (int i = 0; i < 5; ++i) { // a tick each
        const Json before = home.top()["time"];
        CHECK(comes_true([&] { return home.top()["time"] != before; }));
    }
    const auto waiting = other.connect(20, 8080);
    CHECK(comes_true([&] { // nothing is lost where the raise came before that
        const auto overflows = netstat(other.netns, "ListenOverflows");
        return listener_row(home.top(), other, 8080)["overflows"] == overflows &&
               (overflows > 0 || limit_of(listener) > 4);
    }));
    service.signal(SIGTERM);
    CHECK(service.wait() == 0);
}

TEST_CASE("a listener that its process keeps locked is not raised, and others are", "[any-kernel]") {
    const Home home;
    home.set_policy(policy_text("locked", "mode: auto"));
    const Site site(4);
    const Site other(4);
    Server locked(site.netns, 1000);
    const auto listener = other.listen(8080);
    Running service(home);
    locked.lock();
    const auto waiting = site.connect(20, locked.scope().listener->local.port);
    REQUIRE(service.says("no answer: "));
    other.burst(listener, 8080);
    CHECK(comes_true([&] { return limit_of(listener) > 4; }));
    const Json before = home.top()["time"];
    CHECK(comes_true([&] { return home.top()["time"] != before; }));
    locked.end();
    service.signal(SIGTERM);
    CHECK(service.wait() == 0);
}
