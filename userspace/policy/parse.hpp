// SPDX-License-Identifier: Apache-2.0
// Text of a policy file -> checked Policy, or every problem with its place.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "policy/diagnostic.hpp"
#include "policy/policy.hpp"

namespace bpftune::policy {

// All problems at once, in the order of their places.
std::expected<Policy, std::vector<Diagnostic>> parse(std::string_view text);

// Where spec names a sysctl or tunable, under tunables or expect, there or in an entry of pods: "7:5"; empty: nowhere.
std::string place_of(std::string_view text, std::string_view name);

// As compilers do:
//
//   policy.yaml:7:5: error: unknown tunable 'net.core.somaxcon'
//       net.core.somaxcon: {max: 65535}
//       ^
//     hint: did you mean 'net.core.somaxconn'?
//
// `file` and the shown line are hostile bytes: both go through `printable`, the caret stays below its place.
std::string render(std::string_view file, std::string_view text, const std::vector<Diagnostic>& diagnostics);

std::string budget_text(const Policy& policy); // "2%", as a policy has it

// The effective policy as YAML that `parse` takes again. What is not allowed as its bounds say is a comment that says
// why, or has one.
std::string show(const Policy& policy);

// What holds for one pod or namespace: in words, a line for each thing that is known of it and lowers spec, and as the
// policy that is left, which `parse` takes again. Labels and annotations are as `printable` has them. `how`: what is
// known of the pod is so; empty: by its source.
struct ShownFor {
    std::vector<std::string> lines;
    std::string policy;
};
ShownFor show_for(const Policy& policy, const Subject& subject, std::string_view how = {});

// What it allows, in one line: "auto, 19 tunables, memoryBudget 2%, 3 entries of pods". Counted are those that may be
// raised in some case (Policy::most_of).
std::string summary(const Policy& policy);

// 16 hexadecimal digits that tell one effective policy from another (FNV-1a, 64 bits, of what show() says); they guard
// nothing.
std::string hash_of(const Policy& policy);

// JSON Schema (draft 2020-12) of the file, from the same tables that `parse` checks with.
std::string schema();

} // namespace bpftune::policy
