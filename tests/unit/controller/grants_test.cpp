// SPDX-License-Identifier: Apache-2.0
// Who is held back by which entry of a policy, as `top` tells it.
#include "controller/grants.hpp"

#include <catch2/catch.hpp>

using namespace bpftune;
using namespace bpftune::controller;

namespace {

constexpr NetnsId host{.cookie = 1, .inode = 1};

PodFacts pod(const std::string& ns, const std::string& uid) {
    return {.pod = {.ns = ns, .name = uid, .uid = uid}, .source = PodSource::runtime};
}

// Five pods of payments, one of them with hostNetwork, one of shop, and two units.
Snapshot a_node() {
    Snapshot snapshot;
    snapshot.host = host;
    snapshot.netns_names.push_back({.netns = host});
    for (std::uint32_t i = 2; i < 6; ++i) {
        snapshot.pods.push_back(pod("payments", "p" + std::to_string(i)));
        snapshot.netns_names.push_back({.netns = {.cookie = i, .inode = i}, .pod = snapshot.pods.back().pod});
    }
    snapshot.pods.push_back(pod("payments", "p6"));
    snapshot.pods.push_back(pod("shop", "q"));
    snapshot.netns_names.push_back({.netns = {.cookie = 7, .inode = 7}, .pod = snapshot.pods.back().pod});
    snapshot.netns_names.push_back({.netns = {.cookie = 8, .inode = 8}, .unit = "db.service"});
    snapshot.listeners.push_back({.netns = host, .pid = 7, .unit = "nginx.service"});
    return snapshot;
}

policy::Policy with(std::vector<policy::PodRule> entries) {
    policy::Policy policy;
    policy.mode = policy::Mode::automatic;
    policy.file.value = "policy.yaml";
    policy.pods = std::move(entries);
    for (std::size_t i = 0; i < policy.pods.size(); ++i) policy.pods[i].line.value = 10 + i;
    return policy;
}

} // namespace

TEST_CASE("whoever has less than spec is told by what holds him back, each once") {
    const Snapshot snapshot = a_node();
    const policy::Policy policy = with({{.match = {.ns = "payments"}, .mode = policy::Mode::observe},
                                        {.match = {.unit = "*.service"}, .mode = policy::Mode::recommend}});
    CHECK(Grants(policy, snapshot).restraints() ==
          std::vector<Restraint>{{.by = "held by policy.yaml:10",
                                  .mode = "observe",
                                  .count = 5,
                                  .names = {"payments/p2", "payments/p3", "payments/p4"}},
                                 {.by = "held by policy.yaml:11",
                                  .mode = "recommend",
                                  .count = 2,
                                  .names = {"db.service", "nginx.service"}}});
}

TEST_CASE("an entry that grants all of spec holds nobody back, one that lowers a bound does") {
    const Snapshot snapshot = a_node();
    policy::PodRule entry{.match = {.ns = "shop"}};
    CHECK(Grants(with({entry}), snapshot).restraints().empty());
    entry.tunables[static_cast<std::size_t>(TunableId::somaxconn)] = {.named = true, .max = 256};
    CHECK(Grants(with({entry}), snapshot).restraints().size() == 1);
}

TEST_CASE("without entries only the pod that says so itself is held back") {
    Snapshot snapshot = a_node();
    CHECK(Grants(with({}), snapshot).restraints().empty());
    snapshot.pods[1].annotations.emplace(policy::mode_annotation, "observe");
    const policy::Policy policy = with({});
    const Grants grants(policy, snapshot);
    CHECK(grants.restraints().size() == 1);
    CHECK(grants.of(NetnsId{.cookie = 3, .inode = 3}).mode() == policy::Mode::observe);
    CHECK(grants.of(NetnsId{.cookie = 4, .inode = 4}).mode() == policy::Mode::automatic);
    CHECK(grants.of(NetnsId{.cookie = 99, .inode = 99}).mode() == policy::Mode::automatic); // nobody asks for more
}

