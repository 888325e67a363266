#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The image with the rights, mounts and system calls that the rendered manifests give it. Needs root, runc, containerd.

    container_test.py BUILD-DIR
"""

import json
import subprocess
import sys
import unittest
import urllib.error
import urllib.request

sys.dont_write_bytecode = True  # nothing is left in the sources
from cases import BUILD, LONGEST, WithImage, comes_true, doctor_here, policy_for, with_either_profile  # noqa: E402
from container import Namespace, random_name  # noqa: E402


def what_works(doctor):
    """Of `doctor -o json`: the rung of each probe, whether each tunable can be written."""
    rungs = {each["probe"]: each["rung"] for each in doctor["probes"]}
    return rungs, {each["tunable"]: each["writable"] for each in doctor["tunables"]}


class Container(WithImage):
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
        node.policy.show(policy_for({"netns": "none"}, "doctor"))
        said = node.run("doctor", "-o", "json")
        self.assertEqual(said.stderr, "")
        self.assertEqual(what_works(json.loads(said.stdout)), what_works(here))
        self.assertEqual(json.loads(said.stdout)["verdict"], here["verdict"])
        self.assertEqual(said.returncode, {"everything works": 0, "works with less": 1}[here["verdict"]])

    @with_either_profile
    def test_a_server_is_raised_by_one_pod_and_restored_by_the_next(self, node):
        with Namespace(BUILD, random_name()) as netns, netns.server(somaxconn=16):
            node.policy.show(policy_for({"netns": netns.name}, "first"))
            with node.pod() as pod:
                self.becomes_ready(node, pod)
                self.assertNotIn("may make any system call", pod.log())
                self.check_http(node)
                self.assertTrue(self.raised(netns), pod.log())
                self.assertEqual(self.mode_by_socket(node), "auto")
                raised = netns.somaxconn()
                node.policy.show(policy_for({"netns": netns.name}, "second"))
                self.assertTrue(comes_true(lambda: "'second' loaded" in pod.log()), pod.log())
                self.check_memory(node, pod)
                self.assertEqual(pod.stop(), 0)
            self.assertGreaterEqual(netns.somaxconn(), raised)  # a pod that is rolled drops nothing

            with node.pod() as pod:
                self.becomes_ready(node, pod)
                said = pod.exec("bpftune-k8s", "restore")  # to what was there before the first one
                self.assertEqual(said.returncode, 0, said.stdout + said.stderr)
                self.assertEqual(netns.somaxconn(), 16, said.stdout)
                history = json.loads(pod.exec("bpftune-k8s", "history", "-o", "json").stdout)
                self.assertIn("restored", {each["state"] for each in history}, history)
                self.assertEqual(pod.stop(), 0)
            self.assertEqual(netns.somaxconn(), 16)

    def check_http(self, node):
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


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
