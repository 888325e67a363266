// SPDX-License-Identifier: Apache-2.0
#include "controller/cost.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "controller/gate.hpp"
#include "controller/tenant.hpp"
#include "tunables/catalog.hpp"

namespace bpftune::controller {
namespace {

struct Unit {
    std::uint64_t charged_bytes;
    std::uint64_t worst_bytes;
};

// This kernel's, else the catalog's.
Unit unit_of(TunableId tunable, const UnitBytes& of_kernel) {
    const auto& row = tunables::row(tunable);
    const auto measured = [&](auto member, std::uint64_t otherwise) {
        return member != nullptr ? (of_kernel.*member).value_or(otherwise) : otherwise;
    };
    return {measured(row.measured_unit_bytes, row.unit_bytes),
            measured(row.measured_worst_unit_bytes, row.worst_unit_bytes)};
}

// The kernel takes at most 2^31: nothing here wraps.
std::uint64_t charged_units(const Held& held) {
    return std::max(beyond(held.original, held.current, held.expected), held.used);
}

} // namespace

std::uint64_t charged_bytes(const State& state, const UnitBytes& of_kernel) {
    std::uint64_t sum = 0;
    for (const auto& [object, held] : state.held)
        sum += charged_units(held) * unit_of(object.tunable, of_kernel).charged_bytes;
    return sum;
}

std::uint64_t beyond(std::uint64_t original, std::uint64_t limit, const std::vector<std::uint64_t>& uses) {
    std::uint64_t units = 0;
    for (const std::uint64_t use : uses) {
        const std::uint64_t fits = std::min(use, limit);
        if (fits > original) units += fits - original;
    }
    return units;
}

Cost cost_of(const ObjectKey& object, const Held& held, const Gate& gate) {
    const Unit unit = unit_of(object.tunable, gate.snapshot().unit_bytes);
    Cost cost{.of = tunables::row(object.tunable).sharers};
    if (const Reading* reading = gate.readings().find(object)) cost.sharers = reading->sharers;
    cost.charged_bytes = charged_units(held) * unit.charged_bytes;
    const std::uint64_t places = held.current - std::min(held.current, held.original);
    cost.worst_bytes = places * cost.sharers * unit.worst_bytes;
    return cost;
}

std::string size_text(std::uint64_t bytes) {
    const double kibibytes = static_cast<double>(bytes) / 1024;
    if (kibibytes < 1024) return fmt::format("{:.1f} KiB", kibibytes);
    const double mebibytes = kibibytes / 1024;
    return mebibytes < 1024 ? fmt::format("{:.1f} MiB", mebibytes) : fmt::format("{:.1f} GiB", mebibytes / 1024);
}

std::string to_string(const Cost& cost) {
    return fmt::format("{} (worst case {}{})", size_text(cost.charged_bytes), size_text(cost.worst_bytes),
                       cost.sharers > 1 ? fmt::format(" over {} {}", cost.sharers, cost.of) : "");
}

std::uint64_t charged_bytes(const Gate& gate, const std::optional<ObjectKey>& except) {
    std::uint64_t sum = 0;
    for (const auto& [object, held] : gate.state().held)
        if (object != except) sum += cost_of(object, held, gate).charged_bytes;
    return sum;
}

TenantCharge charge_of(const Gate& gate, const Tenant& tenant, const ObjectKey& except) {
    TenantCharge sum;
    for (const auto& [object, held] : gate.state().held) {
        if (object == except || held.tenant.account != tenant.account) continue;
        if (is_of_node(object.tunable) && !is_of_node(except.tunable)) continue;
        const std::uint64_t bytes = cost_of(object, held, gate).charged_bytes;
        sum.bytes += bytes;
        if (held.raised) sum.bytes_for_itself += bytes;
    }
    return sum;
}

void note_use(Gate& gate) {
    for (auto& [object, held] : gate.state().held) {
        if (!is_of_node(object.tunable) && gate.snapshot().names_of(object.netns) != nullptr)
            held.tenant = tenant_of(gate, object, held.scope);
        const Reading* reading = gate.readings().find(object);
        if (reading != nullptr && reading->charged)
            held.used = *reading->charged - std::min(*reading->charged, held.original);
        else if (reading != nullptr && reading->charged_each)
            held.used = beyond(held.original, no_limit, *reading->charged_each);
        if (reading != nullptr && reading->charged_at_most)
            held.used = std::min(held.used, *reading->charged_at_most * (held.current - held.original));
    }
}

} // namespace bpftune::controller
