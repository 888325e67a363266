// SPDX-License-Identifier: Apache-2.0
// A policy file.
#include <string>

#include "fuzz/fuzz.hpp"
#include "policy/parse.hpp"

using namespace bpftune;

void fuzz::run(std::span<const std::byte> bytes) {
    const std::string_view text = text_of(bytes);
    const auto policy = policy::parse(text);
    if (!policy) {
        must(!policy.error().empty(), "what is refused is refused for a reason");
        must_be_lines(policy::render("policy.yaml", text, policy.error()));
        return;
    }
    const std::string shown = policy::show(*policy);
    must_be_lines(shown);
    must_be_lines(policy::summary(*policy));
    const auto again = policy::parse(shown);
    must(again && *again == *policy, "a policy is the one that it is shown as");
    const auto shown_for = policy::show_for(*policy, policy::Subject{});
    for (const std::string& line : shown_for.lines) must_be_lines(line);
    must(policy::parse(shown_for.policy).has_value(), "what a policy leaves to somebody is a policy");
}
