#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the command blocks of docs/kubernetes.md, in order, but those that are marked as not run here.

    docs_test.py BUILD-DIR
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True  # nothing is left in the sources
from manifests import SOURCE, container_of, objects_of, of_kind, pod_of, policy_of  # noqa: E402

BUILD = pathlib.Path(sys.argv[1]).resolve()
PAGE = SOURCE / "docs/kubernetes.md"
BLOCK = re.compile(r"(?:<!-- not run here: ([^>]+) -->\n)?```sh\n(.*?)```\n", re.DOTALL)


def blocks():
    """[(why it is not run or "", its commands)]"""
    return BLOCK.findall(PAGE.read_text())


def clone_in(folder):
    """What the commands need of a clone; what they leave beside it is gone afterwards."""
    clone = pathlib.Path(folder) / "bpftune-k8s"
    clone.mkdir()
    for each in ("scripts", "deploy", "policies"):
        shutil.copytree(SOURCE / each, clone / each)
    for each in (".git", "LICENSE", "userspace"):
        (clone / each).symlink_to(SOURCE / each)
    (clone / "build").mkdir()
    (clone / "build/bpftune-k8s").symlink_to(BUILD / "bpftune-k8s")
    return clone


def documents():
    """What is YAML on the page."""
    return re.findall(r"```yaml\n(.*?)```\n", PAGE.read_text(), re.DOTALL)


# Debian's Prometheus is built without it, and so cannot check it.
DISCOVERY = re.compile(r"    kubernetes_sd_configs:\n(?: {6}.*\n)+")
HEAD = "apiVersion: bpftune-k8s.io/v1alpha1\nkind: NodeTuningPolicy\nmetadata: {name: page}\n"


class Page(unittest.TestCase):
    def test_every_piece_of_a_policy_or_a_configuration_is_one_that_its_program_takes(self):
        for text in documents():
            with tempfile.TemporaryDirectory() as folder, self.subTest(text=text):
                file = pathlib.Path(folder) / "file.yaml"
                checks = {
                    "spec:": ([BUILD / "bpftune-k8s", "policy", "check", file], HEAD + text),
                    "scrape_configs:": (["promtool", "check", "config", file], text),
                }
                command, whole = checks[text.splitlines()[0]]
                file.write_text(DISCOVERY.sub("", whole))
                said = subprocess.run(command, capture_output=True, text=True, check=False)
                self.assertEqual(said.returncode, 0, said.stdout + said.stderr)

    def test_every_block_of_commands_is_run_or_says_why_not(self):
        page = PAGE.read_text()
        self.assertEqual(page.count("```sh\n"), len(blocks()))
        self.assertEqual(page.count("not run here: "), sum(bool(why) for why, _ in blocks()))
        for why, commands in blocks():
            if re.search(r"(?<!/)\b(kubectl|sudo) ", commands):
                self.assertTrue(why, commands)  # no test has a cluster, or changes this machine

    def test_commands_that_are_not_run_are_shell_and_name_what_is_there(self):
        for _, commands in blocks():
            subprocess.run(["bash", "-n"], input=commands, text=True, check=True)
            for path in re.findall(r"(?<!/)\bdeploy/[\w./-]+", commands):
                self.assertTrue((SOURCE / path).exists(), path)
            for command, words in re.findall(r" -- bpftune-k8s ([a-z]+)([^|\n]*)", commands):
                asked = [BUILD / "bpftune-k8s", command, "--help"]
                shown = subprocess.run(asked, capture_output=True, text=True, check=False)
                self.assertEqual(shown.returncode, 0, command)
                for option in re.findall(r"--[a-z-]+", words):
                    self.assertIn(option, shown.stdout, command)

    def test_the_commands_do_what_the_page_says(self):
        with tempfile.TemporaryDirectory() as folder:
            clone = clone_in(folder)
            commands = "set -eu\n" + "\n".join(commands for why, commands in blocks() if not why)
            ran = subprocess.run(["bash"], input=commands, cwd=clone, capture_output=True, text=True, check=False)
            self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)
            self.assertTrue((clone / "build/bpftune-k8s-image.tar").exists())
            self.check_values(objects_of(clone.parent / "cluster"))

    def check_values(self, objects):
        (daemon_set,) = of_kind(objects, "DaemonSet")
        container = container_of(daemon_set)
        self.assertEqual(container["image"], "registry.example/platform/bpftune-k8s:0.1.0")
        self.assertEqual(container["resources"]["limits"]["memory"], "512Mi")
        self.assertEqual(daemon_set["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"], 1)
        self.assertEqual(daemon_set["spec"]["template"]["metadata"]["labels"]["team"], "platform")
        self.assertNotIn("team", daemon_set["spec"]["selector"]["matchLabels"])
        self.assertIs(pod_of(daemon_set)["hostPID"], True)
        self.assertIn("name: our-cluster", policy_of(objects, daemon_set))
        self.assertEqual(len(of_kind(objects, "PodMonitor")), 1)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
