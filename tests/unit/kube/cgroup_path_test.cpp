// SPDX-License-Identifier: Apache-2.0
#include "kube/cgroup_path.hpp"

#include <vector>

#include <catch2/catch.hpp>

using namespace bpftune;
using namespace bpftune::kube;

namespace {

const std::string uid = "6c7a8f2e-3b1d-4e5f-9a0b-1c2d3e4f5a6b";
const std::string uid_in_slice = "6c7a8f2e_3b1d_4e5f_9a0b_1c2d3e4f5a6b";
const std::string static_uid = "8f9b1c3d5e7a9b1c3d5e7a9b1c3d5e7a"; // the hash of a file
const std::string other_uid = "00000000-1111-2222-3333-444444444444";
const std::string id(64, 'a');
const std::string other_id = std::string(60, '0') + "beef";

constexpr auto guaranteed = QosClass::guaranteed;
constexpr auto burstable = QosClass::burstable;
constexpr auto best_effort = QosClass::best_effort;

struct Spelling {
    std::string what;
    std::string path;
    CgroupOwner owner;
};

CgroupOwner unit(std::string name) { return {.unit = std::move(name)}; }
// It may be a pod's, by a name that anybody may have chosen.
CgroupOwner claim(std::string unit) { return {.unit = std::move(unit), .claims_pod = true}; }

std::string slice(const std::string& qos, const std::string& of = uid_in_slice) {
    return "kubepods-" + (qos.empty() ? qos : qos + "-") + "pod" + of + ".slice";
}

} // namespace