TEST_CASE("a pod that is no pod of the snapshot is known by its name alone") {
    const Snapshot snapshot = a_node();
    const policy::Policy policy = with({{.match = {.ns = "payments"}, .mode = policy::Mode::observe}});
    const Grants grants(policy, snapshot);
    CHECK(grants.of(host, Pod{.ns = "payments", .name = "gone", .uid = "x"}).mode() == policy::Mode::observe);
    CHECK(grants.of(host, Pod{.ns = "shop", .name = "gone", .uid = "x"}).mode() == policy::Mode::automatic);
    CHECK(grants.of(host, std::nullopt).unknown == policy::Unknown::owner); // nobody is known to hold it
}

TEST_CASE("of a socket in which two have a hand the lower of both grants counts") {
    const bool is_pods = GENERATE(true, false);
    Snapshot snapshot = a_node();
    snapshot.listeners = {{.netns = is_pods ? NetnsId{.cookie = 7, .inode = 7} : host, .cookie = 70, .pid = 7}};
    Listener& listener = snapshot.listeners[0];
    if (is_pods) {
        listener.pod = snapshot.pods.back().pod; // of shop
        listener.other = OtherHolder{.pod = snapshot.pods[0].pod, .unit = {}};
    } else {
        listener.unit = "web.service";
        listener.other = OtherHolder{.pod = {}, .unit = "init.scope"};
    }
    const auto id = TunableId::somaxconn;
    policy::PodRule own{.match = {.ns = "shop"}}, others{.match = {.ns = "payments"}};
    if (!is_pods) own.match = {.unit = "web.*"}, others.match = {.unit = "init.*"};
    const auto check = [&](policy::Mode mode, std::uint64_t max) {
        const policy::Policy policy = with({own, others});
        const Grants grants(policy, snapshot);
        const policy::Grant grant = grants.of(listener);
        CHECK(grant.mode() == mode);
        CHECK(policy.of(id, grant).max == max);
        CHECK(policy.of(id, grant).mode == mode);
    };
    const std::uint64_t all = with({}).of(id).max;
    check(policy::Mode::automatic, all);
    others.mode = policy::Mode::observe;
    check(policy::Mode::observe, all);
    std::swap(own.mode, others.mode);
    check(policy::Mode::observe, all);
    own.mode = policy::Mode::automatic;
    own.tunables[static_cast<std::size_t>(id)] = {.named = true, .max = 256};
    check(policy::Mode::automatic, 256);
    others.mode = policy::Mode::recommend; // each lowers what the other does not
    check(policy::Mode::recommend, 256);
}

TEST_CASE("who of two holds a socket back is told by the tunable") {
    const auto id = TunableId::somaxconn;
    policy::PodRule lower_mode{.match = {.ns = "shop"}}, lower_max{.match = {.ns = "payments"}};
    lower_mode.tunables[static_cast<std::size_t>(id)] = {.named = true, .mode = policy::Mode::observe, .max = 1024};
    lower_max.tunables[static_cast<std::size_t>(id)] = {.named = true, .max = 256};
    const policy::Policy policy = with({lower_mode, lower_max});
    const policy::Grant other{.rule = &policy.pods[1]};
    const policy::Grant both{.rule = &policy.pods[0], .other = &other};
    CHECK(policy.lower_mode(id, both).rule == &policy.pods[0]);
    CHECK(policy.lower_max(id, both).rule == &policy.pods[1]);
    CHECK(policy.lower_max(id, both).other == nullptr);
    CHECK(policy.lower_mode(id, other).rule == &policy.pods[1]);
}

TEST_CASE("one whose other holder is not known yet is left alone") {
    Snapshot snapshot = a_node();
    snapshot.listeners[0].cookie = 70;
    snapshot.listeners[0].is_owner_unknown = true;
    snapshot.listeners[0].other = OtherHolder{};
    const policy::Policy policy = with({{.match = {.unit = "x.service"}}});
    const Grants grants(policy, snapshot);
    CHECK(grants.of(snapshot.listeners[0]).mode() == policy::Mode::observe);
}

