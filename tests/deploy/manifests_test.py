#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What must hold of the manifests in deploy/kubernetes, whichever overlay and component is taken. Needs no root.

    manifests_test.py BUILD-DIR
"""

import copy
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import yaml

sys.dont_write_bytecode = True  # nothing is left in the sources
from manifests import (  # noqa: E402
    COMPONENTS,
    KUBECTL,
    KUBERNETES,
    OVERLAYS,
    SOURCE,
    container_of,
    of_kind,
    pod_of,
    policy_of,
    render,
    volume_of,
)

CAPABILITIES = {"BPF", "PERFMON", "NET_ADMIN", "SYS_ADMIN", "SYS_PTRACE", "DAC_READ_SEARCH"}
# Where each folder of the node is seen in the container, whether it can be written there, and whether what is mounted
# in it later is seen.
MOUNTS = {
    "/proc": ("/host/proc", "writable", "None"),
    "/sys/fs/cgroup": ("/host/sys/fs/cgroup", "read-only", "None"),
    "/var/lib/bpftune-k8s": ("/var/lib/bpftune-k8s", "writable", "None"),
    "/run/bpftune-k8s": ("/run/bpftune-k8s", "writable", "None"),
    "/run/containerd": ("/run/containerd", "read-only", "HostToContainer"),
    "/run/netns": ("/run/netns", "read-only", "HostToContainer"),
    "/var/log/pods": ("/var/log/pods", "read-only", "None"),
}
OTHER_RIGHTS = {"hostPID", "hostNetwork", "runAsUser", "appArmorProfile", "seLinuxOptions", "seccompProfile"}
RUNTIMES = {"/run/containerd", "/run/crio", "/run/k3s/containerd"}
KINDS = {"Namespace", "ServiceAccount", "ResourceQuota", "ConfigMap", "DaemonSet"}
PROGRAM = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else SOURCE / "build").resolve() / "bpftune-k8s"


def all_daemon_sets():
    """(what it is, the objects that were rendered with it, the DaemonSet)"""
    rendered = [(overlay, render(overlay)) for overlay in OVERLAYS]
    rendered += [(f"canary with {each}", render("canary", each)) for each in COMPONENTS]
    return [
        (f"{name}: {each['metadata']['name']}", objects, each)
        for name, objects in rendered
        for each in of_kind(objects, "DaemonSet")
    ]


def of_each(test):
    """`test` of each DaemonSet of each overlay and component."""

    def of_all(self):
        for name, objects, daemon_set in all_daemon_sets():
            with self.subTest(name):
                test(self, objects, daemon_set)

    return of_all


def unknown_in(given, known, path=""):
    """Where `given` has what `known` lacks."""
    if isinstance(given, dict):
        for key, value in given.items():
            if key not in known:
                yield f"{path}/{key}"
            else:
                yield from unknown_in(value, known[key], f"{path}/{key}")
    elif isinstance(given, list):
        for i, (value, other) in enumerate(zip(given, known)):
            yield from unknown_in(value, other, f"{path}/{i}")


class Manifests(unittest.TestCase):
    @of_each
    def test_every_field_is_one_of_the_api(self, _, daemon_set):
        # kubectl reads it into the API's types, and writes what these have.
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(daemon_set, file)
            file.flush()
            command = [KUBECTL, "set", "image", "--local", "-o", "json", "-f", file.name, "bpftune-k8s=other"]
            read = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        self.assertEqual(list(unknown_in(daemon_set, json.loads(read.stdout))), [])

    @of_each
    def test_a_pod_has_the_stated_rights_and_no_others(self, _, daemon_set):
        context = container_of(daemon_set)["securityContext"]
        self.assertEqual(context["capabilities"]["drop"], ["ALL"])
        self.assertEqual(set(context["capabilities"]["add"]), CAPABILITIES)
        self.assertIs(context["privileged"], False)
        self.assertIs(context["allowPrivilegeEscalation"], False)
        self.assertIs(context["readOnlyRootFilesystem"], True)
        self.assertIn(context["seccompProfile"]["type"], ("RuntimeDefault", "Localhost"))
        self.assertNotIn("initContainers", pod_of(daemon_set))

    @of_each
    def test_apparmor_is_said_in_both_ways_alike(self, _, daemon_set):
        container = container_of(daemon_set)
        annotation = f"container.apparmor.security.beta.kubernetes.io/{container['name']}"
        annotations = daemon_set["spec"]["template"]["metadata"]["annotations"]
        self.assertEqual(container["securityContext"]["appArmorProfile"], {"type": "Unconfined"})
        self.assertEqual(annotations[annotation], "unconfined")

    @of_each
    def test_the_api_server_is_never_asked(self, objects, daemon_set):
        self.assertIs(pod_of(daemon_set)["automountServiceAccountToken"], False)
        (account,) = of_kind(objects, "ServiceAccount")
        self.assertIs(account["automountServiceAccountToken"], False)
        self.assertEqual(pod_of(daemon_set)["serviceAccountName"], account["metadata"]["name"])
        self.assertLessEqual({each["kind"] for each in objects}, KINDS | {"PodMonitor"})  # no Role, no binding

    @of_each
    def test_a_pod_has_the_stated_mounts_and_no_others(self, _, daemon_set):
        mounted = {}
        for mount in container_of(daemon_set)["volumeMounts"]:
            volume = volume_of(daemon_set, mount["name"])
            how = "read-only" if mount.get("readOnly") else "writable"
            place = (mount["mountPath"], how, mount.get("mountPropagation", "None"))
            if mount["name"] == "policy":
                self.assertEqual(place, ("/etc/bpftune-k8s", "read-only", "None"))
            else:
                mounted[volume["hostPath"]["path"]] = place
        expected = dict(MOUNTS)
        (runtime,) = RUNTIMES & mounted.keys()
        expected[runtime] = (runtime, *expected.pop("/run/containerd")[1:])
        self.assertEqual(mounted, expected)
        self.assertEqual(len(pod_of(daemon_set)["volumes"]), len(container_of(daemon_set)["volumeMounts"]))

    def test_each_right_and_each_mount_has_its_reason_in_the_docs(self):
        page = (SOURCE / "docs/kubernetes.md").read_text()
        rights = page.split("\n## Rights\n")[1].split("\n## ")[0]
        rows = re.findall(r"^\| `([^`]+)` \|", rights, re.MULTILINE)
        self.assertEqual(len(rows), len(set(rows)))
        self.assertEqual(set(rows), CAPABILITIES | MOUNTS.keys() | OTHER_RIGHTS)

    @of_each
    def test_a_pod_sees_the_node(self, _, daemon_set):
        pod = pod_of(daemon_set)
        self.assertIs(pod["hostPID"], True)
        self.assertIs(pod["hostNetwork"], True)
        self.assertNotIn("hostIPC", pod)

    @of_each
    def test_a_pod_is_on_every_node_and_stays_there(self, _, daemon_set):
        pod = pod_of(daemon_set)
        self.assertEqual(pod["priorityClassName"], "system-node-critical")
        self.assertEqual(pod["tolerations"], [{"operator": "Exists"}])
        self.assertEqual(daemon_set["spec"]["updateStrategy"]["rollingUpdate"]["maxSurge"], 0)
        self.assertGreaterEqual(pod["terminationGracePeriodSeconds"], 30)

    @of_each
    def test_memory_is_limited_and_processor_time_is_not(self, _, daemon_set):
        resources = container_of(daemon_set)["resources"]
        self.assertEqual(resources["limits"].keys(), {"memory"})
        self.assertEqual(resources["requests"].keys(), {"cpu", "memory"})

    @of_each
    def test_probes_ask_by_the_socket_that_no_other_process_can_have(self, _, daemon_set):
        container = container_of(daemon_set)
        asked = {
            "startupProbe": ["bpftune-k8s", "health"],
            "livenessProbe": ["bpftune-k8s", "health"],
            "readinessProbe": ["bpftune-k8s", "health", "--ready"],
        }
        for probe, command in asked.items():
            self.assertEqual(container[probe]["exec"]["command"], command)
            # It waits 2 s to be connected and 2 s for the answer; kubelet waits 1 s unless told.
            self.assertGreater(container[probe]["timeoutSeconds"], 4)

    @of_each
    def test_what_is_scraped_is_what_the_service_answers(self, _, daemon_set):
        answered = re.findall(r'path == "(/[a-z]+)"', (SOURCE / "userspace/service/http.cpp").read_text())
        container = container_of(daemon_set)
        (port,) = container["ports"]
        self.assertEqual(port["containerPort"], port["hostPort"])
        self.assertTrue(container["args"][2].endswith(f":{port['containerPort']}"))
        annotations = daemon_set["spec"]["template"]["metadata"]["annotations"]
        self.assertEqual(annotations["prometheus.io/port"], str(port["containerPort"]))
        self.assertIn(annotations["prometheus.io/path"], answered)

    def test_the_pod_monitor_scrapes_every_pod(self):
        objects = render("canary", "pod-monitor")
        (monitor,) = of_kind(objects, "PodMonitor")
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        relabelings = endpoint["relabelings"]
        self.assertEqual(monitor["spec"]["jobLabel"], "app.kubernetes.io/name")  # bpftune-k8s, as alerts have it
        self.assertEqual([each["regex"] for each in relabelings if each.get("action") == "labeldrop"], ["pod|container|namespace"])
        (instance,) = [each["sourceLabels"] for each in relabelings if each.get("targetLabel") == "instance"]
        self.assertEqual(instance, ["__meta_kubernetes_pod_node_name"])
        for daemon_set in of_kind(objects, "DaemonSet"):
            labels = daemon_set["spec"]["template"]["metadata"]["labels"]
            self.assertEqual(labels[monitor["spec"]["jobLabel"]], "bpftune-k8s")
            self.assertLessEqual(monitor["spec"]["selector"]["matchLabels"].items(), labels.items())
            self.assertEqual(endpoint["port"], container_of(daemon_set)["ports"][0]["name"])

    def test_every_pod_runs_the_same_image_of_this_version(self):
        version = subprocess.run([PROGRAM, "--version"], check=True, capture_output=True, text=True).stdout.strip()
        images = {container_of(daemon_set)["image"] for _, _, daemon_set in all_daemon_sets()}
        self.assertEqual(images, {f"localhost/bpftune-k8s:{version}"})

    @of_each
    def test_every_policy_is_a_good_one(self, objects, daemon_set):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write(policy_of(objects, daemon_set))
            file.flush()
            command = [PROGRAM, "policy", "check", file.name]
            checked = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual(checked.returncode, 0, checked.stderr)

    def test_observe_writes_nothing_and_auto_and_canary_may_do_the_same(self):
        policies = {
            (overlay, each["metadata"]["name"]): yaml.safe_load(policy_of(objects, each))
            for overlay in OVERLAYS
            for objects in [render(overlay)]
            for each in of_kind(objects, "DaemonSet")
        }
        modes = {key: policy["spec"]["mode"] for key, policy in policies.items()}
        self.assertEqual(
            modes,
            {
                ("observe", "bpftune-k8s"): "observe",
                ("canary", "bpftune-k8s"): "observe",
                ("canary", "bpftune-k8s-canary"): "auto",
                ("auto", "bpftune-k8s"): "auto",
            },
        )
        # What was tried on a few nodes is what all get then.
        self.assertEqual(policies["canary", "bpftune-k8s-canary"]["spec"], policies["auto", "bpftune-k8s"]["spec"])

    def test_auto_differs_from_observe_in_its_policy_alone(self):
        observe, auto = ({each["kind"]: each for each in render(name)} for name in ("observe", "auto"))
        self.assertNotEqual(observe.pop("ConfigMap")["data"], auto.pop("ConfigMap")["data"])
        self.assertEqual(observe, auto)

    def test_canary_differs_from_observe_by_which_nodes_have_which(self):
        (plain,) = of_kind(render("observe"), "DaemonSet")
        rest, canary = copy.deepcopy(of_kind(render("canary"), "DaemonSet"))
        (term,) = pod_of(rest).pop("affinity")["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
            "nodeSelectorTerms"
        ]
        self.assertEqual(
            term["matchExpressions"], [{"key": "bpftune-k8s.io/canary", "operator": "NotIn", "values": ["true"]}]
        )
        self.assertEqual(rest, plain)

        self.assertEqual(pod_of(canary)["nodeSelector"].pop("bpftune-k8s.io/canary"), "true")
        expected = copy.deepcopy(plain)
        expected["metadata"]["name"] += "-canary"
        volume_of(expected, "policy")["configMap"]["name"] += "-canary"
        template = expected["spec"]["template"]["metadata"]
        for labels in (expected["metadata"]["labels"], expected["spec"]["selector"]["matchLabels"], template["labels"]):
            labels["app.kubernetes.io/instance"] = "canary"
        self.assertEqual(canary, expected)

    @of_each
    def test_a_new_policy_does_not_roll_the_pods(self, objects, daemon_set):
        for config in of_kind(objects, "ConfigMap"):
            self.assertRegex(config["metadata"]["name"], r"^bpftune-k8s-policy(-canary)?$")  # without a hash
        for mount in container_of(daemon_set)["volumeMounts"]:
            self.assertNotIn("subPath", mount)  # kubelet updates no such mount

    def test_no_component_and_no_overlay_is_left_out_here(self):
        self.assertEqual({each.name for each in (KUBERNETES / "components").iterdir()}, set(COMPONENTS))
        self.assertEqual({each.name for each in (KUBERNETES / "overlays").iterdir()}, set(OVERLAYS))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
