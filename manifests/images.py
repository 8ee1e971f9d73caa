#!/usr/bin/env python3
"""Builds the images that the manifests name, without a daemon: the final stages of the Dockerfile as OCI archives.

    manifests/images.py [--bin target/bin] [--out target/images]

Reads the static binaries that `make build` leaves and the last stage of each name in the Dockerfile (USER, ENTRYPOINT,
LABEL), and writes one archive per image, for `ctr -n k8s.io images import`, `podman load`, `docker load`,
`kind load image-archive` or `skopeo copy oci-archive:`. The same binaries give the same bytes: no time, no user, no
compression is in them. Prints each archive with the image's digest, for `--init-image NAME@sha256:…`.
"""

import argparse
import hashlib
import io
import json
import pathlib
import re
import shlex
import struct
import sys
import tarfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What a reference without a registry means to every runtime.
REGISTRY = "docker.io"
MACHINES = {62: "amd64", 183: "arm64"}
PT_INTERP = 3


def fail(why):
    sys.exit(f"images: {why}")


def architecture(path, program):
    """The architecture of a static 64-bit Linux program."""
    if program[:5] != b"\x7fELF\x02":
        fail(f"{path} is no 64-bit ELF program")
    machine = struct.unpack_from("<H", program, 18)[0]
    start = struct.unpack_from("<Q", program, 32)[0]
    size, count = struct.unpack_from("<HH", program, 54)
    kinds = [struct.unpack_from("<I", program, start + index * size)[0] for index in range(count)]
    if PT_INTERP in kinds:
        fail(f"{path} is not static: an image from scratch has no loader for it; run `make build`")
    return MACHINES.get(machine) or fail(f"{path} is for an unknown machine ({machine})")


def stages():
    """The stages `FROM scratch` of the Dockerfile: name, and their config as an image has it."""
    lines = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    found, config = {}, None
    for line in lines:
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            scratch = re.fullmatch(r"scratch AS (\S+)", rest)
            config = {"Labels": {}} if scratch else None
            if scratch:
                found[scratch[1]] = config
        elif config is None or not word or word.startswith("#"):
            continue
        elif word == "COPY":
            config["copy"] = rest.split()[-1].lstrip("/")
        elif word == "USER":
            config["User"] = rest
        elif word == "ENTRYPOINT":
            config["Entrypoint"] = json.loads(rest)
        elif word == "LABEL":
            config["Labels"].update(pair.split("=", 1) for pair in shlex.split(rest))
        else:
            fail(f"the Dockerfile has {word} in a stage from scratch, which this script does not know")
    return found


def pack(entries):
    """A tar archive with nothing in it but names, modes and contents."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, mode, content in entries:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def compact(value):
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def build(name, config, program, machine, out):
    """Writes one archive and returns its path and the image's digest."""
    program_name = config.pop("copy")
    version = config["Labels"]["org.opencontainers.image.version"]
    layer = pack([(program_name, 0o755, program)])
    blobs = {}

    def blob(content, media_type):
        digest = hashlib.sha256(content).hexdigest()
        blobs[digest] = content
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    oci = "application/vnd.oci.image"
    layers = [blob(layer, f"{oci}.layer.v1.tar")]
    rootfs = {"type": "layers", "diff_ids": [layers[0]["digest"]]}
    image = {"architecture": machine, "os": "linux", "config": config, "rootfs": rootfs}
    manifest = {"schemaVersion": 2, "mediaType": f"{oci}.manifest.v1+json", "layers": layers}
    manifest["config"] = blob(compact(image), f"{oci}.config.v1+json")
    top = blob(compact(manifest), f"{oci}.manifest.v1+json")
    reference = f"{REGISTRY}/spark-injector/{name}:{version}"
    names = {"io.containerd.image.name": reference, "org.opencontainers.image.ref.name": version}
    index = {"schemaVersion": 2, "mediaType": f"{oci}.index.v1+json"}
    index["manifests"] = [{**top, "annotations": names, "platform": {"architecture": machine, "os": "linux"}}]
    path = {digest: f"blobs/sha256/{digest}" for digest in blobs}
    # For versions of Docker that do not read the layout.
    docker = [{"Config": path[manifest["config"]["digest"][7:]], "RepoTags": [reference],
               "Layers": [path[layers[0]["digest"][7:]]]}]
    entries = [("oci-layout", compact({"imageLayoutVersion": "1.0.0"})), ("index.json", compact(index)),
               ("manifest.json", compact(docker))]
    entries += sorted((path[digest], content) for digest, content in blobs.items())
    archive = out / f"{name}-{version}.tar"
    archive.write_bytes(pack((name, 0o644, content) for name, content in entries))
    return archive, f"{reference}@{top['digest']}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "target/bin", help="where the static binaries are")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "target/images", help="where the archives go")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name, config in stages().items():
        path = args.bin / config["copy"]
        if not path.is_file():
            fail(f"{path} is not there: run `make build`")
        program = path.read_bytes()
        archive, image = build(name, config, program, architecture(path, program), args.out)
        print(f"{archive}  {image}")


if __name__ == "__main__":
    main()