TEST_CASE("a pod and its container are told by all spellings of their cgroups") {
    const auto spelling = GENERATE_COPY(from_range(std::vector<Spelling>{
        {"cgroupfs driver, burstable", "/kubepods/burstable/pod" + uid + "/" + id, {uid, id, "", burstable}},
        {"cgroupfs driver, best effort", "/kubepods/besteffort/pod" + uid + "/" + id, {uid, id, "", best_effort}},
        {"cgroupfs driver, guaranteed: right below", "/kubepods/pod" + uid + "/" + id, {uid, id, "", guaranteed}},
        {"cgroupfs driver, CRI-O", "/kubepods/burstable/pod" + uid + "/crio-" + id, {uid, id, "crio", burstable}},
        {"cgroupfs driver, the kubelet's own root",
         "/kubelet/kubepods/besteffort/pod" + uid + "/" + id,
         {uid, id, "", best_effort}},
        {"systemd driver, containerd",
         "/kubepods.slice/kubepods-burstable.slice/" + slice("burstable") + "/cri-containerd-" + id + ".scope",
         {uid, id, "cri-containerd", burstable}},
        {"systemd driver, guaranteed",
         "/kubepods.slice/" + slice("") + "/cri-containerd-" + id + ".scope",
         {uid, id, "cri-containerd", guaranteed}},
        {"systemd driver, CRI-O",
         "/kubepods.slice/kubepods-besteffort.slice/" + slice("besteffort") + "/crio-" + id + ".scope",
         {uid, id, "crio", best_effort}},
        {"systemd driver, CRI-O with a cgroup of the container's own below",
         "/kubepods.slice/kubepods-besteffort.slice/" + slice("besteffort") + "/crio-" + id + ".scope/container",
         {uid, id, "crio", best_effort}},
        {"CRI-O's watcher of a container is the pod's, and in no container",
         "/kubepods.slice/kubepods-besteffort.slice/" + slice("besteffort") + "/crio-conmon-" + id + ".scope",
         {uid, "", "crio", best_effort}},
        {"systemd driver, docker by cri-dockerd",
         "/kubepods.slice/kubepods-burstable.slice/" + slice("burstable") + "/docker-" + id + ".scope",
         {uid, id, "docker", burstable}},
        {"containerd's cgroupfs with the kubelet's systemd driver",
         "/" + slice("burstable") + ":cri-containerd:" + id,
         {uid, id, "cri-containerd", burstable}},
        {"the same below its service",
         "/system.slice/containerd.service/" + slice("besteffort") + ":cri-containerd:" + id,
         {uid, id, "cri-containerd", best_effort}},
        {"the kubelet's cgroup root, kind",
         "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod" +
             uid_in_slice + ".slice/cri-containerd-" + id + ".scope",
         {uid, id, "cri-containerd", burstable}},
        {"a slice of the kubelet's own above",
         "/podruntime.slice/podruntime-kubepods.slice/podruntime-kubepods-pod" + uid_in_slice + ".slice/crio-" + id +
             ".scope",
         {uid, id, "crio", guaranteed}},
        {"the kubelet's driver below its runtime's service",
         "/system.slice/k3s.service/kubepods/besteffort/pod" + uid + "/" + id,
         {uid, id, "", best_effort}},
        {"Docker Desktop", "/kubepods/kubepods/besteffort/pod" + uid + "/" + id, {uid, id, "", best_effort}},
        {"a static pod's UID has no dashes",
         "/kubepods/burstable/pod" + static_uid + "/" + id,
         {static_uid, id, "", burstable}},
        {"the same by systemd's names",
         "/kubepods.slice/kubepods-burstable.slice/" + slice("burstable", static_uid) + "/cri-containerd-" + id +
             ".scope",
         {static_uid, id, "cri-containerd", burstable}},
        {"below the service of k3s by another name",
         "/system.slice/k3s-edge.service/kubepods/besteffort/pod" + uid + "/" + id,
         {uid, id, "", best_effort}},
        {"below that of k0s",
         "/system.slice/k0sworker.service/kubepods/besteffort/pod" + uid + "/" + id,
         {uid, id, "", best_effort}},
        {"below that of microk8s",
         "/system.slice/snap.microk8s.daemon-containerd.service/" + slice("") + ":cri-containerd:" + id,
         {uid, id, "cri-containerd", guaranteed}},
        {"k3s and rke2 without systemd", "/k3s/kubepods/besteffort/pod" + uid + "/" + id, {uid, id, "", best_effort}},
        {"in the pod, in no container", "/kubepods/burstable/pod" + uid, {uid, "", "", burstable}},
        {"what is below a container is its own matter",
         "/kubepods/burstable/pod" + uid + "/" + id + "/system.slice/nginx.service",
         {uid, id, "", burstable}},
        {"a cluster in a pod is that pod's",
         "/kubepods/burstable/pod" + uid + "/" + id + "/kubelet/kubepods/besteffort/pod" + other_uid + "/" + other_id,
         {uid, id, "", burstable}},
        {"that has ended", "/kubepods/burstable/pod" + uid + "/" + id + " (deleted)", {uid, id, "", burstable}},
        {"from a cgroup namespace, systemd driver",
         "/../../../kubepods-besteffort.slice/" + slice("besteffort") + "/cri-containerd-" + id + ".scope",
         {uid, id, "cri-containerd", best_effort}},
        {"from a cgroup namespace, a neighbour of the same class",
         "/../../" + slice("burstable") + "/cri-containerd-" + id + ".scope",
         {uid, id, "cri-containerd", burstable}},
        {"from a cgroup namespace, cgroupfs driver", "/../../pod" + uid + "/" + id, {uid, id, "", std::nullopt}},
        {"from a cgroup namespace, cgroupfs driver, of another class",
         "/../../../besteffort/pod" + uid + "/" + id,
         {uid, id, "", best_effort}},
        {"from a cgroup namespace, of the reader's own pod",
         "/../cri-containerd-" + id + ".scope",
         {"", id, "cri-containerd", std::nullopt, "cri-containerd-" + id + ".scope"}},
        {"the same, cgroupfs driver", "/../" + id, {"", id, "", std::nullopt}},
    }));
    INFO(spelling.what << ": " << spelling.path);
    const CgroupOwner owner = parse_cgroup_path(spelling.path);
    CHECK(owner.pod_uid == spelling.owner.pod_uid);
    CHECK(owner.container_id == spelling.owner.container_id);
    CHECK(owner.runtime == spelling.owner.runtime);
    CHECK(owner.qos == spelling.owner.qos);
    CHECK(owner.unit == spelling.owner.unit);
}

