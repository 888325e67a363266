# SPDX-License-Identifier: Apache-2.0
"""A pod's container as `runc` takes it: what kubelet and a CRI runtime make of a DaemonSet, from its rendered text."""

import json
import pathlib
import re

from manifests import KUBERNETES, container_of, pod_of, volume_of

# What containerd mounts, hides and protects in every container that is not privileged. Newer ones hide the second line
# too.
DEFAULT_MOUNTS = [
    ("/proc", "proc", "proc", ["nosuid", "noexec", "nodev"]),
    ("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
    ("/dev/shm", "tmpfs", "shm", ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
    ("/dev/mqueue", "mqueue", "mqueue", ["nosuid", "noexec", "nodev"]),
    ("/sys", "sysfs", "sysfs", ["nosuid", "noexec", "nodev", "ro"]),
    ("/sys/fs/cgroup", "cgroup", "cgroup", ["nosuid", "noexec", "nodev", "relatime", "ro"]),
]
MASKED = """/proc/acpi /proc/asound /proc/kcore /proc/keys /proc/latency_stats /proc/timer_list /proc/timer_stats
    /proc/sched_debug /sys/firmware /proc/scsi
    /proc/interrupts /sys/devices/virtual/powercap""".split()
READ_ONLY = "/proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger".split()
PROPAGATION = {"None": "rprivate", "HostToContainer": "rslave", "Bidirectional": "rshared"}


def mount(point, source, writable, propagation="None"):
    return {
        "destination": point,
        "type": "bind",
        "source": str(source),
        "options": ["rbind", PROPAGATION[propagation], "rw" if writable else "ro"],
    }


def mounts_of(daemon_set, policy_folder, elsewhere):
    """`elsewhere`: {folder of the node: what stands in for it}."""
    mounts = [dict(zip(("destination", "type", "source", "options"), each)) for each in DEFAULT_MOUNTS]
    for each in container_of(daemon_set)["volumeMounts"]:
        volume = volume_of(daemon_set, each["name"])
        if "configMap" in volume:
            source = policy_folder
        else:
            source = elsewhere.get(volume["hostPath"]["path"], volume["hostPath"]["path"])
        writable = not each.get("readOnly", False)
        mounts.append(mount(each["mountPath"], source, writable, each.get("mountPropagation", "None")))
    return mounts


def seccomp_of(profile, runtime_default):
    if profile["type"] == "RuntimeDefault":
        return runtime_default
    name = pathlib.Path(profile["localhostProfile"]).name
    return json.loads((KUBERNETES / "components/seccomp" / name).read_text())


def bytes_of(quantity):
    number, unit = re.fullmatch(r"([0-9]+)(Ki|Mi|Gi)", quantity).groups()
    return int(number) << {"Ki": 10, "Mi": 20, "Gi": 30}[unit]


def namespaces_of(pod):
    """Of a cgroup namespace a container has one of its own where the node has cgroup v2 alone; so it has here."""
    kinds = ["mount", "ipc", "cgroup"]
    kinds += [] if pod.get("hostNetwork") else ["network", "uts"]
    kinds += [] if pod.get("hostPID") else ["pid"]
    return [{"type": kind} for kind in kinds]


def process_of(container, image, values, args):
    """`values`: of $(NAME) in arguments. `args`: in place of the container's."""
    context = container["securityContext"]
    capabilities = [f"CAP_{each}" for each in context["capabilities"]["add"]]
    given = container["args"] if args is None else args
    for name, value in values.items():
        given = [each.replace(f"$({name})", value) for each in given]
    return {
        "terminal": False,
        "user": {"uid": context["runAsUser"], "gid": context["runAsGroup"]},
        "args": image["Entrypoint"] + given,
        "env": image["Env"] + [f"{name}={value}" for name, value in values.items()],
        "cwd": image["WorkingDir"],
        "capabilities": {each: capabilities for each in ("bounding", "effective", "permitted")},
        "noNewPrivileges": not context["allowPrivilegeEscalation"],
    }


def config_of(daemon_set, image, rootfs, policy_folder, elsewhere, values, runtime_default, args=None):
    """config.json of a bundle.

    `image`: `config` of the image's own configuration; `runtime_default`: what a runtime's own seccomp profile is;
    `args`: in place of the container's.
    """
    container = container_of(daemon_set)
    context = container["securityContext"]
    if context["capabilities"]["drop"] != ["ALL"]:
        raise ValueError("capabilities that a runtime grants by itself are not known here")
    return {
        "ociVersion": "1.0.2",
        "process": process_of(container, image, values, args),
        "root": {"path": str(rootfs), "readonly": context["readOnlyRootFilesystem"]},
        "mounts": mounts_of(daemon_set, policy_folder, elsewhere),
        "linux": {
            "namespaces": namespaces_of(pod_of(daemon_set)),
            "maskedPaths": MASKED,
            "readonlyPaths": READ_ONLY,
            "seccomp": seccomp_of(context["seccompProfile"], runtime_default),
            "resources": {
                "memory": {"limit": bytes_of(container["resources"]["limits"]["memory"])},
                "devices": [{"allow": False, "access": "rwm"}],
            },
        },
    }
