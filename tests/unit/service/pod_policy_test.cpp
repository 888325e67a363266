// SPDX-License-Identifier: Apache-2.0
#include "service/pod_policy.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>

using namespace bpftune;
using namespace bpftune::service;

namespace {

Snapshot with_pods() {
    Snapshot snapshot;
    snapshot.pods = {{.pod = {.ns = "", .name = "u1", .uid = "u1"}, .source = PodSource::cgroup},
                     {.pod = {.ns = "shop", .name = "web-0", .uid = "u2"},
                      .source = PodSource::runtime,
                      .qos = QosClass::burstable,
                      .labels = {{"app", "web"}}}};
    return snapshot;
}

policy::Policy with_entry() {
    policy::Policy policy;
    policy.mode = policy::Mode::automatic;
    policy.file.value = "policy.yaml";
    policy.pods.push_back({.match = {.labels = {{"app", "web"}}}, .mode = policy::Mode::recommend, .line = {12}});
    return policy;
}

} // namespace

TEST_CASE("of a pod is shown what is known of it, the line that is about it, and what that leaves") {
    const auto shown = shown_for(with_entry(), with_pods(), "shop/web-0", nullptr);
    REQUIRE(shown);
    CHECK(shown->lines == std::vector<std::string>{"pod shop/web-0: known by cri, Burstable",
                                                   "labels, when it was made: app=web",
                                                   "policy.yaml:12 is about it: mode recommend"});
    const auto left = policy::parse(shown->policy);
    REQUIRE(left);
    CHECK(left->mode == policy::Mode::recommend);
    CHECK(left->pods.empty());
}

TEST_CASE("a pod of which only the UID is known is called by that") {
    const auto shown = shown_for(with_entry(), with_pods(), "u1", nullptr);
    REQUIRE(shown);
    CHECK(shown->lines.front() == "pod u1: known by cgroup");
    CHECK(shown->lines.back() == "left alone: policy.yaml:12 may be about it, and its pod's labels are not known: no "
                                 "runtime tells them");
    CHECK(policy::parse(shown->policy)->mode == policy::Mode::observe);
    CHECK_FALSE(shown_for(with_entry(), with_pods(), "/u1", nullptr));
}

TEST_CASE("a pod that is not there is told from one whose name is not known, in clean text") {
    const auto shown = shown_for(with_entry(), with_pods(), "shop/\x1b[2J", nullptr);
    REQUIRE_FALSE(shown);
    CHECK(shown.error().message ==
          "no pod shop/\\x1b[2J is known here, of 2 that are; a pod whose name is not known is "
          "called by its UID");
}

TEST_CASE("of several pods of one name it is about the one that was made last, and says which these are") {
    constexpr std::int64_t minute_ns = 60'000'000'000;
    Snapshot snapshot = with_pods();
    snapshot.pods.push_back({.pod = {.ns = "shop", .name = "web-0", .uid = "u3"}, .source = PodSource::runtime});
    kube::Listing listing;
    SECTION("the runtime lists both") {
        const bool is_last = GENERATE(true, false); // in the order of their UIDs
        const std::string newest = is_last ? "u3" : "u2";
        const std::string older = is_last ? "u2" : "u3";
        listing.sandboxes = {{.id = "1", .uid = newest, .created_ns = 2 * minute_ns},
                             {.id = "2", .uid = older, .created_ns = minute_ns},
                             {.id = "3", .uid = newest, .created_ns = 1}}; // before the pod was restarted as a whole
        const auto shown = shown_for(with_entry(), snapshot, "shop/web-0", &listing);
        REQUIRE(shown);
        CHECK(shown->lines[0] ==
              "2 pods have this name. This is about " + newest + ", made 1970-01-01T00:02:00.000Z: the newest");
        CHECK(shown->lines[1] == "not about " + older + ", made 1970-01-01T00:01:00.000Z: --pod " + older + " is");
        CHECK(shown->lines[2].starts_with("pod shop/web-0: known by cri"));
        CHECK((policy::parse(shown->policy)->mode == policy::Mode::recommend) == !is_last); // u2 has the label
    }
    SECTION("the runtime has forgotten one") {
        listing.sandboxes = {{.id = "1", .uid = "u3", .created_ns = minute_ns}};
        const auto shown = shown_for(with_entry(), snapshot, "shop/web-0", &listing);
        REQUIRE(shown);
        CHECK(shown->lines[0] == "2 pods have this name. This is about u3, made 1970-01-01T00:01:00.000Z: the newest");
        CHECK(shown->lines[1] == "not about u2, which no runtime lists: --pod u2 is");
    }
    SECTION("nobody lists them") {
        const auto shown = shown_for(with_entry(), snapshot, "shop/web-0", nullptr);
        REQUIRE(shown);
        CHECK(shown->lines[0] == "2 pods have this name. This is about u2, which no runtime lists; which is the newest "
                                 "is not known");
        CHECK(shown->lines[1] == "not about u3, which no runtime lists: --pod u3 is");
    }
    SECTION("by its UID it is one") {
        const auto shown = shown_for(with_entry(), snapshot, "u3", &listing);
        REQUIRE(shown);
        CHECK(shown->lines[0] == "pod shop/web-0: known by cri");
    }
}

TEST_CASE("however many pods have one name, few of them are told") {
    Snapshot snapshot;
    for (int i = 0; i < 100; ++i)
        snapshot.pods.push_back({.pod = {.ns = "shop", .name = "web-0", .uid = fmt::format("u{:02}", i)}});
    const auto shown = shown_for(policy::Policy(), snapshot, "shop/web-0", nullptr);
    REQUIRE(shown);
    CHECK(shown->lines.size() < 12);
    CHECK(shown->lines[6] == "nor 94 more");
}