TEST_CASE("what is no pod is known by its unit, and users choose no names for the system") {
    const auto spelling = GENERATE_COPY(from_range(std::vector<Spelling>{
        {"a service", "/system.slice/nginx.service", unit("nginx.service")},
        {"of a template, in a slice of its own", "/system.slice/system-getty.slice/getty@tty1.service",
         unit("getty@tty1.service")},
        {"nested slices", "/a.slice/a-b.slice/a-b-c.slice/db.service", unit("db.service")},
        {"below a service", "/system.slice/containerd.service/workers/1", unit("containerd.service")},
        {"a session", "/user.slice/user-1000.slice/session-3.scope", unit("session-3.scope")},
        {"process 1", "/init.scope", unit("init.scope")},
        {"escaped by systemd", "/system.slice/_cpu.service", unit("cpu.service")},
        {"with an escape in its name", "/system.slice/dev-a\\x2db.mount", unit("dev-a\\\\x2db.mount")},
        {"that has ended", "/system.slice/nginx.service (deleted)", unit("nginx.service")},
        {"from a cgroup namespace", "/../../../../system.slice/nginx.service", unit("nginx.service")},
        {"a slice alone", "/system.slice", {}},
        {"the root", "/", {}},
        {"above a cgroup namespace", "/../../../..", {}},
        {"a container that is no pod's", "/system.slice/docker-" + id + ".scope", unit("docker-" + id + ".scope")},
        {"the same without systemd", "/docker/" + id, {}},
        {"systemd in a container", "/docker/" + id + "/system.slice/nginx.service", {}},
        {"of a user's manager", "/user.slice/user-1000.slice/user@1000.service/app.slice/nginx.service",
         unit("user@1000.service")},
        {"a user's pod by name",
         "/user.slice/user-1000.slice/user@1000.service/kubepods.slice/" + slice("") + "/cri-containerd-" + id +
             ".scope",
         unit("user@1000.service")},
        {"the same by the kubelet's names", "/user.slice/user-1000.slice/user@1000.service/kubepods/pod" + uid,
         unit("user@1000.service")},
        {"the same where the slices are not shown", "/../user@1000.service/kubepods/pod" + uid + "/" + id,
         unit("user@1000.service")},
        {"a service's pod by name", "/system.slice/a.service/kubepods/burstable/pod" + uid + "/" + id,
         claim("a.service")},
        {"the same by systemd's names",
         "/system.slice/a.service/kubepods.slice/" + slice("") + "/cri-containerd-" + id + ".scope",
         claim("a.service")},
        {"the same by containerd's own", "/system.slice/a.service/" + slice("") + ":cri-containerd:" + id,
         claim("a.service")},
        {"the same with a runtime's service of its own",
         "/system.slice/a.service/containerd.service/kubepods/pod" + uid + "/" + id, claim("a.service")},
        {"the same with the kubelet's root of its own", "/system.slice/a.service/kubelet/kubepods/pod" + uid + "/" + id,
         claim("a.service")},
        {"the same where the reader is in a cgroup namespace",
         "/../../../../system.slice/a.service/kubepods/burstable/pod" + uid + "/" + id, claim("a.service")},
        {"a container's pod by name", "/machine.slice/libpod-" + id + ".scope/kubepods/pod" + uid + "/" + id,
         unit("libpod-" + id + ".scope")},
        {"the same of LXC", "/lxc.payload.web/kubepods/pod" + uid + "/" + id, claim("")},
        {"the kubelet's root is another, cgroupfs driver", "/custom/kubepods/burstable/pod" + uid + "/" + id,
         claim("")},
        {"the same where the reader is in a cgroup namespace", "/../../../../custom/kubepods/pod" + uid + "/" + id,
         claim("")},
        {"a container that a service has made, with a pod of its own",
         "/system.slice/a.service/" + other_id + "/kubepods/pod" + uid + "/" + id, unit("a.service")},
        {"kind seen from outside, v1", "/docker/" + other_id + "/kubelet/kubepods/pod" + uid + "/" + id, {}},
        {"kind seen from outside, v2",
         "/system.slice/docker-" + other_id + ".scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" +
             uid_in_slice + ".slice/cri-containerd-" + id + ".scope",
         unit("docker-" + other_id + ".scope")},
        {"minikube in docker", "/docker/" + other_id + "/kubepods/besteffort/pod" + uid + "/" + id, {}},
        {"a pod of nobody", "/system.slice/a.service/pod" + uid + "/" + id, unit("a.service")},
        {"the same at the root", "/pod" + uid + "/" + id, {}},
        {"the same by class", "/burstable/pod" + uid + "/" + id, {}},
        {"a UID that is none", "/kubepods/burstable/podman/" + id, {}},
        {"an upper-case UID", "/kubepods/pod6C7A8F2E-3B1D-4E5F-9A0B-1C2D3E4F5A6B/" + id, {}},
        {"another class of service", "/kubepods.slice/" + slice("critical"), {}},
        {"another slice that ends so", "/x.slice/xkubepods-pod" + uid_in_slice + ".slice", {}},
        {"dashes elsewhere", "/kubepods/pod6c7a8f2e3-b1d-4e5f-9a0b-1c2d3e4f5a6b", {}},
        {"two containers above the reader", "/../../cri-containerd-" + id + ".scope",
         unit("cri-containerd-" + id + ".scope")},
        {"nothing", "", {}},
        {"colons", "/:::", {}},
        {"hostile", "/system.slice/\x1b[2J\xff.service", unit("\\x1b[2J\\xff.service")},
    }));
    INFO(spelling.what << ": " << spelling.path);
    CHECK(parse_cgroup_path(spelling.path) == spelling.owner);
}

