# SPDX-License-Identifier: Apache-2.0
"""What tests of the image on a node share. The first argument of each is the build directory."""

import json
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

import yaml

import image
from container import Node, seccomp_of_containerd
from manifests import container_of, of_kind, policy_of, render
from oci import bytes_of

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


def policy_for(match, name):
    """That of the overlay auto, held to whom `match` is about: others have theirs on this machine."""
    objects = render("auto")
    (daemon_set,) = of_kind(objects, "DaemonSet")
    policy = yaml.safe_load(policy_of(objects, daemon_set))
    policy["metadata"]["name"] = name
    policy["spec"]["pods"] = [{"match": match}, {"match": {}, "mode": "observe"}]
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


class WithImage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.archive = pathlib.Path(cls.folder.name) / "image.tar"
        image.make(cls.archive)
        cls.runtime_default = seccomp_of_containerd(cls.archive, daemon_set_of())

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def becomes_ready(self, node, pod):
        def holds(probe):  # as kubelet finds out
            return pod.exec(*container_of(node.daemon_set)[probe]["exec"]["command"]).returncode == 0

        self.assertTrue(comes_true(lambda: holds("readinessProbe")), pod.log())
        self.assertTrue(holds("startupProbe"))
        self.assertTrue(holds("livenessProbe"))

    def check_memory(self, node, pod):
        limit = bytes_of(container_of(node.daemon_set)["resources"]["limits"]["memory"])
        most = pod.most_memory()
        print(f"{most / 2**20:.0f} MiB of {limit / 2**20:.0f} MiB", file=sys.stderr)  # more where others run a bench
        self.assertLess(most, limit)