TEST_CASE("outside of the node's own namespace too, who holds a socket beside its pod or unit has a say") {
    Snapshot snapshot = a_node();
    snapshot.listeners[0] = {.netns = {.cookie = 7, .inode = 7}, .cookie = 70, .pod = snapshot.pods.back().pod};
    Listener& listener = snapshot.listeners[0];
    const auto mode = [&](const std::string& unit) {
        const policy::Policy policy = with({{.match = {.unit = unit}, .mode = policy::Mode::observe}});
        return Grants(policy, snapshot).of(listener).mode();
    };
    CHECK(mode("init.scope") == policy::Mode::automatic);
    listener.other = OtherHolder{.pod = {}, .unit = "init.scope"};
    CHECK(mode("init.scope") == policy::Mode::observe);
    CHECK(mode("x.service") == policy::Mode::automatic);
    SECTION("or may have one") {
        listener.other->unit.clear();
        listener.is_owner_unknown = true;
        CHECK(mode("x.service") == policy::Mode::observe);
    }
}

TEST_CASE("where names are not known, entries about pods are told, and by a name none is") {
    Snapshot snapshot = a_node();
    for (NetnsNames& row : snapshot.netns_names) row.is_name_unknown = true;
    const policy::Policy policy =
        with({{.match = {.ns = "payments"}, .mode = policy::Mode::recommend}, {.match = {.netns = "lab-*"}}});
    const Grants grants(policy, snapshot);
    const auto of = [&](std::uint32_t number) { return grants.of(NetnsId{.cookie = number, .inode = number}); };
    CHECK(of(3).mode() == policy::Mode::recommend); // a pod of payments
    CHECK(of(7).mode() == policy::Mode::automatic); // one of shop: no pod is matched by a name
    CHECK(of(8).unknown == policy::Unknown::netns); // a unit's
    CHECK(of(1).unknown == policy::Unknown::netns); // the node's
}

TEST_CASE("of namespaces that users made one restraint tells, and a pod's sandbox is none of them") {
    Snapshot snapshot = a_node();
    for (NetnsNames& names : snapshot.netns_names)
        if (names.pod) names.user_ns_owner = 0; // with a user namespace, as hostUsers: false has it
    std::ranges::find(snapshot.netns_names, NetnsId{.cookie = 7, .inode = 7}, &NetnsNames::netns)->bound = {"cni-1"};
    for (std::uint32_t uid = 1000; uid < 1003; ++uid)
        snapshot.netns_names.push_back({.netns = {.cookie = uid, .inode = uid}, .user_ns_owner = uid});
    const policy::Policy policy = with({});
    const Grants grants(policy, snapshot);
    CHECK(grants.of(NetnsId{.cookie = 7, .inode = 7}).mode() == policy::Mode::automatic);
    CHECK(grants.of(NetnsId{.cookie = 2, .inode = 2}).mode() == policy::Mode::observe); // made within the pod
    CHECK(grants.of(NetnsId{.cookie = 1000, .inode = 1000}).mode() == policy::Mode::observe);
    CHECK(grants.of(host).mode() == policy::Mode::automatic);
    const auto restraints = grants.restraints();
    REQUIRE(restraints.size() == 1);
    CHECK(restraints[0].by == "left alone: in user namespaces that no entry of pods names");
    CHECK(restraints[0].count == 4 + 3);
}

TEST_CASE("a socket in a namespace that a user made is held to that, whoever holds it") {
    Snapshot snapshot = a_node();
    snapshot.netns_names.push_back({.netns = {.cookie = 9, .inode = 9}, .user_ns_owner = 1000});
    const Listener listener{.netns = {.cookie = 9, .inode = 9}, .pid = 7, .pod = snapshot.pods.front().pod};
    const policy::Policy policy = with({{.match = {.ns = "payments"}}});
    CHECK(Grants(policy, snapshot).of(listener).mode() == policy::Mode::observe);
}
