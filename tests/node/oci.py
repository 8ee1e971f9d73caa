#!/usr/bin/env python3
"""Makes an OCI archive of tar archives and directories, without a daemon.

    tests/node/oci.py OUT.tar NAME:TAG CONFIG LAYER...

CONFIG is the image's `config` as JSON. A LAYER is a ready tar archive, or DIRECTORY=TARGET[:UID]: its content at that
path of the image, owned by UID (default 0) and group 0.
"""

import hashlib
import io
import json
import os
import pathlib
import platform
import sys
import tarfile
import tempfile

MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
OCI = "application/vnd.oci.image"


def layer(argument, scratch):
    """The layer as a tar archive."""
    directory, separator, rest = argument.partition("=")
    if not separator:
        return pathlib.Path(argument)
    target, _, owner = rest.partition(":")

    def owned(entry):
        entry.uid, entry.gid, entry.uname, entry.gname = int(owner or 0), 0, "", ""
        return entry

    handle, path = tempfile.mkstemp(dir=scratch)
    with os.fdopen(handle, "wb") as file, tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as archive:
        archive.add(directory, arcname=target.strip("/") or ".", filter=owned)
    return pathlib.Path(path)


def described(content, kind):
    return {"mediaType": f"{OCI}.{kind}", "digest": "sha256:" + hashlib.sha256(content).hexdigest(), "size": len(content)}


def main():
    out, name, config, *arguments = sys.argv[1:]
    out = pathlib.Path(out)
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch, tarfile.open(out, "w") as archive:

        def put(path, content):
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))

        def blob(content, kind):
            descriptor = described(content, kind)
            put("blobs/sha256/" + descriptor["digest"][7:], content)
            return descriptor

        layers = []
        for path in (layer(argument, scratch) for argument in arguments):
            # Hundreds of megabytes: never as a whole in memory.
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            archive.add(path, arcname=f"blobs/sha256/{digest}")
            layers.append({"mediaType": f"{OCI}.layer.v1.tar", "digest": f"sha256:{digest}", "size": path.stat().st_size})
        machine = MACHINES[platform.machine()]
        rootfs = {"type": "layers", "diff_ids": [each["digest"] for each in layers]}
        image = {"architecture": machine, "os": "linux", "config": json.loads(config), "rootfs": rootfs}
        manifest = {"schemaVersion": 2, "mediaType": f"{OCI}.manifest.v1+json", "layers": layers}
        manifest["config"] = blob(json.dumps(image).encode(), "config.v1+json")
        top = blob(json.dumps(manifest).encode(), "manifest.v1+json")
        names = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rpartition(":")[2]}
        put("index.json", json.dumps({"schemaVersion": 2, "manifests": [{**top, "annotations": names}]}).encode())
        put("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')


if __name__ == "__main__":
    main()
