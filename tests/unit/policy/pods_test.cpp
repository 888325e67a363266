// SPDX-License-Identifier: Apache-2.0
// What is allowed to some pods, units and network namespaces only.
#include "policy/parse.hpp"

#include "unit/policy/files.hpp"

using namespace bpftune;
using namespace bpftune::policy;
using namespace bpftune::policy::test;
using namespace std::chrono_literals;

namespace {

Policy with_pods(const std::string& entries, const std::string& spec = "  mode: auto\n") {
    const auto policy = parse(with_spec(spec + "  pods:\n" + entries));
    if (!policy) throw std::runtime_error(render("policy", "", policy.error()));
    return *policy;
}

Mode mode_in(const Policy& policy, std::vector<std::string> names, TunableId id = TunableId::somaxconn) {
    return policy.mode_of(id, policy.grant_for({.bound = names}));
}

Mode mode_of(const Policy& policy, const Subject& subject) {
    return policy.mode_of(TunableId::somaxconn, policy.grant_for(subject));
}

Unknown unknown_of(const Policy& policy, const Subject& subject) { return policy.grant_for(subject).unknown; }

const Pod web{.ns = "shop", .name = "web-0", .uid = "u1"};

PodFacts facts_of_web() {
    return {.pod = web,
            .source = PodSource::runtime,
            .qos = QosClass::burstable,
            .labels = {{"app", "web"}, {"tier", "front"}},
            .annotations = {{"example.com/owner", "team a"}}};
}

} // namespace

TEST_CASE("the first entry that matches any name of a namespace counts, and the rest follows the last") {
    const Policy policy = with_pods("    - match: {netns: \"lab-*\"}\n"
                                    "    - match: {netns: \"*-1\"}\n"
                                    "      mode: recommend\n"
                                    "    - match: {netns: \"web?\"}\n"
                                    "      mode: recommend\n"
                                    "    - match: {}\n"
                                    "      mode: observe\n");
    CHECK(mode_in(policy, {"lab-1"}) == Mode::automatic);
    CHECK(mode_in(policy, {"1f2e", "lab-1"}) == Mode::automatic);
    CHECK(mode_in(policy, {"web1"}) == Mode::recommend);
    CHECK(mode_in(policy, {"web"}) == Mode::observe);
    CHECK(mode_in(policy, {"collab-1"}) == Mode::recommend);
    CHECK(mode_in(policy, {"collab-2"}) == Mode::observe);
    CHECK(mode_in(policy, {}) == Mode::observe);
}

TEST_CASE("what matches no entry follows spec") {
    const Policy policy = with_pods("    - match: {netns: quiet}\n      mode: observe\n");
    CHECK(mode_in(policy, {"quiet"}) == Mode::observe);
    CHECK(mode_in(policy, {"other"}) == Mode::automatic);
    CHECK(policy.grant_for({}).rule == nullptr);
}

TEST_CASE("an entry only lowers what spec grants") {
    const Policy policy = with_pods("    - match: {netns: low}\n"
                                    "      tunables:\n"
                                    "        net.core.somaxconn: {max: 500, shrinkAfter: 1h}\n"
                                    "        listener.backlog: {max: 100}\n"
                                    "    - match: {netns: high}\n"
                                    "      mode: auto\n"
                                    "      tunables:\n"
                                    "        net.core.somaxconn: {max: 70000, mode: auto, shrinkAfter: 9h}\n",
                                    "  mode: recommend\n"
                                    "  tunables:\n"
                                    "    net.core.somaxconn: {min: 600, max: 4096, shrinkAfter: 2h}\n");
    const std::vector<std::string> low_names{"low"};
    const Grant low = policy.grant_for({.bound = low_names});
    CHECK(policy.of(TunableId::somaxconn, low).max == 500);
    CHECK(policy.of(TunableId::somaxconn, low).min == 500U);
    CHECK(policy.of(TunableId::somaxconn, low).shrink_after == 1h);
    CHECK_FALSE(policy.of(TunableId::listener_backlog, low).named); // spec does not name it
    CHECK(policy.mode_of(TunableId::listener_backlog, low) == Mode::observe);
    const std::vector<std::string> high_names{"high"};
    const Grant high = policy.grant_for({.bound = high_names});
    CHECK(policy.of(TunableId::somaxconn, high).max == 4096);
    CHECK(policy.of(TunableId::somaxconn, high).min == 600U);
    CHECK(policy.of(TunableId::somaxconn, high).shrink_after == 2h);
    CHECK(policy.mode_of(TunableId::somaxconn, high) == Mode::recommend);
}

