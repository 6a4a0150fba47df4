"""Plants canaries in every way in, and does everything with them that can be done."""

import json
import os
import re
import signal
import sys
import time
from pathlib import Path

from canaries import Canary, Search, fresh, shaped
from evidence import Evidence
from program import Program, Server

CHALLENGE = (rb"type (\d{6})", lambda asked: asked[1] + b"\r")


class World:
    """One vault with everything in it, and what has been planted there."""

    def __init__(self, binary: str, root: Path, search: Search, evidence: Evidence):
        self.search, self.evidence, self.root = search, evidence, root
        self.home = root / "home"
        self.program = Program(binary, root, self.home, evidence)
        # What the person brings along: it holds canaries on purpose and is not the program's.
        self.brought = root / "brought"
        self.brought.mkdir()
        self.problems: list[str] = []
        self.codes: set[str] = set()

    def plant(self, name: str, kind: str = "value", value: bytes | None = None, allowed=()) -> bytes:
        is_kept_hashed = kind in ("link", "ticket", "session")
        return self.search.add(Canary(name, kind, value or fresh(), list(allowed), is_kept_hashed)).value

    def bring(self, name: str, content: bytes) -> str:
        path = self.brought / name
        path.write_bytes(content)
        return str(path)

    def unsaid(self, *args: str, wants: int | None = 0, **keep) -> bytes:
        """One command that must end with `wants`; `None` for any but a crash."""
        status, out, err = self.program.run(*args, **keep)
        crashed = status in (70, 101, 134, 139) or status < 0
        if status != wants if wants is not None else crashed:
            shown = " ".join(a if len(a) < 40 else "…" for a in args)
            # What it says is evidence too, and may hold a canary: the harness prints its code alone.
            code = re.search(rb"error\[(\w+)\]", err)
            self.problems.append(f"unsaid {shown} ended with {status} ({code[1].decode() if code else 'no code'})")
        return out

    def count(self, frame: dict) -> str:
        """The code of an answer."""
        if "error" in frame:
            data = frame["error"].get("data") or {}
            code = data.get("code") if isinstance(data, dict) else None
            code = code or f"protocol {frame['error']['code']}"
        else:
            told = frame.get("result", {})
            code = failure(told) if told.get("isError") else "ok"
        self.codes.add(str(code))
        return str(code)

    def begin(self) -> None:
        recovery = self.root / "recovery.txt"
        self.program.meant += [str(self.home / "keys"), str(recovery)]
        known = []

        def keys():
            if known or not recovery.exists():
                return
            known.append(True)
            line = (self.home / "keys" / "vault.key").read_text().split()
            self.plant("key file", "key", bytes.fromhex(line[1]))
            code = re.search(rb"(?:[0-9A-Z]{4}-){13}[0-9A-Z]{4}", recovery.read_bytes())[0]
            self.plant("recovery code", "key", code)
            self.plant("recovery code without dashes", "key", code.replace(b"-", b""))

        self.program.before_looking = keys
        self.unsaid("init", "--user", "tester", "--recovery-file", str(recovery))
        keys()
        self.program.before_looking = lambda: None

    def files(self) -> int:
        """Every file that stands now, but for those that are meant to hold a canary."""
        meant = {self.home / "keys", self.root / "recovery.txt", self.brought, self.root / "traces"}
        meant |= {path for path in self.root.glob("*/keys")} | set(self.root.glob("recovery*.txt"))
        return self.evidence.folder(self.root, meant)


def failure(told: dict) -> str:
    """The code of a tool's failure, which is told as JSON in a text."""
    try:
        return json.loads(told["content"][0]["text"])["code"]
    except (KeyError, IndexError, TypeError, ValueError):
        return "error"


