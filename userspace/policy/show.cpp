// SPDX-License-Identifier: Apache-2.0
#include "policy/parse.hpp"

#include <array>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/parse.hpp"
#include "policy/keys.hpp"
#include "tunables/codec.hpp"

namespace bpftune::policy {

namespace {

// The inverse of what `parse` takes: percentages have three decimals at most, sizes whole KiB.
std::string percent_text(double ratio) {
    std::string percent = fmt::format("{:.3f}", ratio * 100);
    percent.erase(percent.find_last_not_of('0') + 1);
    if (percent.ends_with('.')) percent.pop_back();
    return percent + "%";
}

} // namespace

std::string budget_text(const Policy& policy) {
    if (!policy.memory_budget_bytes) return percent_text(policy.memory_budget_ratio);
    constexpr std::array units{"KiB", "MiB", "GiB"};
    std::uint64_t size = *policy.memory_budget_bytes >> 10;
    std::size_t unit = 0;
    for (; unit + 1 < units.size() && size % 1024 == 0; ++unit) size >>= 10;
    return fmt::format("{}{}", size, units[unit]);
}

namespace {

// In a flow map a comma would end it.
std::string setting(const tunables::Tunable& row, std::uint64_t value) {
    const std::string text = text_of(row, value);
    return row.is_cpus ? '"' + text + '"' : text;
}

std::string bounds(const tunables::Tunable& row, const TunablePolicy& tunable) {
    const std::string min = tunable.min ? fmt::format("min: {}, ", setting(row, *tunable.min)) : "";
    const std::string shrink_after = tunable.shrink_after ? duration_text(*tunable.shrink_after) : std::string(never);
    return fmt::format("{{{}max: {}, mode: {}, shrinkAfter: {}}}", min, setting(row, tunable.max),
                       to_string(tunable.mode), shrink_after);
}

// What keeps it from what its bounds say; empty: nothing does.
std::string restriction_of(const Policy& policy, const tunables::Tunable& row) {
    const TunablePolicy& own = policy.of(row.id);
    if (row.follows && !own.min) {
        const std::string_view leader = tunables::row(*row.follows).name;
        const Mode mode = policy.of(*row.follows).mode;
        if (!policy.allows(*row.follows, true))
            return fmt::format("only with {}, which is not allowed unless named", leader);
        if (mode < own.mode) return fmt::format("only with {}, whose mode is {}", leader, to_string(mode));
    }
    if (own.named) return {};
    if (!policy.allows(row.id, true)) return "not allowed unless named";
    const std::string leader = row.bounded_by ? fmt::format(" with {}", tunables::row(*row.bounded_by).name) : "";
    return fmt::format("allowed{}, but unless named not {}", leader, row.opt_in_where);
}

// A comment, unless the policy would be another one without it.
std::string line_of(const Policy& policy, const Policy& defaults, const tunables::Tunable& row) {
    const TunablePolicy& own = policy.of(row.id);
    const std::string line = fmt::format("{}: {}", row.name, bounds(row, own));
    const std::string restriction = restriction_of(policy, row);
    if (restriction.empty()) return fmt::format("    {}\n", line);
    if (!own.named || own == defaults.of(row.id)) return fmt::format("    # {}: {}\n", restriction, line);
    return fmt::format("    {} # {}\n", line, restriction);
}

// The inverse of what an entry may hold: a tunable without a bound of its own is not shown to have one.
std::string lowered(const tunables::Tunable& row, const TunablePolicy& tunable) {
    std::string text = fmt::format("mode: {}", to_string(tunable.mode));
    if (tunable.max != row.kernel_max) text = fmt::format("max: {}, {}", setting(row, tunable.max), text);
    if (tunable.shrink_after) text += fmt::format(", shrinkAfter: {}", duration_text(*tunable.shrink_after));
    return fmt::format("        {}: {{{}}}\n", row.name, text);
}

std::string quoted(std::string text) {
    for (std::size_t at = text.find('\''); at != std::string::npos; at = text.find('\'', at + 2))
        text.insert(at, 1, '\'');
    return "'" + text + "'";
}

std::string map_of(const Labels& labels) {
    std::vector<std::string> pairs;
    for (const auto& [name, value] : labels) pairs.push_back(fmt::format("{}: {}", quoted(name), quoted(value)));
    return fmt::format("{{{}}}", fmt::join(pairs, ", "));
}

std::string match_of(const Match& match) {
    std::vector<std::string> keys;
    if (match.ns) keys.push_back("namespace: " + quoted(*match.ns));
    if (!match.labels.empty()) keys.push_back("labels: " + map_of(match.labels));
    if (!match.annotations.empty()) keys.push_back("annotations: " + map_of(match.annotations));
    if (match.qos) keys.push_back(fmt::format("qos: {}", to_string(*match.qos)));
    if (match.netns) keys.push_back("netns: " + quoted(*match.netns));
    if (match.unit) keys.push_back("unit: " + quoted(*match.unit));
    return fmt::format("{{{}}}", fmt::join(keys, ", "));
}

std::string entry_of(const PodRule& rule) {
    const std::string out =
        fmt::format("    - match: {}\n      mode: {}\n", match_of(rule.match), to_string(rule.mode));
    std::string bounds;
    for (const tunables::Tunable& row : tunables::catalog())
        if (const TunablePolicy& tunable = rule.tunables[static_cast<std::size_t>(row.id)]; tunable.named)
            bounds += lowered(row, tunable);
    return bounds.empty() ? out : out + "      tunables:\n" + bounds;
}

} // namespace

std::string show(const Policy& policy) {
    const std::string labels = policy.labels.empty() ? "" : fmt::format("  labels: {}\n", map_of(policy.labels));
    std::string out = fmt::format("apiVersion: {}\n"
                                  "kind: {}\n"
                                  "metadata:\n"
                                  "  name: \"{}\"\n"
                                  "{}"
                                  "spec:\n"
                                  "  mode: {}\n"
                                  "  onExit: {}\n"
                                  "  onConflict: {}\n"
                                  "  memoryBudget: {}\n"
                                  "  tenantShare: {}\n"
                                  "  metrics: {{maxSeries: {}}}\n"
                                  "  tunables:\n",
                                  api_versions[0], kinds[0], policy.name, labels, to_string(policy.mode),
                                  to_string(policy.on_exit), to_string(policy.on_conflict), budget_text(policy),
                                  percent_text(policy.tenant_share), policy.max_series);
    const Policy defaults;
    for (const tunables::Tunable& row : tunables::catalog()) out += line_of(policy, defaults, row);
    if (!policy.expect.empty()) out += "  expect:\n";
    for (const Expectation& each : policy.expect)
        out += fmt::format("    {}: {}\n", quoted(each.name), quoted(each.value));
    if (!policy.pods.empty()) out += "  pods:\n";
    for (const PodRule& rule : policy.pods) out += entry_of(rule);
    return out;
}

std::string hash_of(const Policy& policy) {
    std::uint64_t hash = 0xcbf29ce484222325ULL;
    for (const char c : show(policy)) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
    return fmt::format("{:016x}", hash);
}

} // namespace bpftune::policy
