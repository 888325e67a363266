// SPDX-License-Identifier: Apache-2.0
#include "kube/cgroup_path.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include "core/systemd.hpp"
#include "core/text.hpp"

namespace bpftune::kube {
namespace {

constexpr std::string_view slice = ".slice";

bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

bool take_prefix(std::string_view& text, std::string_view prefix) {
    if (!text.starts_with(prefix)) return false;
    text.remove_prefix(prefix.size());
    return true;
}

bool take_suffix(std::string_view& text, std::string_view suffix) {
    if (!text.ends_with(suffix)) return false;
    text.remove_suffix(suffix.size());
    return true;
}

// Of /proc/PID/cgroup, where ".." are what is above the reader's own cgroup namespace.
struct Path {
    std::size_t above = 0;
    std::vector<std::string_view> names;
};

Path split(std::string_view text) {
    take_suffix(text, " (deleted)");
    Path path;
    while (!text.empty()) {
        const std::string_view name = text.substr(0, text.find('/'));
        text.remove_prefix(std::min(name.size() + 1, text.size()));
        if (name == "..")
            ++path.above;
        else if (!name.empty())
            path.names.push_back(name);
    }
    return path;
}

bool is_uuid(std::string_view text) {
    constexpr std::size_t size = 36;
    constexpr std::array<std::size_t, 4> dashes{8, 13, 18, 23};
    if (text.size() != size) return false;
    for (std::size_t i = 0; i < size; ++i)
        if (std::ranges::find(dashes, i) != dashes.end() ? text[i] != '-' : !is_hex(text[i])) return false;
    return true;
}

// A UUID, which systemd's names have with underscores, or the hash of a static pod's file; empty: neither.
std::string pod_uid(std::string_view text) {
    constexpr std::size_t hash_size = 32;
    std::string uid(text);
    std::ranges::replace(uid, '_', '-');
    if (!is_uuid(uid) && (uid.size() != hash_size || !std::ranges::all_of(uid, is_hex))) uid.clear();
    return uid;
}

bool is_container_id(std::string_view text) {
    constexpr std::size_t id_size = 64;
    return text.size() == id_size && std::ranges::all_of(text, is_hex);
}

std::optional<QosClass> qos_of(std::string_view name) {
    if (name == "besteffort") return QosClass::best_effort;
    if (name == "burstable") return QosClass::burstable;
    return std::nullopt;
}

bool is_kubepods(std::string_view name) {
    return name == "kubepods" || name == "kubepods.slice" || name.ends_with("-kubepods.slice");
}

// By systemd's names: "kubepods-burstable-podUID.slice", after those of the slices above it where there are any.
bool read_pod_slice(std::string_view name, CgroupOwner& owner) {
    constexpr std::string_view kubepods = "kubepods-";
    constexpr std::string_view pod = "pod";
    if (!take_suffix(name, slice)) return false;
    const std::size_t at = name.find(kubepods);
    if (at == std::string_view::npos || (at > 0 && name[at - 1] != '-')) return false;
    name.remove_prefix(at + kubepods.size());
    std::optional<QosClass> qos = QosClass::guaranteed;
    if (const std::size_t dash = name.find('-'); dash != std::string_view::npos) {
        qos = qos_of(name.substr(0, dash));
        name.remove_prefix(dash + 1);
    }
    if (qos && take_prefix(name, pod)) owner.pod_uid = pod_uid(name);
    if (owner.pod_uid.empty()) return false;
    owner.qos = qos;
    return true;
}

// By the kubelet's own: kubepods/burstable/podUID. Of a sibling of the reader's pod the names above are not shown.
bool read_pod_folder(const Path& path, std::size_t at, CgroupOwner& owner) {
    std::string_view name = path.names[at];
    const std::string uid = take_prefix(name, "pod") ? pod_uid(name) : std::string();
    if (uid.empty()) return false;
    const std::size_t above = at > 0 && qos_of(path.names[at - 1]) ? at - 1 : at; // without the class's own
    if (above > 0 && !is_kubepods(path.names[above - 1])) return false;
    if (above == 0 && path.above == 0) return false;
    owner.pod_uid = uid;
    owner.qos = above < at ? qos_of(path.names[at - 1]) : std::nullopt;
    if (above == at && above > 0) owner.qos = QosClass::guaranteed;
    return true;
}

// Those that run as root and give none of their cgroups away but as containers.
constexpr std::array<std::string_view, 11> runtime_units{"containerd.service",
                                                         "crio.service",
                                                         "docker.service",
                                                         "kubelet.service",
                                                         "k0scontroller.service",
                                                         "k0sworker.service",
                                                         "k3s.service",
                                                         "rke2-agent.service",
                                                         "rke2-server.service",
                                                         "snap.docker.dockerd.service",
                                                         "snap.microk8s.daemon-containerd.service"};

// k3s-agent.service, or k3s-NAME.service where its installer was told a name (INSTALL_K3S_NAME).
bool is_unit_of_k3s(std::string_view name) { return name.starts_with("k3s-") && name.ends_with(".service"); }

// Whether nobody but the system chooses what is right below it: slices cannot be given away (systemd's
// CGROUP_DELEGATION). "kubelet" and "k3s" are what these make at the root.
bool is_of_system(std::string_view name, bool is_at_root) {
    if (name.ends_with(slice) || is_kubepods(name) || qos_of(name)) return true;
    if (is_at_root && (name == "kubelet" || name == "k3s")) return true;
    return is_unit_of_k3s(name) || std::ranges::find(runtime_units, name) != runtime_units.end();
}

std::size_t names_in_common(const Path& a, const Path& b) {
    if (a.above != b.above) return 0;
    return static_cast<std::size_t>(std::ranges::mismatch(a.names, b.names).in1 - a.names.begin());
}

// Whether the pod that this name is of can be nobody's invention: from the root on, or from one of those that the
// reader is below as well, which is his container's. `own`: the reader's cgroups.
bool is_trusted(const Path& path, std::size_t at, const std::vector<Path>& own) {
    std::size_t roots = 0;
    for (const Path& each : own) roots = std::max(roots, names_in_common(path, each));
    for (std::size_t root = 0; root <= std::min(roots, at); ++root) {
        std::size_t i = root;
        while (i < at && is_of_system(path.names[i], i == root)) ++i;
        if (i == at) return true;
    }
    return false;
}

// "cri-containerd-ID.scope", "crio-ID", "ID": a runtime's process that watches a container (conmon) is not in it.
bool read_container(std::string_view name, CgroupOwner& owner) {
    take_suffix(name, ".scope");
    const std::size_t dash = name.rfind('-');
    const std::string_view id = dash == std::string_view::npos ? name : name.substr(dash + 1);
    if (!is_container_id(id)) return false;
    std::string_view runtime = name.substr(0, dash == std::string_view::npos ? 0 : dash);
    const bool is_in_it = !take_suffix(runtime, "-conmon");
    owner.runtime = printable(runtime);
    if (is_in_it) owner.container_id = id;
    return is_in_it;
}

// "kubepods-burstable-podUID.slice:cri-containerd:ID": containerd's own name, where the kubelet has systemd's.
bool read_both(std::string_view name, CgroupOwner& owner) {
    const std::size_t first = name.find(':');
    const std::size_t second = name.find(':', std::min(first, name.size() - 1) + 1);
    if (second == std::string_view::npos || !read_pod_slice(name.substr(0, first), owner)) return false;
    owner.runtime = printable(name.substr(first + 1, second - first - 1));
    if (const auto id = name.substr(second + 1); is_container_id(id)) owner.container_id = id;
    return true;
}

bool is_of_user(std::string_view name) {
    return name == "user.slice" || (name.starts_with("user@") && name.ends_with(".service"));
}

// Below a container's cgroup all is that container's.
bool is_in_container(const Path& path, std::size_t at) {
    CgroupOwner ignored;
    const auto below = path.names.begin() + static_cast<std::ptrdiff_t>(at);
    return std::any_of(path.names.begin(), below, [&](std::string_view name) { return read_container(name, ignored); });
}

bool read_pod(const Path& path, const std::vector<Path>& own, CgroupOwner& owner) {
    for (std::size_t i = 0; i < path.names.size(); ++i) {
        if (is_of_user(path.names[i])) return false;
        const bool is_both = read_both(path.names[i], owner);
        if (!is_both && !read_pod_slice(path.names[i], owner) && !read_pod_folder(path, i, owner)) continue;
        if (!is_trusted(path, i, own)) {
            owner.claims_pod = !is_in_container(path, i);
            return false;
        }
        if (is_both) return true;
        if (i + 1 < path.names.size()) (void)read_container(path.names[i + 1], owner);
        return true;
    }
    // Beside the reader's own container there are only those of its pod.
    return path.above == 1 && !path.names.empty() && read_container(path.names[0], owner);
}

// As systemd tells a unit (cg_path_get_unit): the first name that is no slice, if it is a unit's.
std::string unit_of(const Path& path) {
    const auto name = std::ranges::find_if_not(path.names, [](std::string_view each) { return each.ends_with(slice); });
    if (name == path.names.end()) return {};
    std::string_view unit = *name;
    take_prefix(unit, "_"); // before what would be the name of a file of the kernel's
    const std::size_t point = unit.rfind('.');
    const std::string_view type = unit.substr(point == std::string_view::npos ? unit.size() : point + 1);
    const bool is_unit = std::ranges::find(unit_types, type) != unit_types.end();
    return is_unit ? printable(unit) : std::string();
}

// Of the text of /proc/PID/cgroup.
struct Line {
    std::string_view controllers; // empty: v2's, which is the last
    Path path;
};

std::vector<Line> lines_of(std::string_view text) {
    std::vector<Line> lines;
    while (!text.empty()) {
        const std::string_view line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(line.size() + 1, text.size()));
        const std::size_t first = line.find(':');
        const std::size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
        if (second == std::string_view::npos) continue;
        lines.push_back({line.substr(first + 1, second - first - 1), split(line.substr(second + 1))});
    }
    return lines;
}

CgroupOwner owner_of(const Path& path, const std::vector<Path>& own) {
    CgroupOwner owner;
    if (!read_pod(path, own, owner)) owner = {.claims_pod = owner.claims_pod};
    if (owner.pod_uid.empty()) owner.unit = unit_of(path);
    return owner;
}

} // namespace

CgroupOwner parse_cgroup_path(std::string_view path, std::string_view own) {
    return owner_of(split(path), {split(own)});
}

CgroupOwner parse_cgroups(std::string_view text, std::string_view own) {
    std::vector<Path> own_paths;
    for (Line& line : lines_of(own)) own_paths.push_back(std::move(line.path));
    CgroupOwner owner;
    for (const Line& line : lines_of(text)) {
        CgroupOwner found = owner_of(line.path, own_paths);
        if (found.is_of_pod()) return found;
        owner.claims_pod |= found.claims_pod;
        const bool is_v2 = line.controllers.empty();
        if (line.controllers == "name=systemd" || (is_v2 && owner.unit.empty())) owner.unit = std::move(found.unit);
    }
    return owner;
}

} // namespace bpftune::kube
