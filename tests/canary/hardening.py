"""H-07: nobody of the same account looks into the server. Uses an account of nobody's where we are root."""

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

from flows import World
from program import Server

# Run as the same account as the server: each way in must be refused. Prints the ways that were not.
LOOK = r'''
import ctypes, os, sys
pid = int(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
for name in ("mem", "environ", "maps", "auxv", "syscall"):
    try:
        with open(f"/proc/{pid}/{name}", "rb") as f:
            if f.read(1): print(f"/proc/{name}")
    except OSError: pass
try:
    os.listdir(f"/proc/{pid}/fd"); print("/proc/fd")
except OSError: pass
if libc.ptrace(16, pid, None, None) == 0: print("ptrace")
class Span(ctypes.Structure): _fields_ = [("at", ctypes.c_void_p), ("size", ctypes.c_size_t)]
to = ctypes.create_string_buffer(8)
here, there = Span(ctypes.addressof(to), 8), Span(0x400000, 8)
if libc.process_vm_readv(pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0) >= 0 or ctypes.get_errno() != 1: print("process_vm_readv")
'''


def hardening(w: World) -> str:
    """What was done, in words."""
    nobody = 65534 if os.geteuid() == 0 else None
    home = w.root / "nobody"
    home.mkdir(mode=0o700)
    env = {"UNSAID_HOME": str(home / "home"), "HOME": str(home), "TMPDIR": str(home)}
    binary = w.program.binary
    look = home / "look.py"
    look.write_text(LOOK)
    as_them = []
    if nobody:
        # The folders above must let them through.
        os.chmod(w.root, 0o711)
        for path in (home, look):
            os.chown(path, nobody, nobody)
        if subprocess.run([binary, "--version"], user=nobody, group=nobody, extra_groups=[], capture_output=True).returncode != 0:
            return "H-07: NOT DONE: another account cannot start the program from where it is"
    who = dict(user=nobody, group=nobody, extra_groups=[]) if nobody else {}
    made = subprocess.run([binary, "init", "--user", "nobody"], env={**w.program.env, **env}, cwd=home, stdin=subprocess.DEVNULL,
                          capture_output=True, **who)
    if made.returncode:
        return "H-07: NOT DONE: the vault of another account could not be made"
    server = Server(w.program, env=env, label="serve, as nobody", user=nobody if nobody else os.geteuid(), cwd=home)
    server.begin()
    server.call("whoami")
    python = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
    inside = subprocess.run([python, str(look), str(server.pid)], cwd="/", capture_output=True, text=True, **who)
    if inside.returncode or inside.stdout:
        w.problems.append(f"H-07: the same account looks in by: {inside.stdout.split()} {inside.stderr[-200:]}")
    # The same ways must be open into a process that does not protect itself, or they prove nothing.
    open_one = subprocess.Popen(["sleep", "20"], **who)
    proof = subprocess.run([python, str(look), str(open_one.pid)], cwd="/", capture_output=True, text=True, **who).stdout.split()
    open_one.kill()
    if nobody and not {"/proc/environ", "ptrace"} <= set(proof):
        w.problems.append(f"H-07: the control could not be looked into: {proof}")
    server.end()
    return f"H-07: refused to the same account (the control was open by {', '.join(proof)})"
