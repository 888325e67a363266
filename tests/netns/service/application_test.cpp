// SPDX-License-Identifier: Apache-2.0
// What applications do with listeners of theirs: listen again, and accept nothing.
#include "core/words.hpp"
#include "fixtures.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

constexpr std::uint16_t port = 8080;
const std::string automatic = policy_text("application", "mode: auto") + "    listener.backlog: {max: 1024}\n";

bool has(const Json& text, const std::string& part) {
    return text.is_string() && text.get<std::string>().find(part) != std::string::npos;
}

// A text that was broken into lines, on one.
std::string unwrapped(const std::string& text) {
    std::istringstream words(text);
    std::string line;
    for (std::string word; words >> word;) line += word + " ";
    return line;
}

void await_tick(const Home& home) {
    const Json before = home.top()["time"];
    REQUIRE(comes_true([&] { return home.top()["time"] != before; }));
}

} // namespace

TEST_CASE(
    "an application that listens again gets what it asks for now, nobody has yielded, and a burst is raised for") {
    const Home home;
    const Site site(4096);
    const auto listener = site.listen(port, 8);
    home.set_policy(automatic);
    const Running service(home);
    const auto raised = [&](std::uint64_t beyond) {
        return comes_true([&] {
            site.burst(listener, port);
            return limit_of(listener) > beyond;
        });
    };
    REQUIRE(raised(20));
    await_tick(home); // the correction after the burst has been made
    const Json raise = newest(home.history(), site, "listener.backlog");

    must(::listen(listener.value(), 20) == 0, "listen again");
    const auto said = [&] { return row_where(home.history(), {{"id", raise["id"]}}); };
    const bool is_said =
        comes_true([&] { return has(said()["why"], "the application called listen() again and has 20 now"); });
    INFO(home.history().dump(1) << service.err());
    REQUIRE(is_said);
    CHECK(said()["state"] == "kept");
    CHECK(limit_of(listener) == 20);
    CHECK(comes_true([&] { return listener_row(home.top(), site, port)["asked"] == 20; }));

    REQUIRE(raised(20));
    CHECK(row_where(home.history(), {{"state", "yielded"}}).is_null());
    CHECK(row_where(home.history(), {{"tunable", "listener.backlog"}, {"from", "20"}}).is_object());
    for (const Json& line : home.restore()) CHECK(line["result"] == "restored");
    CHECK(limit_of(listener) == 20); // its newest wish, and not its first
}

TEST_CASE("a server that accepts nothing is not given a longer queue, and top says of it what history says",
          "[any-kernel]") {
    const bool is_unknown = GENERATE(false, true); // whether its own argument limits it
    const Home home;
    const Site site(is_unknown ? 4096 : 8);
    const auto listener = site.listen(port, is_unknown ? 8 : 1000);
    const auto waiting = site.connect(9, port);
    home.set_policy(automatic);
    const Running service(home);
    const bool sees = sees_arrivals(home);
    REQUIRE(comes_true([&] { return listener_row(home.top(), site, port)["queue"] == 9; }));
    await_tick(home); // full at two looks
    const auto refused = site.connect(100, port);

    const Json advice{{"tunable", "listener.backlog"}, {"state", "advice"}};
    REQUIRE(comes_true([&] { return row_where(home.history(), advice).is_object(); }));
    const Json row = row_where(home.history(), advice);
    INFO(home.history().dump(1));
    CHECK(has(row["why"], sees ? "it hangs or is stopped" : "whatever the application accepted"));
    CHECK(has(row["why"], "nothing raised"));
    CHECK(has(row["why"], unknown_wish("8", "4096")) == is_unknown);
    CHECK(row_where(home.top()["changes"], {{"id", row["id"]}})["why"] == row["why"]);

    CHECK(comes_true([&] { return listener_row(home.top(), site, port)["overflows"] > 0; }));
    CHECK(listener_row(home.top(), site, port)["binds"] == (is_unknown ? "unknown" : "somaxconn"));
    const std::string table = unwrapped(run({"top", "--once", "--socket", home.socket()}).out);
    CHECK(has(table, row["why"]));

    await_tick(home);
    CHECK(limit_of(listener) == 8);
    CHECK(somaxconn_in(site.netns) == (is_unknown ? 4096 : 8));
    for (const Json& each : home.history()) CHECK(each["state"] == "advice");
}
