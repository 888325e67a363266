// SPDX-License-Identifier: Apache-2.0
// What a calm shows not to be needed goes back, step by step, until nothing is held any more.
#include "fixtures.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

constexpr std::uint16_t port = 8080;

std::string calm_policy(const std::string& shrink_after) {
    return policy_text("calm", "mode: auto") + "    net.core.somaxconn: {max: 32, shrinkAfter: " + shrink_after + "}\n";
}

bool has_row(const Json& history, const Site& site, const Json& fields) {
    return std::ranges::any_of(history, [&](const Json& row) {
        return row["scope"]["netns"] == site.netns.inode() && row_where(Json::array({row}), fields).is_object();
    });
}

} // namespace

TEST_CASE("what a calm shows not to be needed is given back down to the original, which is then no longer held",
          "[any-kernel]") {
    const Home home;
    const Site site(8);
    const auto listener = site.listen(port);
    home.set_policy(calm_policy("never"));
    const Running service(home);
    // Until the trial has seen that what did not fit before does now.
    REQUIRE(comes_true([&] {
        site.burst(listener, port, 12);
        return has_row(home.history(), site, {{"tunable", "listener.backlog"}, {"state", "kept"}});
    }));
    REQUIRE(limit_of(listener) == 32);

    home.set_policy(calm_policy("1s"));
    service.signal(SIGHUP);
    const Json half{{"tunable", "listener.backlog"}, {"from", "32"}, {"to", "16"}};
    REQUIRE(comes_true([&] { return has_row(home.history(), site, half); }));
    const Json row = row_where(home.history(), half);
    CHECK(row["why"].get<std::string>().starts_with("given back: at most "));
    CHECK(row["evidence"]["limit"] == 32);
    CHECK(comes_true([&] { return limit_of(listener) == 8 && somaxconn_in(site.netns) == 8; }));
    CHECK(comes_true([&] {
        return std::ranges::all_of(home.history(), [&](const Json& each) {
            return each["scope"]["netns"] != site.netns.inode() || each["state"] == "restored";
        });
    }));
    CHECK(home.restore().empty());
}
