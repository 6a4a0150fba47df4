"""Starts the providers of this folder and has their handles; README.md says what each can do.

given = running.settings(folder, ["http://127.0.0.1:8740/callback"])
with running.faulty(given) as provider:
    provider.fault("/token", "html", count=2)
"""

import json
import os
import secrets
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import certificate
from client import Client

HERE = Path(__file__).resolve().parent
START_S = 60
# What a form, an address and a header each write in a way of their own.
SPECIAL = "+/=%:& "


@dataclass(frozen=True)
class Settings:
    """What the three have in common: one file says it to all of them."""

    file: str
    ca: str
    password: str
    secrets: dict[str, str]


def settings(folder: str | Path, redirect_uris: list[str]) -> Settings:
    """A new certificate, password and client secrets, in `folder`."""
    folder = Path(folder)
    made = certificate.make(folder)
    password = secrets.token_urlsafe(18)
    known = {
        # A space has two forms in use, and not every provider reads both.
        "basic": secrets.token_urlsafe(24) + SPECIAL.strip(),
        "post": secrets.token_urlsafe(24) + SPECIAL.strip(),
        "client-credentials": secrets.token_urlsafe(24),
    }
    file = folder / "settings.json"
    content = {
        "certificate": made.certificate,
        "key": made.key,
        "password": password,
        "redirect_uris": redirect_uris,
        "secrets": known,
    }
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        json.dump(content, out)
    return Settings(str(file), made.ca, password, known)


class Provider:
    """A provider that runs, until the block ends. `base` is where; `words` is what it said when it was ready."""

    def __init__(self, command: list[str], given: Settings):
        self.given = given
        self.client = Client(given.ca, timeout_s=120)
        self.errors: list[str] = []
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        # Read all the time, or the provider would wait for us once the pipe is full.
        threading.Thread(target=self._listen, daemon=True).start()
        late = threading.Timer(START_S, self.process.kill)
        late.start()
        self.words = self.process.stdout.readline().split()
        late.cancel()
        if self.words[:1] != ["ready"]:
            self.stop()
            raise RuntimeError(f"{command[1]} did not start: {''.join(self.errors)}")
        self.base = self.words[1]
        # Where the redirects of faulty.py lead.
        self.elsewhere = self.words[3] if len(self.words) > 3 else ""

    def _listen(self) -> None:
        for line in self.process.stderr:
            self.errors.append(line)

    def __enter__(self) -> "Provider":
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def _handle(self, name: str, body: dict | None = None) -> object:
        url = f"{self.base}/_{name}"
        answer = self.client.get(url) if body is None else self.client.post(url, body=body)
        if answer.status != 200:
            raise RuntimeError(f"/_{name} answered {answer.status}: {answer.body.decode()}")
        return answer.json

    def log(self) -> dict:
        """The counts, and an entry for each request under `requests`."""
        return self._handle("log")

    def requests(self, path: str) -> list[dict]:
        return [entry for entry in self.log()["requests"] if entry["path"] == path]

    def counts(self) -> dict:
        """As `log`, without the requests: for when there are many."""
        return self._handle("counts")

    def issued(self) -> list[str]:
        """Every token ever issued, codes too: to search other logs for."""
        return self._handle("issued")

    def grants(self, count: int, **more) -> list[str]:
        """Makes grants without a person: their refresh tokens."""
        return self._handle("grants", {"count": count, **more})["refresh_tokens"]

    def fault(self, path: str, kind: str, **more) -> None:
        self._handle("fault", {"path": path, "kind": kind, **more})

    def reset(self) -> None:
        """Empties the log and takes the faults back; grants and tokens stay."""
        self._handle("reset", {})


def oidc(given: Settings, node: str, folder: str | Path, *options: str) -> Provider:
    """`folder` is a copy of oidc/ with its packages installed."""
    return Provider([node, str(Path(folder) / "server.mjs"), given.file, *options], given)


def second(given: Settings, *options: str) -> Provider:
    return Provider([sys.executable, str(HERE / "second.py"), given.file, *options], given)


def faulty(given: Settings, *options: str) -> Provider:
    return Provider([sys.executable, str(HERE / "faulty.py"), given.file, *options], given)
