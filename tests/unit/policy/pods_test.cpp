// SPDX-License-Identifier: Apache-2.0
// What is allowed in some network namespaces only.
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
    return policy.mode_of(id, policy.rule_for(names));
}

} // namespace

TEST_CASE("the first entry that matches any name of a namespace counts, and the rest follows the last") {
    const Policy policy = with_pods("    - match: {netns: \"lab-*\"}\n"
                                    "    - match: {netns: lab-1}\n"
                                    "      mode: recommend\n"
                                    "    - match: {netns: \"web?\"}\n"
                                    "      mode: recommend\n"
                                    "    - match: {}\n"
                                    "      mode: observe\n");
    CHECK(mode_in(policy, {"lab-1"}) == Mode::automatic);
    CHECK(mode_in(policy, {"1f2e", "lab-1"}) == Mode::automatic);
    CHECK(mode_in(policy, {"web1"}) == Mode::recommend);
    CHECK(mode_in(policy, {"web"}) == Mode::observe);
    CHECK(mode_in(policy, {"collab-1"}) == Mode::observe);
    CHECK(mode_in(policy, {}) == Mode::observe);
}

TEST_CASE("what matches no entry follows spec") {
    const Policy policy = with_pods("    - match: {netns: quiet}\n      mode: observe\n");
    CHECK(mode_in(policy, {"quiet"}) == Mode::observe);
    CHECK(mode_in(policy, {"other"}) == Mode::automatic);
    CHECK(policy.rule_for({}) == nullptr);
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
    const PodRule* low = policy.rule_for(std::vector<std::string>{"low"});
    CHECK(policy.of(TunableId::somaxconn, low).max == 500);
    CHECK(policy.of(TunableId::somaxconn, low).min == 500U);
    CHECK(policy.of(TunableId::somaxconn, low).shrink_after == 1h);
    CHECK_FALSE(policy.of(TunableId::listener_backlog, low).named); // spec does not name it
    CHECK(policy.mode_of(TunableId::listener_backlog, low) == Mode::observe);
    const PodRule* high = policy.rule_for(std::vector<std::string>{"high"});
    CHECK(policy.of(TunableId::somaxconn, high).max == 4096);
    CHECK(policy.of(TunableId::somaxconn, high).min == 600U);
    CHECK(policy.of(TunableId::somaxconn, high).shrink_after == 2h);
    CHECK(policy.mode_of(TunableId::somaxconn, high) == Mode::recommend);
}
