// SPDX-License-Identifier: Apache-2.0
#include "controller/tenant.hpp"

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "controller/gate.hpp"
#include "core/words.hpp"
#include "tunables/catalog.hpp"

namespace bpftune::controller {
namespace {

// A prefix each: no name of one kind is another kind's.
Tenant of_pod(const Pod& pod) {
    return {.account = "pod " + (pod.uid.empty() ? pod_text(pod) : pod.uid), .name = pod_text(pod)};
}

Tenant of_unit(std::string_view unit) { return {.account = fmt::format("unit {}", unit), .name = std::string(unit)}; }

Tenant of_user(std::uint32_t uid) {
    return {.account = fmt::format("user {}", uid), .name = fmt::format("uid {}", uid)};
}

// Whoever is looked for, is in no unit, or has ended: all of these together.
Tenant of_nobody_known() { return {.account = "nobody known", .name = "holders that are not known"}; }

Tenant of_netns(const NetnsId& netns, const NetnsNames* names) {
    const bool is_bound = names != nullptr && !names->bound.empty();
    return {.account = fmt::format("netns {} {}", netns.cookie, netns.inode),
            .name = is_bound ? names->bound.front() : netns_text(netns, std::nullopt)};
}

struct Holder {
    const std::optional<Pod>* pod = nullptr;
    std::string_view unit;
};

// Of a socket that is in the snapshot; else nobody is known.
Holder holder_of(const Reading* reading) {
    if (reading != nullptr && reading->listener != nullptr)
        return {.pod = &reading->listener->pod, .unit = reading->listener->unit};
    if (reading != nullptr && reading->udp != nullptr) return {.pod = &reading->udp->pod, .unit = reading->udp->unit};
    return {};
}

} // namespace

bool is_of_node(TunableId tunable) { return tunables::row(tunable).kind == tunables::Kind::host_sysctl; }

Tenant tenant_of(const Gate& gate, const ObjectKey& object, const Scope& scope) {
    if (is_of_node(object.tunable)) return {};
    const Holder holder = holder_of(gate.readings().find(object));
    if (holder.pod != nullptr && *holder.pod) return of_pod(**holder.pod);
    if (object.netns != gate.snapshot().host) return tenant_in(gate.snapshot(), object.netns, scope.pod);
    if (scope.pod) return of_pod(*scope.pod);
    if (!holder.unit.empty()) return of_unit(holder.unit);
    return is_of_socket(object.tunable) ? of_nobody_known() : Tenant{};
}

Tenant tenant_in(const Snapshot& snapshot, const NetnsId& netns, const std::optional<Pod>& otherwise) {
    if (netns == snapshot.host) return {};
    const NetnsNames* names = snapshot.names_of(netns);
    if (names != nullptr && names->pod) return of_pod(*names->pod);
    if (otherwise) return of_pod(*otherwise);
    if (names != nullptr && names->user_ns_owner)
        return names->unit.empty() ? of_user(*names->user_ns_owner) : of_unit(names->unit);
    return of_netns(netns, names);
}

Measured measured_for(const Gate& gate, const Reading& reading, const std::string& account) {
    if (account.empty() || !reading.has_parts) return reading.measured;
    Measured sum;
    for (const Reading& part : gate.readings().in_order(reading.object.tunable)) {
        if (!part.is_part || tenant_in(gate.snapshot(), part.object.netns, *part.pod).account != account) continue;
        sum.losses += part.measured.losses;
        sum.demand += part.measured.demand;
        sum.use = std::max(sum.use, part.measured.use); // the limit is compared with each by itself
    }
    return sum;
}

void Askers::add(const Tenant& tenant, std::uint64_t wanted) {
    if (tenant.is_node()) {
        is_of_node_ = true;
        return;
    }
    Asker& asker = by_account_.try_emplace(tenant.account, tenant).first->second;
    asker.wanted = std::max(asker.wanted, wanted);
}

void Askers::add(const Askers& others) {
    is_of_node_ |= others.is_of_node_;
    for (const auto& [account, asker] : others.by_account_) add(asker.tenant, asker.wanted);
}

std::vector<Tenant> Askers::alone() const {
    if (is_of_node_) return {};
    std::vector<const Asker*> askers;
    askers.reserve(by_account_.size());
    for (const auto& [account, asker] : by_account_) askers.push_back(&asker);
    std::ranges::stable_sort(askers, std::greater{}, &Asker::wanted);
    askers.resize(std::min(askers.size(), most));
    std::vector<Tenant> tenants;
    tenants.reserve(askers.size());
    for (const Asker* asker : askers) tenants.push_back(asker->tenant);
    return tenants;
}

} // namespace bpftune::controller
