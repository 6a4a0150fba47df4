"""The canary harness: plants random values in every way in, does everything that can be done, and searches whatever came
out for them, in every form. `run.py BINARY`; exits with 1 if anything leaked, or if the search does not find a planted leak.

Catalogue: C-01, C-02, C-04, C-10, C-11, C-16, C-17, C-18, C-20, C-21, C-34, C-36, C-37, H-01, H-02, H-03, H-04 (key files), H-07, H-08,
W-01, W-03, W-05, W-07. Sealed forms take Python's `cryptography`, expired links a C compiler; what is missing is said.
"""

import os
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import assistant
import flows
import web
from canaries import Search
from control import control
from evidence import Evidence
from hardening import hardening

BEGAN = time.monotonic()


def say(text: str) -> None:
    print(f"[{time.monotonic() - BEGAN:5.1f} s] {text}", flush=True)


def main(binary: str) -> int:
    os.umask(0o022)
    root = Path(tempfile.mkdtemp(prefix="canary-"))
    os.chmod(root, 0o700)
    try:
        return inside(str(Path(binary).resolve()), root)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def inside(binary: str, root: Path) -> int:
    search = Search()
    evidence = Evidence(search)
    w = flows.World(binary, root, search, evidence)
    if not w.program.may_look:
        say("NOT DONE: memory and system calls, which take root")
    elif not w.program.strace:
        say("NOT DONE: system calls and memory at the end of a command, which take strace")
    found, made, missed = control(root / "control", w.program.strace, w.program.may_look)
    say(f"positive control: {found} of {made} planted leaks found")
    for leak in missed[:10]:
        say(f"  missed: {leak}")
    shutil.rmtree(root / "control")

    files = 0
    only = os.environ.get("CANARY_FLOWS", "").split(",") if os.environ.get("CANARY_FLOWS") else None
    for name, flow in (
        ("beginning", w.begin), ("entering", lambda: flows.entering(w)), ("importing", lambda: flows.importing(w)), ("misplacing", lambda: flows.misplacing(w)),
        ("commanding", lambda: flows.commanding(w)), ("running", lambda: flows.running(w)), ("assisting", lambda: assistant.assisting(w)),
        ("serving", lambda: web.serving(w)), ("local pages", lambda: web.local(w)), ("behind a proxy", lambda: web.behind(w)), ("expiring", lambda: web.expired(w)),
        ("ending", lambda: assistant.ending(w)), ("crashing", lambda: flows.crashing(w)), ("keeping", lambda: flows.keeping(w)),
        ("hardening", lambda: say(hardening(w))),
    ):
        if only and name not in only and name != "beginning":
            continue
        try:
            flow()
        except (RuntimeError, TimeoutError, OSError, KeyError) as e:
            w.problems.append(f"{name} broke off: {e!r}")
        files += w.files()
        say(f"{name}: {len(search.canaries)} canaries planted, {w.program.runs} processes, {w.program.paused} read at their end")
    evidence.searched()
    if not only:
        web.proven(w)
    strangers = sorted(path for path in w.program.created if path.startswith("/") and not path.startswith((str(root), "/dev/")))
    if strangers:
        w.problems.append(f"files were made outside of our folder: {strangers}")
    return report(w, files, found == made)


def report(w: flows.World, files: int, is_valid: bool) -> int:
    kinds = sorted({c.kind for c in w.search.canaries.values()})
    table = defaultdict(int)
    for sink, _, canary, _ in w.evidence.hits:
        table[sink, w.search.canaries[canary].kind] += 1
    print(f"\n{'sink':22}{'KiB searched':>14}" + "".join(f"{kind:>12}" for kind in kinds))
    for sink in sorted(w.evidence.bytes):
        print(f"{sink:22}{w.evidence.bytes[sink] // 1024:>14}" + "".join(f"{table[sink, kind]:>12}" for kind in kinds))
    print(f"{len(w.search.canaries)} canaries in {len(w.search.forms)} forms; {files} files; answers: {', '.join(sorted(w.codes))}")
    grouped = defaultdict(list)
    for sink, label, canary, form in w.evidence.hits:
        grouped[sink, label].append(f"{canary} ({form})")
    for (sink, label), leaks in sorted(grouped.items())[:60]:
        print(f"LEAK {sink}: {label}: {'; '.join(leaks[:4])}{f' and {len(leaks) - 4} more' if len(leaks) > 4 else ''}")
    for problem in w.problems[:60]:
        print(f"PROBLEM {problem}")
    if not is_valid:
        print("INVALID: the positive control was not found whole")
    say(f"{len(w.evidence.hits)} leaks, {len(w.problems)} problems")
    return int(bool(w.evidence.hits or w.problems) or not is_valid)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
