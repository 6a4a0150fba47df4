"""The positive control: something that leaks every canary in every form, which the harness must find, all of it.

Run as a program it is that leak: `control.py FOLDER` reads forms from standard input, writes them to its streams and to
files, keeps one in memory and one in its environment, and waits.
"""

import gzip
import os
import subprocess
import sys
import time
import zlib
from pathlib import Path

from canaries import Canary, Search, forms, fresh
from evidence import Evidence, wait_for


def control(root: Path, strace: str | None, may_look: bool) -> tuple[int, int, list[str]]:
    """(leaks found, leaks made, the names of those that were missed)."""
    root.mkdir()
    search = Search()
    evidence = Evidence(search)
    planted = [search.add(Canary(f"control {n}", "control", fresh())) for n in range(3)]
    planted.append(search.add(Canary("control key", "control", os.urandom(32))))
    kept = search.add(Canary("control in memory", "control", fresh()))
    named = search.add(Canary("control in the environment", "control", fresh()))
    said = search.add(Canary("control in an argument", "control", fresh()))

    wanted: set[tuple[str, str, str]] = set()
    lines = []
    for canary in planted:
        for name, (form, _) in forms(canary.value).items():
            wanted |= {(sink, canary.name, name) for sink in ("stdout", "files")}
            lines.append(form)
    for packed in ("gzip", "zlib"):
        wanted.add((packed, planted[0].name, "compressed raw"))

    command = [sys.executable, __file__, str(root / "leaked.txt"), said.value.decode()]
    trace = root / "trace"
    if strace:
        command = [strace, "-f", "-qq", "-xx", "-s", "65536", "-e", "trace=write", "-o", str(trace), *command]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "LEAKED": named.value.decode()})
    child.stdin.write(kept.value + b"\n" + b"\n".join(line.hex().encode() for line in lines) + b"\n\n")
    child.stdin.flush()
    out = b""
    while not out.endswith(b"all said\n"):
        out += child.stdout.readline()
    pid = int(out.split(b"\n", 1)[0])
    evidence.add("stdout", "control", out)
    evidence.process(pid, "control", memory=may_look)
    child.stdin.close()
    child.wait(20)

    evidence.folder(root, {trace})
    evidence.add("gzip", "control", b"before" + gzip.compress(b"x" * 50 + planted[0].value))
    evidence.add("zlib", "control", b"before" + zlib.compress(planted[0].value))
    wanted |= {("/proc cmdline", said.name, "raw"), ("/proc environ", named.name, "raw")}
    if may_look:
        wanted.add(("memory", kept.name, "raw"))
    if strace:
        evidence.add("system calls", "control", plain(trace.read_bytes()))
        wanted.add(("system calls", planted[0].name, "raw"))
    # A window of eight bytes alone, at each place, is a leak.
    for n in range(len(planted[1].value) - 7):
        evidence.add(f"window {n}", "control", b"??" + planted[1].value[n:n + 8] + b"??")
        wanted.add((f"window {n}", planted[1].name, "raw"))
    evidence.searched()
    found = {(sink, canary, form) for sink, _, canary, form in evidence.hits}
    # One spelling can be the same as another: then the first is told, and that is found.
    missed = [leak for leak in wanted if leak not in found]
    return len(wanted) - len(missed), len(wanted), [" / ".join(leak) for leak in missed]


def plain(trace: bytes) -> bytes:
    import re
    return re.sub(rb"(?:\\x[0-9a-f]{2})+", lambda m: bytes.fromhex(m.group().replace(b"\\x", b"").decode()), trace)


def leak(path: str) -> None:
    kept = bytearray(sys.stdin.buffer.readline().strip())
    out = sys.stdout.buffer
    out.write(b"%d\n" % os.getpid())
    with open(path, "wb") as file:
        while line := sys.stdin.buffer.readline().strip():
            for sink in (out, file):
                sink.write(bytes.fromhex(line.decode()) + b"\n")
    out.write(b"all said\n")
    out.flush()
    sys.stdin.buffer.read()
    assert kept


if __name__ == "__main__":
    leak(sys.argv[1])
