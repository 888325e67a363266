# SPDX-License-Identifier: Apache-2.0
"""A node for one container of the DaemonSet: the image's root, folders in place of the node's own, and runc."""

import contextlib
import json
import os
import pathlib
import random
import subprocess
import tempfile
import time

import image
import oci
from manifests import container_of


@contextlib.contextmanager
def containerd(folder):
    """One of its own; yields the command that asks it."""
    folder = pathlib.Path(folder)
    address = folder / "containerd.sock"
    config = f'''version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "{address}"
[ttrpc]
address = "{address}.ttrpc"
'''
    (folder / "config.toml").write_text(config)
    with open(folder / "log", "wb") as log:
        command = ["containerd", "--config", folder / "config.toml"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        ctr = ["ctr", "--address", address, "--namespace", "k8s.io"]
        while subprocess.run([*ctr, "version"], capture_output=True, check=False).returncode != 0:
            if process.poll() is not None:
                raise RuntimeError((folder / "log").read_text())
            time.sleep(0.1)
        yield ctr
    finally:
        process.terminate()
        process.wait()


def seccomp_of_containerd(archive, daemon_set):
    """The profile that containerd makes for the container's capabilities: what RuntimeDefault means there."""
    container = container_of(daemon_set)
    capabilities = [f"--cap-add=CAP_{each}" for each in container["securityContext"]["capabilities"]["add"]]
    with tempfile.TemporaryDirectory() as folder, containerd(folder) as ctr:
        native = ("--snapshotter", "native")  # not every kernel here has overlayfs
        subprocess.run([*ctr, "images", "import", *native, archive], check=True, capture_output=True)
        create = [*ctr, "containers", "create", *native, "--seccomp", *capabilities, container["image"], "test"]
        subprocess.run(create, check=True, capture_output=True)
        said = subprocess.run([*ctr, "containers", "info", "test"], check=True, capture_output=True, text=True)
        subprocess.run([*ctr, "containers", "delete", "test"], check=True, capture_output=True)
        return json.loads(said.stdout)["Spec"]["linux"]["seccomp"]


class ConfigMap:
    """A folder as kubelet makes it: `..data` is a link to the folder of the moment, and is swapped."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        (self.folder / "policy.yaml").symlink_to("..data/policy.yaml")
        self._version = 0

    def show(self, text):
        self._version += 1
        version = self.folder / f"..{self._version}"
        version.mkdir()
        (version / "policy.yaml").write_text(text)
        link = self.folder / "..data_tmp"
        link.symlink_to(version.name)
        link.rename(self.folder / "..data")


class Node:
    """`daemon_set`: what the container is made of. Needs root and runc."""

    def __init__(self, archive, daemon_set, runtime_default):
        self.daemon_set, self._runtime_default = daemon_set, runtime_default
        self._stack = contextlib.ExitStack()
        self.folder = pathlib.Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self.root = self.folder / "root"
        self.root.mkdir()
        self.image = image.unpack(archive, self.root)
        self.policy = ConfigMap(self.folder / "policy")
        # Others run services here: this one has folders and an address of its own.
        self.elsewhere = {
            path: self.folder / path[1:]
            for path in ("/var/lib/bpftune-k8s", "/run/bpftune-k8s", "/run/containerd", "/var/log/pods")
        }
        for path in self.elsewhere.values():
            path.mkdir(parents=True)
        self.address = "127." + ".".join(str(random.randint(1, 254)) for _ in range(3))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stack.close()

    def _bundle(self, name, args):
        bundle = self.folder / name
        bundle.mkdir()
        values = {"HOST_IP": self.address}
        places = (self.policy.folder, self.elsewhere, values, self._runtime_default)
        config = oci.config_of(self.daemon_set, self.image, self.root, *places, args)
        config["linux"]["cgroupsPath"] = f"/{name}"
        (bundle / "config.json").write_text(json.dumps(config))
        return bundle

    def runc(self, *words, **options):
        return subprocess.run(["runc", "--root", self.folder / "runc", *words], check=False, **options)

    def run(self, *args):
        """A container that does one thing."""
        name = f"bpftune-test-{random.getrandbits(64):x}"
        return self.runc("run", "--bundle", self._bundle(name, list(args)), name, capture_output=True, text=True)

    @contextlib.contextmanager
    def pod(self):
        """The DaemonSet's container, which runs until the end."""
        pod = Pod(self, f"bpftune-test-{random.getrandbits(64):x}")
        try:
            yield pod
        finally:
            pod.kill()


class Pod:
    def __init__(self, node, name):
        self.node, self.name = node, name
        bundle = node._bundle(name, None)
        self._log = bundle / "log"
        with open(self._log, "wb") as log:
            command = ["runc", "--root", node.folder / "runc", "run", "--bundle", bundle, name]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def exec(self, *args):
        """As `kubectl exec`."""
        return self.node.runc("exec", self.name, *args, capture_output=True, text=True)

    def log(self):
        return self._log.read_text()

    def most_memory(self):
        """Bytes that its cgroup has had at once, with the kernel's for BPF maps."""
        said = self.node.runc("events", "--stats", self.name, capture_output=True, text=True)
        usage = json.loads(said.stdout)["data"]["memory"]["usage"]
        return usage.get("max") or usage["usage"]

    def stop(self):
        """As kubelet does first; its exit status."""
        self.node.runc("kill", self.name, "TERM")
        return self._process.wait(timeout=60)

    def kill(self):
        self.node.runc("delete", "--force", self.name, capture_output=True)
        self._process.wait()


class Namespace:
    """A network namespace with a name, and a server in it that bursts are sent to."""

    port = 8080

    def __init__(self, build, name):
        self._build, self.name = pathlib.Path(build), name
        subprocess.run(["ip", "netns", "add", name], check=True)
        self.shell("ip", "link", "set", "lo", "up")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["ip", "netns", "delete", self.name], check=True)

    def shell(self, *words):
        command = ["ip", "netns", "exec", self.name, *words]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

    def somaxconn(self):
        return int(self.shell("sysctl", "-n", "net.core.somaxconn"))

    @contextlib.contextmanager
    def server(self, somaxconn):
        self.shell("sysctl", "-qw", f"net.core.somaxconn={somaxconn}")
        command = ["ip", "netns", "exec", self.name, self._build / "slow-server", "--port", str(self.port)]
        command += ["--backlog", "4096", "--accept-per-second", "500"]
        with subprocess.Popen(command) as process:
            try:
                yield
            finally:
                process.kill()

    def burst(self, connections):
        target = f"127.0.0.1:{self.port}"
        words = ["--target", target, "--connections", str(connections), "--bursts", "1", "--every", "1s"]
        self.shell(self._build / "burst-client", *words)


def random_name():
    return f"bpftune-deploy-{os.getpid()}-{random.getrandbits(32):x}"
