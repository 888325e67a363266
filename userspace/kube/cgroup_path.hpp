// SPDX-License-Identifier: Apache-2.0
// Whose a process is, by the names of its cgroups, which are the kubelet's, the container runtime's and systemd's.
//
// Names that others may choose prove nothing. Whoever is in a service, scope or container may have been given the
// cgroups below that, and calls them as he likes: a pod is what is below the root or slices of the system, or below the
// service of a runtime or kubelet. So a cluster in a container (kind) is that container's, unless the reader is in that
// as well; one in a pod is that pod's, since the first pod in a path counts; and below `user.slice` nothing is a pod.
// What is called as a pod's elsewhere may be one whose kubelet has a root of its own: that claims to be one.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/snapshot.hpp"

namespace bpftune::kube {

// All text is printable (core/text.hpp).
struct CgroupOwner {
    std::string pod_uid;      // empty: it is no pod's, or that is not to be had
    std::string container_id; // empty: it is in none. Without pod_uid: of a pod that only its runtime can tell
    std::string runtime;      // that named the container's cgroup: "cri-containerd", "crio", "docker"; empty: none said
    std::optional<QosClass> qos; // nullopt: not to be had
    std::string unit;            // of the system's systemd; empty: none, or it is a pod's
    bool claims_pod = false;     // by a name that anybody may have chosen: it may be a pod's, nobody can say whose

    [[nodiscard]] bool is_of_pod() const { return !pod_uid.empty() || !container_id.empty(); }
    bool operator==(const CgroupOwner&) const = default;
};

// The text of /proc/PID/cgroup. A runtime puts a container into each hierarchy of v1 that is mounted, the kubelet knows
// them by those of its controllers, and systemd by `name=systemd`; where v2 is mounted beside v1, only who has the
// systemd driver is in its pod there as well. So the first line that has a pod counts, and the unit is that of
// name=systemd, else of v2. `own`: the same of the reader.
CgroupOwner parse_cgroups(std::string_view text, std::string_view own = {});

// The same of one path. What is not in the reader's own cgroup namespace begins with "/..": there the pod's name alone
// is what tells it, and a container beside the reader's own is told by its ID alone.
CgroupOwner parse_cgroup_path(std::string_view path, std::string_view own = {});

} // namespace bpftune::kube
