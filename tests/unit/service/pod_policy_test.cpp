// SPDX-License-Identifier: Apache-2.0
#include "service/pod_policy.hpp"

#include <catch2/catch.hpp>

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
    const auto shown = shown_for(with_entry(), with_pods(), "shop/web-0");
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
    const auto shown = shown_for(with_entry(), with_pods(), "u1");
    REQUIRE(shown);
    CHECK(shown->lines.front() == "pod u1: known by cgroup");
    CHECK(shown->lines.back() == "left alone: policy.yaml:12 may be about it, and its pod's labels are not known: no "
                                 "runtime tells them");
    CHECK(policy::parse(shown->policy)->mode == policy::Mode::observe);
    CHECK_FALSE(shown_for(with_entry(), with_pods(), "/u1"));
}

TEST_CASE("a pod that is not there is told from one whose name is not known, in clean text") {
    const auto shown = shown_for(with_entry(), with_pods(), "shop/\x1b[2J");
    REQUIRE_FALSE(shown);
    CHECK(shown.error().message ==
          "no pod shop/\\x1b[2J is known here, of 2 that are; a pod whose name is not known is "
          "called by its UID");
}