TEST_CASE("each key of a match has to be so") {
    const PodFacts facts = facts_of_web();
    const Subject subject{.pod = &web, .facts = &facts};
    const auto [match, is_it] = GENERATE(table<std::string, bool>({
        {"{namespace: shop}", true},
        {"{namespace: \"s*\"}", true},
        {"{namespace: sho}", false},
        {"{labels: {app: web}}", true},
        {"{labels: {app: web, tier: front}}", true},
        {"{labels: {app: web, tier: back}}", false},
        {"{labels: {app: we}}", false},
        {"{labels: {zone: web}}", false},
        {"{annotations: {example.com/owner: team a}}", true},
        {"{annotations: {example.com/owner: team}}", false},
        {"{qos: Burstable}", true},
        {"{qos: Guaranteed}", false},
        {"{namespace: shop, labels: {app: web}, qos: Burstable}", true},
        {"{namespace: shop, labels: {app: web}, qos: BestEffort}", false},
        {"{}", true},
    }));
    CAPTURE(match);
    const Policy policy = with_pods("    - match: " + match + "\n      mode: observe\n");
    CHECK(mode_of(policy, subject) == (is_it ? Mode::observe : Mode::automatic));
    CHECK(unknown_of(policy, subject) == Unknown::nothing);
}

TEST_CASE("a pod is not matched by the names of its namespace or a unit, nor what is none by what pods have") {
    const std::vector<std::string> bound{"cni-1f2e"};
    const PodFacts facts = facts_of_web();
    const Policy others = with_pods("    - match: {netns: \"cni-*\"}\n      mode: observe\n"
                                    "    - match: {unit: \"*\"}\n      mode: observe\n");
    CHECK(mode_of(others, {.pod = &web, .facts = &facts, .bound = bound, .unit = "crio.service"}) == Mode::automatic);
    CHECK(mode_of(others, {.bound = bound}) == Mode::observe);
    CHECK(mode_of(others, {.unit = "nginx.service"}) == Mode::observe);
    const Policy pods = with_pods("    - match: {namespace: \"*\"}\n      mode: observe\n"
                                  "    - match: {qos: BestEffort}\n      mode: observe\n");
    CHECK(mode_of(pods, {.bound = bound, .unit = "nginx.service"}) == Mode::automatic);
}

TEST_CASE("a unit is matched by its pattern, in which a backslash is one") {
    const Policy policy = with_pods("    - match: {unit: \"nginx*.service\"}\n      mode: observe\n"
                                    "    - match: {unit: 'a\\x2db.service'}\n      mode: recommend\n");
    CHECK(mode_of(policy, {.unit = "nginx@1.service"}) == Mode::observe);
    CHECK(mode_of(policy, {.unit = "apache.service"}) == Mode::automatic);
    CHECK(mode_of(policy, {.unit = "a\\\\x2db.service"}) == Mode::recommend); // as `printable` has it
    CHECK(mode_of(policy, {}) == Mode::automatic);
    const Policy any = with_pods("    - match: {unit: \"*\"}\n      mode: observe\n");
    CHECK(mode_of(any, {.unit = "a.service"}) == Mode::observe);
    CHECK(mode_of(any, {}) == Mode::automatic); // it is in none
}

