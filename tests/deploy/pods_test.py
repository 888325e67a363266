#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The image on a node whose container runtime has pods. Needs root, runc, and containerd with CRI (tests/cri/runtime).

    pods_test.py BUILD-DIR
"""

import contextlib
import json
import os
import random
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True  # nothing is left in the sources
from cases import BUILD, WithImage, comes_true, policy_for, with_either_profile  # noqa: E402
from manifests import SOURCE  # noqa: E402

LOAD = ("/bin/slow-server --port 8080 --backlog 4096 --accept-per-second 5000 & "
        "exec /bin/burst-client --target 127.0.0.1:8080 --connections 600 --bursts 1000 --every 250ms")


class Runtime:
    """A containerd of its own, whose socket is in `folder`."""

    def __init__(self, folder):
        self.folder, self._token = folder, f"{random.getrandbits(32):08x}"

    def control(self, verb, *words):
        command = [SOURCE / "tests/cri/runtime", verb, self.folder, *words]
        subprocess.run(command, check=True, env={**os.environ, "BUILD_DIR": str(BUILD)})

    def run(self, name):
        """A pod of shop, with a queue that is too short for what it is sent."""
        command = [BUILD / "cri-pods", self.folder / "containerd.sock", "run", name, "--namespace", "shop"]
        command += ["--uid", f"{self._token}-0000-4000-8000-{random.getrandbits(48):012x}", "--label", "app=web"]
        command += ["--sysctl", "net.core.somaxconn=128", "--command", LOAD]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    @contextlib.contextmanager
    def running(self):
        try:
            self.control("make", self._token, BUILD / "slow-server", BUILD / "burst-client")
            yield self
        finally:
            self.control("remove")


class PodsOfTheNode(WithImage):
    @with_either_profile
    def test_a_pod_is_tuned_by_its_labels_and_shown_by_its_name(self, node):
        node.policy.show(policy_for({"namespace": "shop", "labels": {"app": "web"}}, "pods"))
        with Runtime(node.elsewhere["/run/containerd"]).running() as runtime, node.pod() as pod:
            self.becomes_ready(node, pod)
            runtime.run("web-0")
            self.assertTrue(comes_true(lambda: self.raised(pod, "web-0")), pod.log())
            self.assertEqual(json.loads(self.said(pod, "doctor", "-o", "json"))["pods"]["rung"], "cri")
            changed = {each["scope"]["pod"]["name"] for each in json.loads(self.said(pod, "history", "-o", "json"))}
            self.assertEqual(changed, {"web-0"})
            self.check_memory(node, pod)

    def said(self, pod, *words):
        return pod.exec("bpftune-k8s", *words).stdout

    def raised(self, pod, name):
        """Whether the row of that pod has more than it was made with."""
        rows = json.loads(self.said(pod, "top", "--once", "-o", "json"))["listeners"]
        return any(row["pod"] and row["pod"]["name"] == name and row["somaxconn"] > 128 for row in rows)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
