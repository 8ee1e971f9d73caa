#!/usr/bin/env python3
"""Writes the list of functions that a server runs, for the linker (webhook/build.rs says why).

    tests/order.py PROGRAM MAP BENCH OUT

PROGRAM is the release binary, MAP the linker's map of it, BENCH the program of `make bench`. The program starts from a
folder and from a real API server, answers reviews on old and new connections, delivers Secrets and ends, and valgrind
notes each instruction that runs.
"""

import bisect
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
# The bench ends what it started without asking; what has run is written down often enough that little is lost.
TOOL = ["valgrind", "--quiet", "--tool=callgrind", "--dump-every-bb=3000000"]
FORMAT = ["--dump-instr=yes", "--compress-pos=no", "--compress-strings=no"]
REVIEWS = 40


def main():
    program, linked, bench, out = sys.argv[1:]
    for tool in ["valgrind", "openssl"]:
        if not shutil.which(tool):
            sys.exit(f"order: {tool} is missing; on Debian or Ubuntu: apt-get install {tool}")
    with tempfile.TemporaryDirectory() as directory:
        trace = pathlib.Path(directory)
        wrapper = trace / "spark-injector"
        command = [*TOOL, *FORMAT, f"--callgrind-out-file={trace}/trace.%p", os.path.abspath(program)]
        wrapper.write_text(f'#!/bin/sh\nexec {" ".join(command)} "$@"\n')
        wrapper.chmod(0o755)
        symbols = functions(linked)
        say("a server of a folder, under valgrind …")
        serve_folder(wrapper, trace)
        folder = ran(trace, symbols)
        say("a server of a cluster, under valgrind …")
        report = ["--json", str(trace / "report.json")]
        subprocess.run([bench, "--only", "cluster", "--quick", "--injector", str(wrapper), *report], check=True, stdout=subprocess.DEVNULL)
        cluster = ran(trace, symbols) - folder
    if len(folder) < 1000:
        sys.exit(f"order: only {len(folder)} functions ran, so {linked} is not the map of {program}; {out} stays as it was")
    # What every server runs in front of what only one does that follows a cluster.
    names = [name for part in [folder, cluster] for _, _, name in sorted(part)]
    pathlib.Path(out).write_text("".join(f"{name}\n" for name in names))
    size = sum(size for _, size, _ in folder | cluster)
    say(f"{len(names)} of {len(symbols)} functions, {size / 1e6:.1f} MB")


def say(text):
    print(f"order: {text}", file=sys.stderr, flush=True)


def serve_folder(program, directory):
    certificate, key = directory / "tls.crt", directory / "tls.key"
    pair = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost"]
    subprocess.run(["openssl", "req", *pair, "-keyout", key, "-out", certificate], check=True, stderr=subprocess.DEVNULL)
    arguments = ["--from", ROOT / "examples/platform", "--tls-cert", certificate, "--tls-key", key]
    addresses = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    server = subprocess.Popen([program, "serve", *arguments, *addresses], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        listening = json.loads(server.stdout.readline())["listening"]
        trust = ssl.create_default_context(cafile=certificate)
        trust.check_hostname = False
        for review in ["driver", "executor"]:
            body = (ROOT / f"tests/reviews/{review}.json").read_text()
            kept = http.client.HTTPSConnection(listening["review"], context=trust)
            for _ in range(REVIEWS):
                ask(kept, body)
            ask(http.client.HTTPSConnection(listening["review"], context=trust), body)
        admin = http.client.HTTPConnection(listening["admin"])
        for path in ["/livez", "/readyz", "/metrics"]:
            admin.request("GET", path)
            admin.getresponse().read()
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()


def ask(connection, body):
    connection.request("POST", "/mutate?timeout=5s", body, {"Content-Type": "application/json"})
    answer = json.loads(connection.getresponse().read())
    if "patch" not in answer["response"]:
        sys.exit(f"order: the review was not injected: {answer['response']}")


def ran(directory, symbols):
    """The functions that the traces name."""
    addresses = {address for file in directory.glob("trace.*") for address in executed(file)}
    return {symbol_at(symbols, address) for address in addresses} - {None}


def executed(file):
    """The addresses of a trace, as they stand in the binary: it is the only object that begins at 0 and has a name."""
    inside = False
    for line in file.open():
        if line.startswith("ob="):
            inside = line.rstrip().endswith("spark-injector")
        elif inside and (found := re.match(r"0x([0-9a-f]+) ", line)):
            yield int(found[1], 16)


def functions(file):
    """Address, size and name of each function in a map of lld, in the order of their addresses."""
    found, text = {}, False
    for line in open(file):
        fields = line.split()
        if len(fields) == 5 and fields[4].startswith("."):
            text = fields[4] == ".text"
        elif text and len(fields) == 5 and ":(" not in fields[4]:
            address, size = int(fields[0], 16), int(fields[2], 16)
            if size:
                found.setdefault(address, (address, size, fields[4]))
    return sorted(found.values())


def symbol_at(symbols, address):
    place = bisect.bisect_right(symbols, (address, float("inf"), "")) - 1
    if place >= 0 and address < symbols[place][0] + symbols[place][1]:
        return symbols[place]
    return None


if __name__ == "__main__":
    main()