TEST_CASE("where it can't be told whether an entry before the one that matches does, nothing is granted") {
    const Policy policy = with_pods("    - match: {namespace: payments}\n      mode: recommend\n"
                                    "    - match: {labels: {app: web}}\n"
                                    "    - match: {namespace: shop}\n");
    const PodFacts known = facts_of_web();
    PodFacts named = known;
    named.source = PodSource::logs;
    named.labels.clear();
    const Pod nameless{.name = "u1", .uid = "u1"};
    CHECK(mode_of(policy, {.pod = &web, .facts = &known}) == Mode::automatic);
    CHECK(mode_of(policy, {.pod = &web, .facts = &named}) == Mode::observe);
    CHECK(unknown_of(policy, {.pod = &web, .facts = &named}) == Unknown::labels);
    CHECK(unknown_of(policy, {.pod = &web}) == Unknown::pod);
    CHECK(unknown_of(policy, {.pod = &nameless, .facts = &named}) == Unknown::pod_namespace);
    CHECK(unknown_of(policy, {.is_owner_unknown = true}) == Unknown::owner);
    CHECK(mode_of(policy, {}) == Mode::automatic); // no pod's: for certain
}

TEST_CASE("what is certain needs no more to be known") {
    const Policy policy = with_pods("    - match: {labels: {app: web}, namespace: payments}\n      mode: recommend\n"
                                    "    - match: {netns: \"lab-*\", unit: a.service}\n      mode: recommend\n"
                                    "    - match: {}\n");
    CHECK(mode_of(policy, {.pod = &web}) == Mode::automatic); // of another namespace, whatever its labels
    const std::vector<std::string> other{"web-1"};
    const std::vector<std::string> lab{"lab-1"};
    CHECK(unknown_of(policy, {.bound = lab, .is_unit_unknown = true}) == Unknown::unit);
    CHECK(unknown_of(policy, {.bound = other, .is_unit_unknown = true}) == Unknown::nothing);
    const Policy named = with_pods("    - match: {netns: \"lab-*\"}\n      mode: observe\n");
    CHECK(unknown_of(named, {.bound = other, .is_owner_unknown = true}) == Unknown::nothing);
    CHECK(unknown_of(named, {.bound = lab, .is_owner_unknown = true}) == Unknown::owner);
    CHECK(unknown_of(named, {.is_owner_unknown = true, .is_name_unknown = true}) == Unknown::owner);
    CHECK(unknown_of(named, {.is_name_unknown = true}) == Unknown::netns);
    CHECK(unknown_of(named, {.pod = &web, .is_name_unknown = true}) == Unknown::nothing);
    CHECK(unknown_of(policy, {.unit = "b.service", .is_name_unknown = true}) == Unknown::nothing);
    CHECK(unknown_of(policy, {.unit = "a.service", .is_name_unknown = true}) == Unknown::netns);
    const Policy all = with_pods("    - match: {}\n      mode: recommend\n");
    CHECK(mode_of(all, {.is_owner_unknown = true}) == Mode::recommend);
    CHECK(mode_of(all, {.is_name_unknown = true}) == Mode::recommend);
}

TEST_CASE("a pod's annotation lowers what it is granted, and never raises it") {
    const auto [entry, annotation, granted] = GENERATE(table<std::string, std::string, Mode>({
        {"auto", "auto", Mode::automatic},
        {"auto", "recommend", Mode::recommend},
        {"auto", "observe", Mode::observe},
        {"recommend", "auto", Mode::recommend},
        {"observe", "auto", Mode::observe},
        {"auto", "Auto", Mode::observe},
        {"auto", "", Mode::observe},
    }));
    PodFacts facts = facts_of_web();
    facts.annotations.emplace(mode_annotation, annotation);
    CHECK(mode_of(with_pods("    - match: {namespace: shop}\n      mode: " + entry + "\n"),
                  {.pod = &web, .facts = &facts}) == granted);
    Policy alone;
    alone.mode = Mode::automatic;
    CHECK(mode_of(alone, {.pod = &web, .facts = &facts}) == policy::mode(annotation).value_or(Mode::observe));
}

TEST_CASE("a label that is not there is not known to be missing where a pod has more than are looked at") {
    const Policy policy = with_pods("    - match: {labels: {squad: blue}}\n      mode: observe\n");
    PodFacts facts = facts_of_web();
    const auto words = [&] { return held_by(policy, policy.grant_for({.pod = &web, .facts = &facts})); };
    CHECK(words().empty());
    facts.is_incomplete = true;
    CHECK(words() ==
          "left alone: line 8 of the policy may be about it, and its pod has more labels or annotations than "
          "are looked at");
    facts.labels.emplace("squad", "red");
    CHECK(words().empty());
}

