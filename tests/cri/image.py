#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An image of programs of this machine, with the shared libraries that they need, for `ctr images import`.

    image.py FILE.tar REFERENCE [PROGRAM...]

Beside the programs, each in /bin, there is busybox with its applets, and what nginx needs to start. Nothing is
downloaded. The same programs make the same image.
"""

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile

BUSYBOX = "/bin/busybox"
FOLDERS = ["bin", "etc", "tmp", "run", "var", "var/log", "var/log/nginx", "var/lib", "var/lib/nginx"]
FILES = {
    "etc/passwd": "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
}


def libraries_of(program):
    """What the dynamic linker loads for it, itself included; of a static program nothing."""
    said = subprocess.run(["ldd", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    return set(re.findall(r"(?:=> |^\s*)(/\S+) \(0x", said.stdout, re.M))


def add(tar, info, content=b""):
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def entry(name, mode, kind=tarfile.REGTYPE):
    info = tarfile.TarInfo(name)
    info.mode, info.type = mode, kind
    return info


def read(path):
    with open(path, "rb") as file:
        return file.read()


def layer(programs):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for folder in FOLDERS:
            add(tar, entry(folder, 0o1777 if folder == "tmp" else 0o755, tarfile.DIRTYPE))
        for name, text in FILES.items():
            add(tar, entry(name, 0o644), text.encode())
        for program in [BUSYBOX, *programs]:
            add(tar, entry("bin/" + os.path.basename(program), 0o755), read(program))
        for library in sorted(set().union(*map(libraries_of, programs))):
            add(tar, entry(library.lstrip("/"), 0o755), read(library))
        taken = {os.path.basename(program) for program in programs}
        applets = subprocess.run([BUSYBOX, "--list"], stdout=subprocess.PIPE, check=True, text=True).stdout.split()
        for applet in sorted(set(applets) - taken - {"busybox"}):
            info = entry("bin/" + applet, 0o777, tarfile.SYMTYPE)
            info.linkname = "busybox"
            tar.addfile(info)
    return out.getvalue()


def main(file, reference, *names):
    programs = [shutil.which(name) or sys.exit(f"image.py: no program {name}") for name in names]
    content = layer([os.path.realpath(program) for program in programs])
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
        "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Entrypoint": ["/bin/busybox", "sleep", "1000000"]},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(content).hexdigest()]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [reference], "Layers": ["layer.tar"]}]
    with tarfile.open(file, "w") as tar:
        add(tar, entry("layer.tar", 0o644), content)
        add(tar, entry("config.json", 0o644), json.dumps(config).encode())
        add(tar, entry("manifest.json", 0o644), json.dumps(manifest).encode())


if len(sys.argv) < 3:
    sys.exit(__doc__.strip())
main(*sys.argv[1:])