def entering(w: World) -> None:
    """Values, by every way in, kept in every place."""
    run, plant = w.unsaid, w.plant
    run("team", "create", "crew")
    for scope in ("personal", "team:crew", "org"):
        word = scope.split(":")[0]
        key = word.upper()
        run("set", f"STDIN_{key}", "--stdin", "--scope", scope, stdin=plant(f"api key, stdin, {word}") + b"\n")
        run("set", f"PROMPT_{key}", "--scope", scope, answers=[(rb"nothing is shown", plant(f"api key, prompt, {word}") + b"\r")])
        run("set", f"PATH_{key}", "--scope", scope, "--type", "api_key", "--file", w.bring(f"key-{word}", plant(f"api key, path, {word}") + b"\n"))
        run("set", f"BASIC_{key}", "--scope", scope, "--type", "basic", "--username", "app", "--stdin", stdin=plant(f"password, stdin, {word}"))
        run("set", f"FILE_{key}", "--scope", scope, "--type", "file", "--file",
            w.bring(f"content-{word}.json", b'{"private": "' + plant(f"file, path, {word}") + b'"}\n'))
        fields = {name: plant(f"field {name}, stdin, {word}").decode() for name in ("TOKEN", "SALT")}
        run("set", f"CUSTOM_{key}", "--scope", scope, "--field", "REGION:plain", "--field", "TOKEN", "--field", "SALT", "--stdin",
            stdin=json.dumps({"REGION": "eu-central", **fields}).encode())
    # A user name is shown while it is typed, and nowhere else.
    user = plant("user name, prompt", allowed=[("terminal", "set BASIC_PROMPT")])
    run("set", "BASIC_PROMPT", "--type", "basic",
        answers=[(rb"User name", user + b"\r"), (rb"nothing is shown", plant("password, prompt") + b"\r")])
    for call in w.program.evidence.search.canaries.values():
        if call.name == "user name, prompt":
            call.allowed.append(("system calls", "set BASIC_PROMPT"))
    run("set", "CUSTOM_PROMPT", "--field", "ONE", "--field", "TWO",
        answers=[(rb"ONE.*shown", plant("field ONE, prompt") + b"\r"), (rb"TWO.*shown", plant("field TWO, prompt") + b"\r")])
    run("set", "PASTED", answers=[(rb"nothing is shown", b"\x1b[200~" + plant("api key, pasted") + b"\n" + plant("second line, pasted") + b"\x1b[201~\r")])
    run("set", "FILE_STDIN", "--type", "file", "--stdin", stdin=plant("file, stdin") * 3)
    run("set", "STDIN_PERSONAL", "--stdin", stdin=plant("api key, replaced") + b"\n")
    # Wrong ones, after the value was read.
    run("set", "TWO_LINES", answers=[(rb"nothing is shown", plant("first of two lines") + b"\r" + plant("second of two lines") + b"\r")], wants=None)
    run("set", "TOO_LONG", "--stdin", stdin=plant("too large a value") * 3000, wants=None)
    run("set", "NOT-A NAME", "--stdin", stdin=plant("value of a bad name"), wants=2)
    run("set", "PATH", "--stdin", stdin=plant("value of a reserved name"), wants=None)
    run("set", "BAD_JSON", "--field", "A", "--field", "B", "--stdin", stdin=b'{"A": "' + plant("value in broken JSON") + b'", "B": ', wants=2)
    run("set", "NO_PLACE", "--scope", "team:nobody", "--stdin", stdin=plant("value for no team"), wants=None)
    run("set", "NUL", "--stdin", stdin=plant("value with NUL") + b"\0tail", wants=None)
    run("set", "NOT_UTF8", "--stdin", stdin=plant("value that is no UTF-8") + b"\xff\xfe", wants=None)


def importing(w: World) -> None:
    run, plant = w.unsaid, w.plant
    text = b"# a comment\nIMP_ONE=" + plant("import, dotenv") + b"\nexport IMP_TWO='" + plant("import, quoted") + b"'\nLD_PRELOAD=" \
        + plant("import, refused name") + b"\nbroken line " + plant("import, broken line") + b"\nIMP_EMPTY=\n"
    env = w.bring("app.env", text)
    run("import", env, "--dry-run")
    run("import", env, "--yes")
    run("import", env, "--yes", "--scope", "org", "--env", "prod", "--json")
    run("import", env, "--yes", "--replace")
    run("import", w.bring("shell.env", b"export SH_ONE=\"" + plant("import, shell") + b"\"\nSH_TWO=$(cat " + plant("import, command") + b")\n"),
        "--dialect", "shell", "--yes", wants=None)
    run("import", w.bring("app.json", json.dumps({"JS_ONE": plant("import, json").decode(), "JS_TWO": {"deep": plant("import, nested json").decode()}}).encode()),
        "--yes", "--scope", "team:crew", wants=None)
    run("import", w.bring("docker.env", b"DK_ONE=" + plant("import, docker") + b"\n"), "--dialect", "docker", "--yes")
    run("import", w.bring("unit.env", b"SD_ONE=\"" + plant("import, systemd") + b"\"\n"), "--dialect", "systemd", "--yes")
    run("import", w.bring("binary.env", b"\xff\xfe" + plant("import, no text") + b"\0"), "--yes", wants=None)
    run("import", w.bring("project.toml", b"[run]\nonly = [\"" + plant("import, wrong file") + b"\"]\n"), "--yes", wants=None)
    # A project's file and a configuration with a value in the wrong place.
    (w.root / "work" / "sub").mkdir()