TEST_CASE("who may yet turn out to ask for less has nothing until that is known, whatever entry is about it") {
    for (const std::string entries : {"", "    - match: {namespace: shop}\n", "    - match: {labels: {app: web}}\n"}) {
        const Policy policy = entries.empty() ? *parse(with_spec("  mode: auto\n")) : with_pods(entries);
        PodFacts facts = facts_of_web();
        facts.source = PodSource::logs;
        const Grant grant = policy.grant_for({.pod = &web, .facts = &facts, .may_ask = true});
        CHECK(grant.mode() == Mode::observe);
        CHECK(held_by(policy, grant) == "left alone: it may be a pod that asks for that, and is not known yet");
    }
    const Policy observed = with_pods("    - match: {namespace: shop}\n      mode: observe\n");
    CHECK(held_by(observed, observed.grant_for({.pod = &web, .may_ask = true})) == "held by line 8 of the policy");
}

TEST_CASE("what holds something back is named, with its line") {
    Policy policy = with_pods("    - match: {labels: {app: db}}\n      mode: observe\n"
                              "    - match: {namespace: shop}\n      mode: recommend\n");
    policy.file.value = "policy.yaml";
    PodFacts facts = facts_of_web();
    const auto words = [&] { return held_by(policy, policy.grant_for({.pod = &web, .facts = &facts})); };
    CHECK(words() == "held by policy.yaml:10");
    facts.annotations.emplace(mode_annotation, "observe");
    CHECK(words() == "held by its pod's annotation bpftune-k8s.io/mode");
    facts.annotations.insert_or_assign(std::string(mode_annotation), "off");
    CHECK(words() == "held by its pod's annotation bpftune-k8s.io/mode: 'off' is no mode, and counts as observe");
    facts.source = PodSource::logs;
    CHECK(words() == "left alone: policy.yaml:8 may be about it, and its pod's labels are not known: no runtime "
                     "tells them");
    CHECK(held_by(policy, policy.grant_for({})).empty());
    policy.file.value.clear();
    CHECK(place_of(policy, policy.pods[1]) == "line 10 of the policy");
}

TEST_CASE("a pattern has classes of letters, and a backslash before a bracket that a file's name has") {
    const auto [match, subject] = GENERATE(table<std::string, std::string>({
        {"lab-[12]", "lab-1"},
        {"lab-[!12]", "lab-3"},
        {"lab-[0-9]", "lab-3"},
        {"a\\[1]", "a[1]"},
        {"!a", "!a"},
    }));
    CAPTURE(match);
    const Policy policy = with_pods("    - match: {netns: '" + match + "'}\n      mode: observe\n");
    CHECK(mode_in(policy, {subject}) == Mode::observe);
    CHECK(mode_in(policy, {"lab-"}) == Mode::automatic);
}

TEST_CASE("a pattern that no name fits is refused, since it would hold nothing back") {
    const auto takes = [](const std::string& match) {
        return parse(with_spec("  pods: [{match: {" + match + "}}]\n")).has_value();
    };
    for (const std::string& name : {std::string("a"), std::string(63, 'a'), std::string(63, 'a') + "*",
                                    std::string("*-a"), std::string("a-*"), std::string("[ab]-?"), std::string("*")}) {
        CAPTURE(name);
        CHECK(takes("namespace: '" + name + "'"));
    }
    for (const std::string& name :
         {std::string(64, 'a'), std::string(64, '?'), std::string("-a"), std::string("a-"), std::string("!kube-system"),
          std::string("^kube"), std::string("a["), std::string("a]"), std::string("[A]")}) {
        CAPTURE(name);
        CHECK_FALSE(takes("namespace: '" + name + "'"));
    }
    for (const std::string name :
         {"a.service", "*", "nginx*", "a.*", "a.serv*", "*.scope", "a[.]service", "a@[12].socket"}) {
        CAPTURE(name);
        CHECK(takes("unit: '" + name + "'"));
    }
    for (const std::string name :
         {"nginx.sevice", ".service", "system.slice", "a.", "nginx", "!a.service", "a@[1.service"}) {
        CAPTURE(name);
        CHECK_FALSE(takes("unit: '" + name + "'"));
    }
}

