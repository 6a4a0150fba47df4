"""What the program let out, by sink: streams, frames, files, /proc, memory, system calls. And what of it was a canary."""

import os
import re
import time
from collections import defaultdict
from pathlib import Path

from canaries import Search

CHUNK = 1 << 22
OVERLAP = 1 << 12


class Evidence:
    def __init__(self, search: Search):
        self.search = search
        self.blobs: dict[str, list[tuple[str, bytes]]] = defaultdict(list)
        self.seen_files: dict[str, tuple] = {}
        self.bytes: dict[str, int] = defaultdict(int)
        # (sink, label, canary, form)
        self.hits: list[tuple[str, str, str, str]] = []

    def add(self, sink: str, label: str, data: bytes) -> None:
        """Keeps it for the search at the end, when every canary is known."""
        if data:
            self.blobs[sink].append((label, data))

    def note(self, sink: str, label: str, found) -> None:
        for canary, form in sorted(found):
            if not self.search.canaries[canary].may_be_in(sink, label):
                self.hits.append((sink, label, canary, form))

    def searched(self) -> None:
        """Searches what was kept."""
        for sink, blobs in self.blobs.items():
            # Together first: most of it holds nothing.
            joined = b"\0\0\0\0\0\0\0\0".join(data for _, data in blobs)
            self.bytes[sink] += len(joined)
            if self.search.inflated(joined):
                for label, data in blobs:
                    self.note(sink, label, self.search.inflated(data))
        self.blobs.clear()

    def folder(self, root: Path, without: set[Path]) -> int:
        """Every file below `root` as it is now, and its name. Returns how many were new or changed."""
        new = 0
        for folder, _, names in os.walk(root):
            for name in names:
                path = Path(folder, name)
                try:
                    about = path.lstat()
                    key = (about.st_mtime_ns, about.st_size, about.st_ino)
                    if any(path == w or w in path.parents for w in without) or not path.is_file():
                        continue
                    # Memory-mapped files change without a new time.
                    if self.seen_files.get(str(path)) == key and not name.endswith(("-wal", "-shm", ".db")):
                        continue
                    data = path.read_bytes()
                except FileNotFoundError:
                    continue
                self.seen_files[str(path)] = key
                sink = "backup" if name.endswith(".age") or ".backup" in name else "database" if ".db" in name else "files"
                self.add(sink, str(path.relative_to(root)), str(path).encode() + b"\0" + data)
                new += 1
        return new

    def process(self, pid: int, label: str, memory: bool = True) -> int:
        """What /proc shows of a process, and its writable memory. Returns the bytes of memory that were read."""
        for name in ("cmdline", "environ", "maps"):
            try:
                self.add(f"/proc {name}", label, Path(f"/proc/{pid}/{name}").read_bytes())
            except PermissionError:
                pass
        return self.memory(pid, label) if memory else 0

    def memory(self, pid: int, label: str) -> int:
        read = 0
        found = defaultdict(set)
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
                span, mode, *_ = line.split()
                if not mode.startswith("rw") or "[vvar" in line:
                    continue
                where = line.split(maxsplit=5)[5] if len(line.split(maxsplit=5)) == 6 else "anonymous"
                at, end = (int(part, 16) for part in span.split("-"))
                while at < end:
                    size = min(CHUNK, end - at)
                    try:
                        memory.seek(at)
                        data = memory.read(size)
                    except OSError:
                        # Secret memory cannot be read, not even by us: that is its point.
                        break
                    if not data:
                        break
                    if data.count(0) != len(data):
                        read += len(data)
                        packed = squeezed(data)
                        for hit in self.search.find(packed, in_memory=True):
                            found[where].add(hit)
                            if os.environ.get("CANARY_DEBUG") and hit[1] == "raw":
                                v = self.search.canaries[hit[0]].value
                                for n in range(len(v) - 7):
                                    i = packed.find(v[n:n + 8])
                                    if i >= 0:
                                        m = n + 8
                                        while m < len(v) and packed[i:i + m - n + 1] == v[n:m + 1]:
                                            m += 1
                                        print("DEBUG", label, where, hex(at), hex(end), hit[0], "bytes", n, "to", m, packed[max(0, i - 64):i + 64], flush=True)
                                        break
                    at += size if at + size >= end else size - OVERLAP
        self.bytes["memory"] += read
        for where, hits in found.items():
            self.note("memory", f"{label} [{where}]", hits)
        return read


def squeezed(data: bytes) -> bytes:
    """The same without its empty pages, which are most of it."""
    return re.sub(rb"\0{4096,}", b"\0" * 16, data)


def wait_for(what, seconds: float = 20):
    """The first true answer of `what`, or a failure."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = what()
        if answer:
            return answer
        time.sleep(0.01)
    raise TimeoutError(getattr(what, "__name__", "waited in vain"))