def misplacing(w: World) -> None:
    """Values where none belongs, on the command line. Only our own arguments may hold them, and the stack they stand on."""
    run = w.unsaid
    args = [("/proc cmdline", ""), ("/proc environ", ""), ("memory", "[[stack]]"), ("memory", "")]
    n = 0

    def wrong() -> str:
        nonlocal n
        n += 1
        return w.plant(f"on the command line, {n}", "misplaced", shaped(), args).decode()

    run("set", "ARGV_VALUE", wrong(), wants=None)
    run("set", "ARGV_EQUALS=" + wrong(), wants=None)
    run(wrong(), wants=None)
    run("set", "--value", wrong(), wants=None)
    run("set", "ARGV", "--" + wrong(), wants=None)
    run("set", "ARGV", "--scope", wrong(), "--stdin", wants=None)
    run("set", "ARGV", "--type", wrong(), "--stdin", wants=None)
    run("set", "ARGV", "--expires", wrong(), "--stdin", wants=None)
    run("set", "ARGV", "--description", wrong(), "--stdin", stdin=b"something", wants=None)
    run("set", wrong(), "--stdin", stdin=b"something", wants=None)
    run("show", wrong(), wants=None)
    run("list", wrong(), wants=None)
    run("list", "--type", wrong(), wants=None)
    run("edit", "STDIN_ORG", "--description", wrong(), wants=None)
    run("edit", "STDIN_ORG", "--tag", wrong(), wants=None)
    run("edit", "STDIN_ORG", "--rename", wrong(), wants=None)
    run("rm", "STDIN_ORG", "--reason", wrong(), "--yes", wants=None)
    run("share", "STDIN_ORG", "--with", wrong(), wants=None)
    run("run", "--only", wrong(), "--", "true", wants=None)
    run("approve", wrong(), wants=None)
    run("log", "--operation", wrong(), wants=None)
    run("user", "add", wrong(), wants=None)
    run("team", "create", wrong(), wants=None)
    run("provider", "add", "--service", "github", "--client-id", wrong(), wants=None)
    run("service", "show", wrong(), wants=None)
    run("init", "--key", wrong(), wants=None)
    run("key", "add", "passphrase:" + wrong(), wants=None)
    run("--org", wrong(), "status", wants=None)
    run("--as", wrong(), "status", wants=None)
    run("serve", "--toolsets", wrong(), wants=None)
    run("completions", wrong(), wants=None)
    run("mcp-config", wrong(), wants=None)
    run("status", env={"UNSAID_LOG": wrong()})
    (w.root / "work" / "sub" / ".unsaid.toml").write_text(f'[run]\nonly = ["{wrong()}"]\n')
    # That file is the person's own.
    (w.root / "work" / "sub" / ".unsaid.toml").rename(w.brought / ".unsaid.toml")


def commanding(w: World) -> None:
    """Every other command, with success and with errors."""
    run = w.unsaid
    for args in (
        ("status",), ("list",), ("list", "--json"), ("list", "--status", "active"), ("show", "STDIN_ORG"), ("show", "STDIN_ORG", "--json"),
        ("show", "STDIN_ORG", "--why"), ("show", "STDIN_ORG", "--usage"), ("policy", "show"), ("user", "list"), ("user", "add", "ada", "--name", "Ada"),
        ("team", "list"), ("team", "set", "crew", "ada"), ("share", "PATH_ORG", "--with", "ada"),
        ("service", "list", "git"), ("service", "show", "github"), ("service", "rotation", "github"), ("provider", "list"), ("approve",),
        ("log",), ("log", "--json"), ("log", "verify"), ("org", "list"), ("org", "create", "second"), ("key", "status"), ("doctor",), ("doctor", "--thorough", "--json"),
        ("mcp-config", "claude"), ("completions", "bash"), ("edit", "STDIN_ORG", "--description", "for the tests", "--json"), ("show", "NOT_THERE"),
        ("rm", "PATH_PERSONAL", "--yes"), ("restore", "PATH_PERSONAL"), ("rm", "PATH_PERSONAL", "--yes"),
        ("unshare", "PATH_ORG", "--with", "ada", "--yes"), ("--as", "ada", "list"), ("--as", "ada", "run", "--all", "--", "true"), ("list", "--verbose"),
    ):
        answers = [CHALLENGE] if args[0] == "share" else None
        run(*args, wants=None, pause=args[0] in ("share", "doctor", "log"), answers=answers)
    run("purge", "PATH_PERSONAL", wants=None, answers=[CHALLENGE])
    run("provider", "add", "--service", "github", "--client-id", "Iv1.example", "--name", "hub", wants=None, answers=[CHALLENGE])
    run("provider", "secret", "hub", "--stdin", stdin=w.plant("client secret, stdin") + b"\n")
    run("provider", "secret", "hub", answers=[(rb"Client secret of", w.plant("client secret, prompt") + b"\r")])
    run("provider", "secret", "hub", "--file", w.bring("client-secret", w.plant("client secret, path")))
    run("provider", "secret", "nobody", "--stdin", stdin=w.plant("client secret of nobody"), wants=4)
    run("provider", "list", "--json")


