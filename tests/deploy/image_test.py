#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What must hold of the container image. Needs root, for chroot.

    image_test.py BUILD-DIR
"""

import hashlib
import os
import pathlib
import stat
import subprocess
import sys
import tarfile
import tempfile
import unittest

sys.dont_write_bytecode = True  # nothing is left in the sources
import image  # noqa: E402
from manifests import container_of, of_kind, render  # noqa: E402

BUILD = pathlib.Path(sys.argv[1]).resolve()
SMALLER_THAN = 60 * 1000 * 1000


class Image(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.archive = pathlib.Path(cls.folder.name) / "image.tar"
        image.make(cls.archive)
        cls.root = pathlib.Path(cls.folder.name) / "root"
        cls.root.mkdir()
        cls.config = image.unpack(cls.archive, cls.root)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def files(self):
        return [each for each in self.root.rglob("*") if each.is_file() and not each.is_symlink()]

    def run_inside(self, *words):
        command = ["chroot", self.root, *self.config["Entrypoint"], *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def test_it_is_small(self):
        unpacked = sum(each.stat().st_size for each in self.files())
        print(f"{self.archive.stat().st_size / 2**20:.1f} MiB, unpacked {unpacked / 2**20:.1f} MiB", file=sys.stderr)
        self.assertLess(self.archive.stat().st_size, SMALLER_THAN)

    def test_the_same_sources_give_the_same_bytes(self):
        again = self.archive.with_name("again.tar")
        os.utime(BUILD / "bpftune-k8s")  # built again, to the same
        image.make(again, PATH=os.environ["PATH"], LC_ALL="C", TZ="Asia/Tokyo")
        self.assertEqual(*(hashlib.sha256(each.read_bytes()).hexdigest() for each in (self.archive, again)))

    def test_its_times_are_those_that_were_asked_for(self):
        archive = self.archive.with_name("dated.tar")
        image.make(archive, PATH=os.environ["PATH"], SOURCE_DATE_EPOCH="86400")
        self.assertEqual(image.documents_of(archive)[1]["created"], "1970-01-02T00:00:00Z")
        with tarfile.open(archive) as tar:
            self.assertEqual({each.mtime for each in tar}, {86400})

    def test_the_program_runs_with_what_is_there(self):
        said = self.run_inside("--version")
        self.assertEqual((said.returncode, said.stderr), (0, ""))
        host = subprocess.run([BUILD / "bpftune-k8s", "--version"], capture_output=True, text=True, check=True)
        self.assertEqual(said.stdout, host.stdout)

    def test_there_is_one_program_and_no_shell(self):
        self.assertEqual([each.name for each in (self.root / "usr/bin").iterdir()], ["bpftune-k8s"])
        self.assertFalse((self.root / "bin").exists())
        elsewhere = [each for each in self.files() if not each.is_relative_to(self.root / "usr/lib")]
        programs = [each for each in elsewhere if os.access(each, os.X_OK) and not each.name.startswith("ld-linux")]
        self.assertEqual([each.name for each in programs], ["bpftune-k8s"])

    def test_all_is_roots_and_only_root_can_change_it(self):
        for each in self.root.rglob("*"):
            status = each.lstat()
            self.assertEqual((status.st_uid, status.st_gid), (0, 0), each)
            self.assertFalse(status.st_mode & (stat.S_ISUID | stat.S_ISGID), each)
            if not each.is_symlink():
                self.assertFalse(status.st_mode & (stat.S_IWGRP | stat.S_IWOTH), each)

    def test_each_library_comes_with_its_licence(self):
        known = {each.name for each in (self.root / "var/lib/dpkg/status.d").iterdir()}
        notices = {each.name for each in (self.root / "usr/share/doc").iterdir() if (each / "copyright").stat().st_size}
        self.assertLessEqual(known | {"bpftune-k8s", "libcli11-dev", "nlohmann-json3-dev"}, notices)
        for library in self.files():
            if ".so" in library.name:
                said = subprocess.run(
                    ["dpkg-query", "-S", f"*/{library.name}"], capture_output=True, text=True, check=True
                ).stdout
                self.assertTrue({each.split(":")[0] for each in said.splitlines()} & known, library)

    def test_it_is_named_and_labelled_as_the_manifests_want_it(self):
        with tarfile.open(self.archive) as tar:
            index = image.json.load(tar.extractfile("index.json"))
        name = index["manifests"][0]["annotations"]["io.containerd.image.name"]
        (daemon_set,) = of_kind(render("observe"), "DaemonSet")
        self.assertEqual(name, container_of(daemon_set)["image"])
        labels = self.config["Labels"]
        self.assertEqual(labels["org.opencontainers.image.version"], name.rpartition(":")[2])
        self.assertRegex(labels["org.opencontainers.image.revision"], "^[0-9a-f]{40}$")

    def test_what_the_pod_mounts_has_a_place(self):
        (daemon_set,) = of_kind(render("observe"), "DaemonSet")
        for mount in container_of(daemon_set)["volumeMounts"]:
            self.assertTrue((self.root / mount["mountPath"][1:]).is_dir(), mount)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