TEST_CASE("an entry that nothing can come to is refused, whatever its match names") {
    const auto [first, later, is_in_vain] = GENERATE(table<std::string, std::string, bool>({
        {"{namespace: shop}", "{namespace: shop}", true},
        {"{namespace: shop}", "{namespace: shop, labels: {app: web}}", true},
        {"{namespace: shop, labels: {app: web}}", "{namespace: shop}", false},
        {"{labels: {app: web}}", "{labels: {app: web, tier: front}}", true},
        {"{labels: {app: web}}", "{labels: {app: db}}", false},
        {"{namespace: \"team-*\"}", "{namespace: team-a}", true},
        {"{namespace: \"team-*\"}", "{namespace: \"team-a*\"}", false}, // as far as is looked
        {"{netns: \"lab-*\"}", "{netns: lab-1}", true},
        {"{netns: lab-1}", "{netns: \"lab-*\"}", false},
        {"{qos: Burstable}", "{qos: Burstable, namespace: shop}", true},
        {"{qos: Burstable}", "{qos: BestEffort}", false},
        {"{namespace: \"*\"}", "{qos: BestEffort}", false}, // it covers all pods, which is not looked at
        {"{}", "{namespace: shop}", true},
    }));
    CAPTURE(first, later);
    const auto policy = parse(with_spec("  pods:\n  - match: " + first + "\n  - match: " + later + "\n"));
    CHECK(policy.has_value() == !is_in_vain);
    if (is_in_vain) CHECK(policy.error().at(0).message == "an entry that nothing comes to");
}

TEST_CASE("there are no more entries than can be looked at in each step") {
    std::string entries = "  pods:\n";
    for (std::size_t i = 0; i < 256; ++i) entries += "  - match: {namespace: a" + std::to_string(i) + "}\n";
    CHECK(parse(with_spec(entries)).has_value());
    const auto refused = parse(with_spec(entries + "  - match: {}\n"));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().at(0).message == "more than 256 entries of pods");
}

TEST_CASE("what a user made is left alone unless an entry names it") {
    const std::vector<std::string> bound{"lab-1"};
    const Subject subject{.bound = bound, .unit = "user@1000.service", .user_ns_owner = 1000};
    const PodFacts facts = facts_of_web();
    const Subject of_pod{.pod = &web, .facts = &facts, .user_ns_owner = 65534};
    CHECK(mode_of(*parse(with_spec("  mode: auto\n")), subject) == Mode::observe);
    CHECK(mode_of(*parse(with_spec("  mode: auto\n")), of_pod) == Mode::observe);
    for (const std::string others : {"{}", "{unit: nginx.service}"}) {
        const Policy policy = with_pods("    - match: " + others + "\n");
        CHECK(mode_of(policy, subject) == Mode::observe);
        CHECK(mode_of(policy, of_pod) == Mode::observe);
        const Grant grant = policy.grant_for(subject);
        CHECK(grant.is_in_doubt());
        CHECK(held_by(policy, grant) == "left alone: in a user namespace of uid 1000: named by no entry of pods");
    }
    for (const std::string named : {"{unit: \"user@*\"}", "{netns: lab-1}", "{netns: \"*\"}"})
        CHECK(mode_of(with_pods("    - match: " + named + "\n"), subject) == Mode::automatic);
    for (const std::string named : {"{namespace: shop}", "{labels: {app: web}}"})
        CHECK(mode_of(with_pods("    - match: " + named + "\n"), of_pod) == Mode::automatic);
    const Policy observed = with_pods("    - match: {}\n      mode: observe\n");
    CHECK(held_by(observed, observed.grant_for(subject)) == "held by line 8 of the policy");
}

TEST_CASE("where it is not known yet whether a user made it, nothing is granted but by an entry that names it") {
    const Policy spec_alone = *parse(with_spec("  mode: auto\n"));
    const Subject subject{.unit = "nginx.service", .is_user_ns_unknown = true};
    CHECK(mode_of(spec_alone, subject) == Mode::observe);
    CHECK(unknown_of(spec_alone, subject) == Unknown::user_ns);
    CHECK(mode_of(with_pods("    - match: {unit: nginx.service}\n"), subject) == Mode::automatic);
}