# Prints what it was given, in all the ways in which programs do.
CHILD = r'''
import base64, json, os, sys, urllib.parse
for name in sys.argv[1].split(","):
    value = os.environ[name]
    if os.path.exists(value):
        value = open(value).read()
    for out in (sys.stdout, sys.stderr):
        print(value, repr(value), json.dumps({"v": value}), value.encode().hex(), base64.b64encode(value.encode()).decode(),
              base64.urlsafe_b64encode(b"x" + value.encode()).decode(), base64.b64encode(("user:" + value).encode()).decode(),
              urllib.parse.quote(value), file=out)
        for c in value:
            out.write(c); out.flush()
        print(file=out, flush=True)
if len(sys.argv) > 2:
    open(sys.argv[2], "w").close()
    while os.path.exists(sys.argv[2]):
        import time; time.sleep(0.02)
'''


def running(w: World) -> None:
    """A program gets values, and prints them."""
    child = w.bring("child.py", CHILD.encode())
    names = ["STDIN_PERSONAL", "PROMPT_ORG", "IMP_ONE"]
    held = ["api key, replaced", "api key, prompt, org", "import, dotenv"]
    flag = w.root / "flag"
    # What the flow is for: the masker's own buffer while its child lives, the child's own environment.
    for name in held:
        w.search.canaries[name].allowed += [("child execve", "run …, with values"), ("memory", "run …, while its child lives")]

        # Its child has ended, and it is in exit_group: the frame of the last signal put the vector registers on the
        # stack, and the environment was copied with those. It goes with the process.
        w.search.canaries[name].allowed += [("memory", "at its end [[stack]]")]

    def meanwhile(pid: int, trace: Path | None) -> None:
        end = time.monotonic() + 60
        while not flag.exists() and time.monotonic() < end:
            time.sleep(0.01)
        program = w.program.pid_of(trace) if trace else pid
        if program and w.program.may_look:
            w.evidence.process(program, "run …, while its child lives")
        flag.unlink(missing_ok=True)

    python = sys.executable
    w.unsaid("run", "--only", ",".join(names), "--", python, child, ",".join(names), str(flag), meanwhile=meanwhile, label="run …, with values")
    # The control of H-01: what must be there is found there.
    where = "run …, while its child lives"
    seen = {canary for sink, label, canary in w.evidence.expected if sink == "memory" and where in label}
    if w.program.strace and seen != set(held):
        w.problems.append(f"the masker's own buffer holds {len(held)} values, and the search found {len(seen)}")
    w.unsaid("run", "--only", ",".join(names), "--", python, child, ",".join(names), label="run …, with values, at a terminal", answers=[])
    w.unsaid("run", "--only", "FILE_ORG", "--", python, child, "FILE_ORG", label="run …, with a file")
    w.unsaid("run", "--only", "STDIN_TEAM", "--file", "STDIN_TEAM", "--", python, child, "STDIN_TEAM", label="run …, with a value as a file")
    for name in held:
        w.search.canaries[name].allowed += [("child execve", "run …, that fails"), ("child execve", "run …, no such program")]
    w.unsaid("run", "--only", ",".join(names), "--", "/no/such/program", wants=127, label="run …, no such program")
    w.unsaid("run", "--only", ",".join(names), "--", "sh", "-c", "kill -9 $$", wants=137, label="run …, that fails")
    w.unsaid("run", "--only", "NOT_THERE,STDIN_ORG", "--", "true", wants=None, label="run …, a name is missing")
    w.unsaid("run", "--only", "STDIN_ORG", "--no-mask", "--", "true", wants=None, label="run …, without a mask or terminal")


