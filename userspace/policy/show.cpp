// SPDX-License-Identifier: Apache-2.0
#include "policy/parse.hpp"

#include <array>

#include <fmt/format.h>

#include "core/parse.hpp"
#include "policy/keys.hpp"

namespace bpftune::policy {
namespace {

// The inverse of what `parse` takes: percentages have three decimals at most, sizes whole KiB.
std::string budget(const Policy& policy) {
    if (!policy.memory_budget_bytes) {
        std::string percent = fmt::format("{:.3f}", policy.memory_budget_ratio * 100);
        percent.erase(percent.find_last_not_of('0') + 1);
        if (percent.ends_with('.')) percent.pop_back();
        return percent + "%";
    }
    constexpr std::array units{"KiB", "MiB", "GiB"};
    std::uint64_t size = *policy.memory_budget_bytes >> 10;
    std::size_t unit = 0;
    for (; unit + 1 < units.size() && size % 1024 == 0; ++unit) size >>= 10;
    return fmt::format("{}{}", size, units[unit]);
}

std::string bounds(const TunablePolicy& tunable) {
    const std::string min = tunable.min ? fmt::format("min: {}, ", *tunable.min) : "";
    const std::string shrink_after = tunable.shrink_after ? duration_text(*tunable.shrink_after) : std::string(never);
    return fmt::format("{{{}max: {}, mode: {}, shrinkAfter: {}}}", min, tunable.max, to_string(tunable.mode),
                       shrink_after);
}

std::string line_of(const tunables::Tunable& row, const TunablePolicy& tunable) {
    if (tunable.named) return fmt::format("    {}: {}\n", row.name, bounds(tunable));
    return fmt::format("    # not allowed unless named: {}: {}\n", row.name, bounds(tunable));
}

} // namespace

std::string show(const Policy& policy) {
    std::string out = fmt::format("apiVersion: {}\n"
                                  "kind: {}\n"
                                  "metadata:\n"
                                  "  name: \"{}\"\n"
                                  "spec:\n"
                                  "  mode: {}\n"
                                  "  onExit: {}\n"
                                  "  onConflict: {}\n"
                                  "  memoryBudget: {}\n"
                                  "  tunables:\n",
                                  api_versions[0], kinds[0], policy.name, to_string(policy.mode),
                                  to_string(policy.on_exit), to_string(policy.on_conflict), budget(policy));
    for (const tunables::Tunable& row : tunables::catalog()) out += line_of(row, policy.of(row.id));
    return out;
}

} // namespace bpftune::policy
