#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The image with the rights, mounts and system calls that the rendered manifests give it. Needs root, runc, containerd.

    container_test.py BUILD-DIR
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

import yaml

sys.dont_write_bytecode = True  # nothing is left in the sources
import image  # noqa: E402
from container import Namespace, Node, random_name, seccomp_of_containerd  # noqa: E402
from manifests import container_of, of_kind, policy_of, render  # noqa: E402
from oci import bytes_of  # noqa: E402

BUILD = pathlib.Path(sys.argv[1]).resolve()
LONGEST = 60  # seconds that anything may take here


def comes_true(condition):
    end = time.monotonic() + LONGEST
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def doctor_here():
    command = [BUILD / "bpftune-k8s", "doctor", "-o", "json"]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    return json.loads(said.stdout)


def policy_for(netns, name):
    """That of the overlay auto, held to one namespace: others have theirs on this machine."""
    objects = render("auto")
    (daemon_set,) = of_kind(objects, "DaemonSet")
    policy = yaml.safe_load(policy_of(objects, daemon_set))
    policy["metadata"]["name"] = name
    policy["spec"]["pods"] = [{"match": {"netns": netns}}, {"match": {}, "mode": "observe"}]
    tunables = policy["spec"]["tunables"]
    for each in doctor_here()["tunables"]:
        if each["tunable"] not in ("net.core.somaxconn", "listener.backlog"):
            tunables[each["tunable"]] = {"mode": "observe"}
    return yaml.safe_dump(policy)


def daemon_set_of(*components):
    (daemon_set,) = of_kind(render("auto", *components), "DaemonSet")
    return daemon_set


def with_either_profile(test):
    """`test` under containerd's seccomp profile, and under ours."""

    def of_both(self):
        for components in ((), ("seccomp",)):
            node = Node(self.archive, daemon_set_of(*components), self.runtime_default)
            with self.subTest(components=components), node:
                test(self, node)

    return of_both


def what_works(doctor):
    """Of `doctor -o json`: the rung of each probe, whether each tunable can be written."""
    rungs = {each["probe"]: each["rung"] for each in doctor["probes"]}
    return rungs, {each["tunable"]: each["writable"] for each in doctor["tunables"]}


class Container(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.archive = pathlib.Path(cls.folder.name) / "image.tar"
        image.make(cls.archive)
        cls.runtime_default = seccomp_of_containerd(cls.archive, daemon_set_of())

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def answer(self, node, path):
        try:
            with urllib.request.urlopen(f"http://{node.address}:9810{path}", timeout=LONGEST) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return None

    @with_either_profile
    def test_everything_works_that_works_on_the_node(self, node):
        here = doctor_here()
        node.policy.show(policy_for("none", "doctor"))
        said = node.run("doctor", "-o", "json")
        self.assertEqual(said.stderr, "")
        self.assertEqual(what_works(json.loads(said.stdout)), what_works(here))
        self.assertEqual(json.loads(said.stdout)["verdict"], here["verdict"])
        self.assertEqual(said.returncode, {"everything works": 0, "works with less": 1}[here["verdict"]])

    @with_either_profile
    def test_a_server_is_raised_by_one_pod_and_restored_by_the_next(self, node):
        with Namespace(BUILD, random_name()) as netns, netns.server(somaxconn=16):
            node.policy.show(policy_for(netns.name, "first"))
            with node.pod() as pod:
                self.becomes_ready(node, pod)
                self.assertTrue(self.raised(netns), pod.log())
                self.assertEqual(self.mode_by_socket(node), "auto")
                raised = netns.somaxconn()
                node.policy.show(policy_for(netns.name, "second"))
                self.assertTrue(comes_true(lambda: "'second' loaded" in pod.log()), pod.log())
                self.check_memory(node, pod)
                self.assertEqual(pod.stop(), 0)
            self.assertEqual(netns.somaxconn(), raised)  # a pod that is rolled drops nothing

            with node.pod() as pod:
                self.becomes_ready(node, pod)
                said = pod.exec("bpftune-k8s", "restore")  # to what was there before the first one
                self.assertEqual(said.returncode, 0, said.stdout + said.stderr)
                self.assertEqual(netns.somaxconn(), 16, said.stdout)
                history = json.loads(pod.exec("bpftune-k8s", "history", "-o", "json").stdout)
                self.assertIn("restored", {each["state"] for each in history}, history)
                self.assertEqual(pod.stop(), 0)
            self.assertEqual(netns.somaxconn(), 16)

    def becomes_ready(self, node, pod):
        def holds(probe):  # as kubelet finds out
            return pod.exec(*container_of(node.daemon_set)[probe]["exec"]["command"]).returncode == 0

        self.assertTrue(comes_true(lambda: holds("readinessProbe")), pod.log())
        self.assertTrue(holds("startupProbe"))
        self.assertTrue(holds("livenessProbe"))
        for path in ("/readyz", "/healthz", "/metrics"):
            self.assertEqual(self.answer(node, path), 200)

    def mode_by_socket(self, node):
        """What a `bpftune-k8s` on the node itself is told."""
        socket = node.elsewhere["/run/bpftune-k8s"] / "api.sock"
        command = [BUILD / "bpftune-k8s", "top", "--once", "-o", "json", "--socket", socket]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)["mode"]

    def raised(self, netns):
        def after_a_burst():
            netns.burst(100)
            return netns.somaxconn() > 16

        return comes_true(after_a_burst)

    def check_memory(self, node, pod):
        limit = bytes_of(container_of(node.daemon_set)["resources"]["limits"]["memory"])
        most = pod.most_memory()
        print(f"{most / 2**20:.0f} MiB of {limit / 2**20:.0f} MiB", file=sys.stderr)  # more where others run a bench
        self.assertLess(most, limit)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