def keeping(w: World) -> None:
    """Backup, restore, export, the keys."""
    run, plant = w.unsaid, w.plant
    phrase = plant("backup passphrase, stdin", "passphrase")
    backup = str(w.root / "one.backup.age")
    run("backup", backup, stdin=phrase + b"\n")
    other = plant("backup passphrase, prompt", "passphrase")
    asked = [(rb"New passphrase", other + b"\r"), (rb"again", other + b"\r")]
    run("backup", str(w.root / "two.backup.age"), answers=asked)
    run("restore-backup", backup, "--to", str(w.root / "restored"), stdin=phrase + b"\n")
    run("restore-backup", backup, "--to", str(w.root / "restored-2"), stdin=plant("wrong backup passphrase", "passphrase") + b"\n", wants=None)
    run("restore-backup", backup, "--to", str(w.root / "restored-3"), "--recovery-file", str(w.root / "recovery.txt"), "--key",
        "file:" + str(w.root / "restored-keys" / "keys" / "other.key"), stdin=phrase + b"\n", wants=None)
    run("list", env={"UNSAID_HOME": str(w.root / "restored")})
    run("log", "export", "--json")
    run("log", "export")
    run("log", "checkpoint", wants=None)

    slot = plant("passphrase of a slot", "passphrase")
    run("key", "add", "passphrase", answers=[(rb"New passphrase", slot + b"\r"), (rb"again", slot + b"\r")])
    key = fresh(48)
    plant("key in the environment", "key", key, [("/proc environ", "env:"), ("memory", "env:")])
    run("key", "add", "env:CANARY_KEY", env={"CANARY_KEY": key.decode()}, label="key add env:")
    run("key", "rotate", "--org-key")
    # A slot of a passphrase must be asked for its passphrase when the root is wrapped again.
    run("key", "rotate", "--recovery-file", str(w.root / "recovery-2.txt"), env={"CANARY_KEY": key.decode()},
        answers=[(rb"[Pp]assphrase", slot + b"\r")], wants=None, label="key rotate env:")
    run("key", "rotate", "--drop-unreadable", "--recovery-file", str(w.root / "recovery-3.txt"), wants=None)
    run("key", "remove", "env:CANARY_KEY", wants=None)
    run("key", "recover", "--code-file", str(w.root / "recovery.txt"), wants=None)
    run("key", "recover", "--code-file", w.bring("wrong-code", plant("wrong recovery code", "key")), wants=None)
    run("key", "recover", answers=[(rb"Recovery code", plant("wrong recovery code, typed", "key") + b"\r")], wants=None)
    run("doctor", "--thorough", wants=None)
    run("list")

    # A vault that opens with a passphrase and nothing else.
    phrase = plant("passphrase of a vault", "passphrase")
    asks = [(rb"New passphrase", phrase + b"\r"), (rb"again", phrase + b"\r")]
    home = {"UNSAID_HOME": str(w.root / "second")}
    run("init", "--key", "passphrase", "--recovery-file", str(w.root / "recovery-second.txt"), answers=asks, env=home)
    run("set", "BEHIND_A_PASSPHRASE", "--stdin", env=home, stdin=plant("behind a passphrase"), wants=7 if False else None)
    run("set", "BEHIND_A_PASSPHRASE", env=home,
        answers=[(rb"Passphrase", phrase + b"\r"), (rb"nothing is shown", plant("behind a passphrase, prompt") + b"\r")])
    run("list", env=home, answers=[(rb"Passphrase", plant("wrong passphrase", "passphrase") + b"\r")], wants=None)


def crashing(w: World) -> None:
    """kill -9 in the middle of changes; the next start cleans up."""
    import subprocess
    lines = b"".join(b"CRASH_%d=%s\n" % (n, w.plant(f"import, killed, {n}")) for n in range(6))
    env = w.bring("crash.env", lines)
    for after_ms in (15, 60, 150):
        child = subprocess.Popen([w.program.binary, "import", env, "--yes", "--replace"], env=w.program.env, cwd=w.root / "work",
                                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(after_ms / 1000)
        child.kill()
        child.wait()
        w.files()
    w.unsaid("import", env, "--yes", "--replace")
    w.unsaid("doctor", wants=None)
