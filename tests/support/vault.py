"""A vault of its own for a test: its people, what it printed, and whether a value stands in any of it."""

import base64
import contextlib
import json
import os
import re
import secrets
import subprocess
import tempfile
import urllib.parse
from pathlib import Path

from at_terminal import at_terminal

TEMPORARY = tempfile.TemporaryDirectory()
# Every value that was made, by what it is called: none of them may be seen anywhere.
VALUES: dict[str, str] = {}


def secret(name: str, awkward: bool = False) -> str:
    """A new value. An awkward one is written differently in JSON, in an address and in base64's two alphabets."""
    value = secrets.token_urlsafe(24) + ('"\\/ +&=%ö~?>' + secrets.token_urlsafe(9) if awkward else "")
    VALUES[f"{name} {secrets.token_hex(2)}"] = value
    return value


def forms(value: str) -> set[bytes]:
    """What gives a value away to who reads it as it is, or unpacks it once."""
    raw = value.encode()
    texts = {raw, json.dumps(value)[1:-1].encode(), json.dumps(value, ensure_ascii=False)[1:-1].encode()}
    texts |= {urllib.parse.quote(value, safe="").encode(), urllib.parse.quote_plus(value).encode(), raw.hex().encode()}
    for begin in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            # Without the characters that its neighbours have a part in, wherever it begins among them.
            texts.add(encode(b"\0" * begin + raw)[-(-begin * 8 // 6) : (begin + len(raw)) * 8 // 6])
    return texts


def given_away(data: bytes | str) -> list[str]:
    """The names of the values that stand in `data`."""
    data = data if isinstance(data, bytes) else data.encode("utf-8", "surrogateescape")
    return [name for name, value in VALUES.items() if any(form in data for form in forms(value))]


def scrubbed(text: object) -> str:
    text = str(text)
    for name, value in VALUES.items():
        text = text.replace(value, f"[{name}]").replace(json.dumps(value)[1:-1], f"[{name}]")
    return text


class Vault:
    """A vault in a folder of its own; `person` is at a terminal, `run` is not."""

    def __init__(self, binary: str, name: str, settings: str = ""):
        self.binary = binary
        self.folder = Path(TEMPORARY.name) / f"{name}-{secrets.token_hex(3)}"
        self.folder.mkdir()
        self.home = str(self.folder / "home")
        # Little enough that a test can say what a program's environment is, name by name.
        self.env = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LC_ALL": "C.UTF-8"}
        self.env |= {"UNSAID_HOME": self.home, "UNSAID_LOG": "debug"}
        self.said: list[str] = []
        recovery = self.folder / "recovery"
        self.unsaid("init", "--key", "file", "--recovery-file", str(recovery))
        recovery.unlink()
        [self.config] = Path(self.home).rglob("unsaid.toml")
        with open(self.config, "a") as config:
            config.write(settings)

    def run(self, *args: str, text: str = "", env: dict | None = None) -> subprocess.CompletedProcess:
        done = subprocess.run(
            [self.binary, *args], env={**self.env, **(env or {})}, input=text, capture_output=True, text=True, timeout=90,
            start_new_session=True, cwd=self.folder,
        )
        self.said += [done.stdout, done.stderr]
        return done

    def unsaid(self, *args: str, text: str = "") -> str:
        done = self.run(*args, text=text)
        if done.returncode:
            raise RuntimeError(f"unsaid {' '.join(args)}: {done.stderr}")
        return done.stdout

    def json(self, *args: str) -> dict:
        return json.loads(self.unsaid(*args, "--json"))

    def person(self, *args: str, typed: dict[str, str] | None = None) -> str:
        """At a terminal: what was printed and what was said there. `typed`: by the words it asks with, what is typed."""
        done = at_terminal([self.binary, *args], self.env, typed)
        told = done.stdout.decode() + done.stderr.decode()
        self.said.append(told)
        if done.returncode:
            raise RuntimeError(f"unsaid {' '.join(args)}: {told}")
        return told

    def enter(self, name: str, value: str, *args: str) -> str:
        self.unsaid("set", name, *args, text=value + "\n")
        return value

    def token(self, name: str, *args: str) -> str:
        """A token; what was printed is the token itself, and is not kept as said."""
        done = subprocess.run(
            [self.binary, "token", *args], env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
        )
        self.said.append(done.stderr)
        if done.returncode:
            raise RuntimeError(f"unsaid token {args[0]}: {done.stderr}")
        VALUES[f"token {name} {secrets.token_hex(2)}"] = done.stdout.strip()
        return done.stdout.strip()

    @contextlib.contextmanager
    def as_person(self, login: str):
        """As the vault of somebody else who works on the same data."""
        [user] = [user["id"] for user in self.json("user", "list", login)["users"] if user["login"] == login]
        before = self.config.read_text()
        self.config.write_text(re.sub(r'(?m)^user = ".*"$', f'user = "{user}"', before, count=1))
        try:
            yield
        finally:
            self.config.write_text(before)

    def files(self) -> dict[str, bytes]:
        return {str(file): file.read_bytes() for file in self.folder.rglob("*") if file.is_file()}

    def leaks(self) -> list[str]:
        """Values that stand in anything that was printed, logged or is kept in a file."""
        places = {"what was printed": "\n".join(self.said).encode("utf-8", "surrogateescape"), **self.files()}
        places["the audit log"] = self.run("log", "export").stdout.encode()
        return [f"{name} in {place}" for place, data in places.items() for name in given_away(data)]