TEST_CASE("a cluster in a container is one to whoever is in that container as well") {
    const std::string node = "/docker/" + other_id;
    const std::string pod = node + "/kubelet/kubepods/burstable/pod" + uid + "/" + id;
    const CgroupOwner in_pod{uid, id, "", burstable};
    const std::string own = GENERATE_COPY(node + "/kubelet/kubepods/pod" + other_uid + "/" + other_id,
                                          node + "/system.slice/bpftune-k8s.service", node);
    CHECK(parse_cgroup_path(pod, own) == in_pod);
    CHECK(parse_cgroups("4:memory:" + pod + "\n", "5:cpu:/\n4:memory:" + own + "\n") == in_pod);
    // What is not the node's there is as untrusted as it is elsewhere.
    const std::string service = "/system.slice/a.service/kubepods/pod" + uid + "/" + id;
    CHECK_FALSE(parse_cgroup_path(node + service, own).is_of_pod());
    CHECK(parse_cgroup_path(service, own) == claim("a.service"));
    CHECK_FALSE(parse_cgroup_path("/docker/" + id + "/kubepods/pod" + uid + "/" + id, own).is_of_pod());
    CHECK_FALSE(parse_cgroup_path(pod, "/.." + own).is_of_pod());
    CHECK_FALSE(parse_cgroup_path(pod, "/docker").is_of_pod());
}

TEST_CASE("of several hierarchies the first that has a pod tells it, and systemd's own the unit") {
    const std::string pod = "/kubepods/burstable/pod" + uid + "/" + id;
    const CgroupOwner in_pod{uid, id, "", burstable};
    CHECK(parse_cgroups("0::" + pod + "\n") == in_pod);
    CHECK(parse_cgroups("12:pids:" + pod + "\n11:memory:" + pod + "\n1:name=systemd:" + pod + "\n") == in_pod);
    // hybrid, with the cgroupfs driver: v2 has what started the runtime
    CHECK(parse_cgroups("4:memory:" + pod + "\n1:name=systemd:" + pod + "\n0::/system.slice/containerd.service\n") ==
          in_pod);
    CHECK(parse_cgroups("4:memory:/\n1:name=systemd:/\n0::" + pod) == in_pod);
    CHECK(parse_cgroups("5:cpu,cpuacct:/system.slice\n1:name=systemd:/system.slice/a.service\n0::/\n") ==
          unit("a.service"));
    CHECK(parse_cgroups("5:cpu,cpuacct:/system.slice/b.service\n0::/system.slice/a.service\n") == unit("a.service"));
    CHECK(parse_cgroups("1:name=systemd:/system.slice/a.service\n0::/system.slice/b.service\n") == unit("a.service"));
    CHECK(parse_cgroups("4:memory:/custom" + pod + "\n1:name=systemd:/system.slice/a.service\n") == claim("a.service"));
    CHECK(parse_cgroups("4:memory:/custom" + pod + "\n0::" + pod + "\n") == in_pod);
    for (const std::string bad : {"", "\n\n", "0:", "0::", "x", "::::\n", "\xff"})
        CHECK(parse_cgroups(bad) == CgroupOwner{});
}
