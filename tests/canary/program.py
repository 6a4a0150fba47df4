"""Runs the program as a person or an assistant would, and hands everything that it lets out to the evidence.

Where strace is there and we may use it, each command runs under it: what it writes is read from the system calls, and
it is held at its very end, so that its memory can be read when it has nothing left to do.
"""

import fcntl
import json
import os
import platform
import pty
import re
import select
import shutil
import signal
import subprocess
import termios
import threading
import time
from pathlib import Path

from evidence import Evidence, wait_for

CALLS = "write,writev,pwrite64,sendto,sendmsg,execve,openat,exit_group"
EXIT_GROUP = {"x86_64": "231", "aarch64": "94"}.get(platform.machine())
PAUSE_MS = 250
PATIENCE = 40


class Program:
    def __init__(self, binary: str, root: Path, home: Path, evidence: Evidence):
        self.binary, self.root, self.evidence = binary, root, evidence
        self.env = {
            "PATH": os.environ["PATH"], "HOME": str(root / "person"), "UNSAID_HOME": str(home), "TMPDIR": str(root / "tmp"),
            "XDG_RUNTIME_DIR": str(root / "runtime"), "UNSAID_LOG": "trace", "RUST_LOG": "trace", "RUST_BACKTRACE": "full",
            "TERM": "dumb", "USER": "tester",
        }
        for name in ("person", "tmp", "runtime", "work", "traces"):
            (root / name).mkdir(exist_ok=True, mode=0o700)
        self.may_look = os.geteuid() == 0
        self.strace = shutil.which("strace") if self.may_look and EXIT_GROUP else None
        # Files that are meant to hold a key or a code, and folders of files for a program.
        self.meant: list[str] = [str(root / "runtime")]
        self.runs = 0
        self.paused = 0
        self.created: set[str] = set()
        # Called when a program is held, for keys that it has just made.
        self.before_looking = lambda: None

    def traced(self, args: list[str], pause: bool) -> tuple[list[str], Path | None]:
        self.runs += 1
        if not self.strace:
            return [self.binary, *args], None
        trace = self.root / "traces" / f"{self.runs:04}"
        hold = ["-e", f"inject=exit_group:delay_enter={PAUSE_MS * 1000}"] if pause else []
        return [self.strace, "-f", "-ff", "-qq", "-xx", "-y", "-v", "-s", "65536", "-e", f"trace={CALLS}", *hold,
                "-o", str(trace), self.binary, *args], trace

    def run(self, *args: str, stdin: bytes | None = b"", answers=None, env=None, pause=None, meanwhile=None, label=None):
        """One command: (status, standard output, standard error or what the terminal showed).

        With `answers`, pairs of a pattern and what to type, it gets a terminal. `meanwhile` is called once it runs.
        """
        label = label or " ".join(a if len(a) < 40 and a.isascii() else "…" for a in args)
        pause = self.may_look and pause is not False and bool(self.strace)
        command, trace = self.traced(list(args), pause)
        env = {**self.env, **(env or {})}
        keep = {"cwd": self.root / "work", "env": env}
        if answers is None:
            child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                     start_new_session=True, **keep)
            out, err = Collected(child.stdout), Collected(child.stderr)
            try:
                child.stdin.write(stdin or b"")
                child.stdin.close()
            except BrokenPipeError:
                pass
            shown = (out, err)
        else:
            ours, theirs = pty.openpty()
            child = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
                                     preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0), **keep)
            os.close(theirs)
            shown = (Typed(ours, answers),)
        if meanwhile:
            meanwhile(child.pid, trace)
        if pause:
            self.at_the_end(child, trace, label)
        try:
            status = child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
            raise RuntimeError(f"{label} hangs, having said: {[s.data()[-300:] for s in shown]}") from None
        texts = [s.done() for s in shown]
        for sink, text in zip(("stdout", "stderr") if len(texts) == 2 else ("terminal",), texts):
            self.evidence.add(sink, label, text)
        if trace:
            self.trace_of(trace, label, child.stdout)
        return (status, *texts) if len(texts) == 2 else (status, b"", texts[0])

    def pid_of(self, trace: Path) -> int | None:
        """The program itself, which has the lowest number of those that strace started."""
        pids = sorted(int(p.suffix[1:]) for p in trace.parent.glob(trace.name + ".*"))
        return pids[0] if pids else None

    def at_the_end(self, child, trace: Path, label: str) -> None:
        """Waits until the program is held at its exit, and looks at it."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and child.poll() is None:
            pid = self.pid_of(trace)
            if pid:
                try:
                    call = Path(f"/proc/{pid}/syscall").read_text().split()[:1]
                except (FileNotFoundError, ProcessLookupError):
                    return
                if call == [EXIT_GROUP]:
                    # Stopping strace keeps the program where it is for as long as we look.
                    os.kill(child.pid, signal.SIGSTOP)
                    try:
                        self.before_looking()
                        self.evidence.process(pid, f"{label}, at its end")
                    finally:
                        os.kill(child.pid, signal.SIGCONT)
                    self.paused += 1
                    return
            time.sleep(0.005)

    def trace_of(self, trace: Path, label: str, stdout=None) -> None:
        """The system calls of the program, not those of a program that it started.

        What goes to whoever asked, by a socket or the pipe `stdout`, is told apart from what goes to a log or a file.
        """
        asker = rb"\w+\(\d+<(?:socket:|TCP|pipe:\[%d\])" % (os.fstat(stdout.fileno()).st_ino if stdout else 0)
        for path in sorted(trace.parent.glob(trace.name + ".*")):
            lines = path.read_bytes().splitlines()
            path.unlink()
            kept, answers = [], []
            for raw in lines:
                line = re.sub(rb"(?:\\x[0-9a-f]{2})+", lambda m: bytes.fromhex(m.group().replace(b"\\x", b"").decode()), raw)
                if line.startswith(b"execve(") and self.binary.encode() not in line.split(b",", 1)[0]:
                    # From here on it is another program; what it was given is a flow of its own.
                    self.evidence.add("child execve", label, line)
                    break
                if line.startswith(b"execve("):
                    line = line.split(b", [", 1)[0] + b" (its own arguments and environment are in /proc)"
                if (made := re.match(rb'openat\([^"]*"([^"]*)", [^,)]*O_CREAT', line)):
                    self.created.add(made[1].decode(errors="replace"))
                # With -y a descriptor is followed by its path.
                to = re.match(rb"\w+\(\d+<([^>]*)>", line)
                if to and any(to[1].decode(errors="replace").startswith(path) for path in self.meant):
                    continue
                (answers if re.match(asker, line) else kept).append(line)
            self.evidence.add("system calls", label, b"\n".join(kept))
            self.evidence.add("answers written", label, b"\n".join(answers))


class Collected:
    """Reads a stream to its end beside everything else."""

    def __init__(self, stream):
        self.parts: list[bytes] = []
        self.thread = threading.Thread(target=self.read, args=(stream,), daemon=True)
        self.thread.start()

    def read(self, stream) -> None:
        while part := stream.read1(65536):
            self.parts.append(part)

    def data(self) -> bytes:
        return b"".join(self.parts)

    def done(self) -> bytes:
        self.thread.join(20)
        return self.data()


class Typed:
    """A terminal at which somebody answers each question once."""

    def __init__(self, fd: int, answers):
        self.fd, self.answers = fd, [(re.compile(pattern), text) for pattern, text in answers]
        self.parts: list[bytes] = []
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        unanswered = b""
        while True:
            try:
                part = os.read(self.fd, 65536)
            except OSError:
                return
            if not part:
                return
            self.parts.append(part)
            unanswered += part
            while self.answers and (asked := self.answers[0][0].search(unanswered)):
                _, answer = self.answers.pop(0)
                unanswered = unanswered[asked.end():]
                # What is typed before the prompt is ready is thrown away by it.
                time.sleep(0.05)
                os.write(self.fd, answer(asked) if callable(answer) else answer)

    def data(self) -> bytes:
        return b"".join(self.parts)

    def done(self) -> bytes:
        self.thread.join(5)
        return self.data()


class Server:
    """`unsaid serve`, and the raw frames to and from it."""

    def __init__(self, program: Program, *args: str, env=None, label="serve", user=None, cwd=None, cores=False):
        self.program, self.label = program, label
        command, self.trace = program.traced(["serve", *args], pause=False)
        if user is not None or cores:
            command, self.trace = [program.binary, "serve", *args], None

        def before():
            if cores:
                import resource
                resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            if user is not None:
                os.setgroups([])
                os.setgid(user)
                os.setuid(user)

        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                      cwd=cwd or program.root / "work", env={**program.env, **(env or {})},
                                      start_new_session=True, preexec_fn=before)
        self.err = Collected(self.child.stderr)
        self.frames: list[bytes] = []
        self.answers: dict[object, dict] = {}
        # What the person says to the next forms.
        self.forms: list[dict] = []
        self.arrived = threading.Condition()
        self.next_id = 0
        threading.Thread(target=self.read, daemon=True).start()

    @property
    def pid(self) -> int:
        if not self.trace:
            return self.child.pid
        return wait_for(lambda: self.program.pid_of(self.trace))

    def read(self) -> None:
        for line in self.child.stdout:
            self.frames.append(line)
            try:
                frame = json.loads(line)
            except ValueError:
                continue
            if "method" in frame and "id" in frame:
                result = self.forms.pop(0) if self.forms else {"action": "decline"}
                self.send({"jsonrpc": "2.0", "id": frame["id"], "result": result})
                continue
            with self.arrived:
                self.answers[str(frame.get("id"))] = frame
                self.arrived.notify_all()

    def send(self, frame) -> None:
        data = frame if isinstance(frame, bytes) else json.dumps(frame).encode()
        self.child.stdin.write(data + b"\n")
        self.child.stdin.flush()

    def ask(self, method: str, params: dict | None = None, wait: float = 30) -> dict:
        self.next_id += 1
        number = str(self.next_id)
        self.send({"jsonrpc": "2.0", "id": number, "method": method, "params": params or {}})
        with self.arrived:
            if not self.arrived.wait_for(lambda: number in self.answers, wait):
                raise TimeoutError(f"no answer to {method} ({self.label}): {self.err.data()[-500:]!r}")
            return self.answers.pop(number)

    def begin(self, client: str = "canary") -> dict:
        told = self.ask("initialize", {
            "protocolVersion": "2025-06-18", "capabilities": {"elicitation": {}}, "clientInfo": {"name": client, "version": "1"},
        })
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return told

    def call(self, tool: str, **arguments) -> dict:
        return self.ask("tools/call", {"name": tool, "arguments": arguments})

    def look(self, when: str, seconds: float = 1.0) -> None:
        """Its memory, when it has been idle for a second."""
        time.sleep(seconds)
        if self.program.may_look:
            self.program.evidence.process(self.pid, f"{self.label}, {when}")

    def end(self, how: int | None = None) -> int:
        pid = self.pid
        if how is None:
            self.child.stdin.close()
        else:
            os.kill(pid, how)
        try:
            status = self.child.wait(20)
        except subprocess.TimeoutExpired:
            self.child.kill()
            raise RuntimeError(f"{self.label} does not end") from None
        self.program.evidence.add("mcp frames", self.label, b"".join(self.frames))
        self.program.evidence.add("stderr", self.label, self.err.done())
        if self.trace:
            self.program.trace_of(self.trace, self.label, self.child.stdout)
        return status
