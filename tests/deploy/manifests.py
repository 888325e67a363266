# SPDX-License-Identifier: Apache-2.0
"""The rendered manifests, for the tests that read them and for those that run what they say."""

import functools
import os
import pathlib
import subprocess
import tempfile
import unittest

import yaml

SOURCE = pathlib.Path(__file__).resolve().parents[2]
KUBERNETES = SOURCE / "deploy/kubernetes"
KUBECTL = SOURCE / "scripts/kubectl"
CANNOT_BE_HAD = 77  # exit status
OVERLAYS = ("observe", "canary", "auto")
COMPONENTS = ("crio", "ipv6", "k3s", "pod-monitor", "seccomp")


def objects_of(folder):
    """What `kubectl kustomize` makes of a folder."""
    command = [KUBECTL, "kustomize", folder]
    made = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if made.returncode == CANNOT_BE_HAD and os.environ.get("CI") != "true":
        raise unittest.SkipTest("no kubectl can be had here")
    made.check_returncode()
    return list(yaml.load_all(made.stdout, Loader=yaml.CSafeLoader))


@functools.cache
def render(overlay, *components):
    """The objects of an overlay, as a user's own kustomization takes it with components. Not to be changed."""
    if not components:
        return objects_of(KUBERNETES / "overlays" / overlay)
    with tempfile.TemporaryDirectory(dir=SOURCE / "build") as folder:  # kustomize takes relative paths only
        up = pathlib.Path("../..") / KUBERNETES.relative_to(SOURCE)
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [str(up / "overlays" / overlay)],
            "components": [str(up / "components" / each) for each in components],
        }
        (pathlib.Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        return objects_of(folder)


def of_kind(objects, kind):
    return [each for each in objects if each["kind"] == kind]


def pod_of(daemon_set):
    return daemon_set["spec"]["template"]["spec"]


def container_of(daemon_set):
    (container,) = pod_of(daemon_set)["containers"]
    return container


def volume_of(daemon_set, name):
    (volume,) = [each for each in pod_of(daemon_set)["volumes"] if each["name"] == name]
    return volume


def policy_of(objects, daemon_set):
    """The text of the policy that a DaemonSet mounts."""
    name = volume_of(daemon_set, "policy")["configMap"]["name"]
    (config,) = [each for each in of_kind(objects, "ConfigMap") if each["metadata"]["name"] == name]
    return config["data"]["policy.yaml"]
