// SPDX-License-Identifier: Apache-2.0
// A policy that is held to some network namespaces, by the names that they are bound under.
#include <set>

#include "fixtures.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

constexpr std::uint16_t port = 8080;

std::string only_in(const std::string& names) { return policy_text("pods", "mode: auto", "", names); }

bool is_raised(const Site& site, const sys::Fd& listener) {
    return limit_of(listener) > 8 && limit_of(listener) == somaxconn_in(site.netns);
}

} // namespace

TEST_CASE("two services that are held to namespaces of their own do not meet", "[any-kernel]") {
    const Home home;
    const Site here;
    const Site there;
    const auto listener = here.listen(port);
    const auto other = there.listen(port);
    home.set_policy(only_in(here.netns.name()));
    write_text(home / "other.yaml", only_in(there.netns.name().substr(0, there.netns.name().size() - 1) + "?"));
    const Running service(home);
    Words words{"run",      "--policy",          home / "other.yaml", "--state-dir", home / "other",
                "--socket", home / "other.sock", "--listen",          "none"};
    for (const std::string& rung : rung_words()) words.insert(words.end(), {"--rung", rung});
    const Program second(words, home / "other.out", home / "other.err");
    REQUIRE(comes_true([&] { return second.err().find(" ready: mode ") != std::string::npos; }));

    CHECK(comes_true([&] {
        here.burst(listener, port);
        there.burst(other, port);
        return is_raised(here, listener) && is_raised(there, other);
    }));
    const auto touched = [](const Json& history) {
        std::set<std::uint32_t> namespaces;
        for (const Json& row : history) namespaces.insert(row["scope"]["netns"].get<std::uint32_t>());
        return namespaces;
    };
    CHECK(touched(home.history()) == std::set{here.netns.inode()});
    CHECK(touched(json_of(run({"history", "-o", "json", "--state-dir", home / "other"}))) ==
          std::set{there.netns.inode()});
}

TEST_CASE("a namespace that another entry holds is seen, with its name, and left alone", "[any-kernel]") {
    const Home home;
    const Site site;
    const auto listener = site.listen(port);
    home.set_policy(only_in("no-such-*"));
    const Running service(home);
    site.burst(listener, port);
    const std::string seen = is_blind(sees_arrivals(home), "arrivals") ? "overflows" : "arrivals";
    REQUIRE(comes_true([&] { return listener_row(home.top(), site, port)[seen] >= 9; }));
    CHECK(listener_row(home.top(), site, port)["netns_name"] == site.netns.name());
    CHECK(row_where(home.top()["time_wait"], {{"netns", site.netns.inode()}})["netns_name"] == site.netns.name());
    CHECK(limit_of(listener) == 8);
    CHECK(home.history().empty());
}

TEST_CASE("what an entry holds back is said with its line, in history and in top", "[any-kernel]") {
    const Home home;
    const Site site;
    const auto listener = site.listen(port);
    home.set_policy("apiVersion: bpftune-k8s.io/v1alpha1\nkind: NodeTuningPolicy\nmetadata: {name: pods}\nspec:\n"
                    "  mode: auto\n  pods:\n  - match: {netns: \"" +
                    site.netns.name() + "\"}\n    mode: recommend\n  - match: {}\n    mode: observe\n  tunables:\n" +
                    with_node_observed(""));
    const Running service(home);
    const std::string words = "held by policy.yaml:7";
    REQUIRE(comes_true([&] {
        site.burst(listener, port);
        const Json history = home.history();
        return !history.empty() && history[0]["why"].get<std::string>().ends_with("mode is recommend, " + words);
    }));
    CHECK(limit_of(listener) == 8);
    Json held;
    REQUIRE(comes_true([&] { // from the next tick on
        held = row_where(home.top()["held_by_policy"], {{"by", words}});
        return !held.is_null();
    }));
    CHECK(held["mode"] == "recommend");
    CHECK(held["names"] == Json{site.netns.name()});
}

TEST_CASE("a namespace that is made while the service runs is known by its name") {
    const Home home;
    const std::string name = random_name("bpftune-");
    home.set_policy(only_in(name));
    const Running service(home);
    const Namespace late(name);
    late.write("sys/net/core/somaxconn", "8");
    const auto listener = late.inside([] { return listen_on("127.0.0.1", port, 1000); });
    REQUIRE(comes_true([&] { // what it was made with may have been seen before the 8
        return row_where(home.top()["listeners"], {{"netns", late.inode()}, {"somaxconn", 8}}).is_object();
    }));
    CHECK(comes_true([&] {
        const auto connected = late.inside([] { return clients(40, "127.0.0.1", port); });
        static_cast<void>(await(listener, POLLIN, 1000));
        accept_all(listener);
        return limit_of(listener) > 8;
    }));
}
