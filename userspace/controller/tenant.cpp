// SPDX-License-Identifier: Apache-2.0
#include "controller/tenant.hpp"

#include <optional>
#include <string>
#include <string_view>

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

Tenant tenant_of(const Gate& gate, const ObjectKey& object, const Scope& scope) {
    if (tunables::row(object.tunable).kind == tunables::Kind::host_sysctl) return {};
    const Snapshot& snapshot = gate.snapshot();
    const NetnsNames* names = snapshot.names_of(object.netns);
    const Holder holder = holder_of(gate.readings().find(object));
    if (holder.pod != nullptr && *holder.pod) return of_pod(**holder.pod);
    if (names != nullptr && names->pod) return of_pod(*names->pod);
    if (scope.pod) return of_pod(*scope.pod);
    if (object.netns == snapshot.host && !holder.unit.empty()) return of_unit(holder.unit);
    if (object.netns == snapshot.host) return is_of_socket(object.tunable) ? of_nobody_known() : Tenant{};
    if (names != nullptr && names->user_ns_owner)
        return names->unit.empty() ? of_user(*names->user_ns_owner) : of_unit(names->unit);
    return of_netns(object.netns, names);
}

} // namespace bpftune::controller
