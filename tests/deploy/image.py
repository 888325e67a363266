# SPDX-License-Identifier: Apache-2.0
"""An image archive of scripts/image, taken apart."""

import json
import pathlib
import subprocess
import tarfile

from manifests import SOURCE


def make(archive, **environment):
    """In a network namespace of its own, where nothing can be fetched from."""
    command = ["unshare", "--net", SOURCE / "scripts/image", "--output", archive]
    subprocess.run(command, check=True, env=environment or None, stdout=subprocess.PIPE)


def documents_of(archive):
    """(manifest, configuration)"""
    with tarfile.open(archive) as tar:

        def read(path):
            return json.load(tar.extractfile(path))

        (entry,) = read("index.json")["manifests"]
        manifest = read(path_of(entry))
        return manifest, read(path_of(manifest["config"]))


def path_of(descriptor):
    return "blobs/" + descriptor["digest"].replace(":", "/")


def unpack(archive, folder):
    """Its file system below `folder`; returns what its configuration says of a container."""
    manifest, config = documents_of(archive)
    with tarfile.open(archive) as tar:
        for layer in manifest["layers"]:
            with tarfile.open(fileobj=tar.extractfile(path_of(layer))) as files:
                files.extractall(pathlib.Path(folder))
    return config["config"]
