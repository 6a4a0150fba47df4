"""Connects, refreshes, uses and ends OAuth connections against real authorization servers, as a person and as programs.

connecting.py BINARY --node NODE --oidc FOLDER [--only parts]

FOLDER holds the packages of ../providers/oidc. A line is printed for each check; the status is 1 if one failed.

Catalogue: O-03, O-10, O-12, O-14, O-19, O-21, O-22, O-23, O-24, O-25, P-02, P-06, V-01 to V-26.
"""

import argparse
import contextlib
import http.client
import http.cookiejar
import json
import os
import pty
import re
import secrets
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "providers"))
sys.path.insert(0, str(HERE.parent / "support"))
sys.dont_write_bytecode = True

import client as oauth_client  # noqa: E402
import running  # noqa: E402
from at_terminal import at_terminal  # noqa: E402

options = argparse.ArgumentParser()
options.add_argument("binary")
options.add_argument("--node", required=True)
options.add_argument("--oidc", required=True)
options.add_argument("--only")
GIVEN = options.parse_args()
BINARY = os.path.abspath(GIVEN.binary)
TEMPORARY = tempfile.TemporaryDirectory()

failures = 0


def check(part: str, what: str, holds: object, told: object = "") -> None:
    global failures
    failures += not holds
    print(f"{'ok  ' if holds else 'FAIL'} {part:10} {what}" + ("" if holds else f": {str(told)[:700]}"), flush=True)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Vault:
    """A vault of its own, that may call the providers of this test."""

    def __init__(self, name: str, ca: str, bases: list[str], more: str = ""):
        self.folder = Path(TEMPORARY.name) / f"{name}-{secrets.token_hex(3)}"
        self.folder.mkdir()
        self.home = str(self.folder / "home")
        self.env = {**os.environ, "UNSAID_HOME": self.home}
        self.said: list[str] = []
        recovery = str(self.folder / "recovery")
        self.unsaid("init", "--key", "file", "--recovery-file", recovery)
        hosts = ", ".join(json.dumps(urllib.parse.urlsplit(base).netloc) for base in bases)
        [file] = Path(self.home).rglob("unsaid.toml")
        with open(file, "a") as config:
            config.write(f"\n[outbound]\nallow = [{hosts}]\nca_file = {json.dumps(ca)}\n{more}")

    def run(self, *args: str, text: str = "", timeout: float = 60) -> subprocess.CompletedProcess:
        done = subprocess.run(
            [BINARY, *args], env=self.env, input=text, capture_output=True, text=True, timeout=timeout,
            start_new_session=True,
        )
        self.said += [done.stdout, done.stderr]
        return done

    def unsaid(self, *args: str, text: str = "") -> str:
        done = self.run(*args, text=text)
        if done.returncode:
            raise RuntimeError(f"unsaid {' '.join(args)}: {done.stderr}")
        return done.stdout

    def json(self, *args: str, text: str = "") -> dict:
        return json.loads(self.unsaid(*args, "--json", text=text))

    def person(self, *args: str) -> str:
        done = at_terminal([BINARY, *args], self.env)
        self.said += [done.stdout.decode(), done.stderr.decode()]
        if done.returncode:
            raise RuntimeError(f"unsaid {' '.join(args)}: {done.stderr.decode()}")
        return done.stdout.decode()

    def show(self, name: str) -> dict:
        return self.json("show", name)

    def handed(self, name: str) -> subprocess.CompletedProcess:
        """The SHA-256 of the value that a program is given, so that no value is in an output of ours."""
        script = "import hashlib,os,sys;sys.stdout.write(hashlib.sha256(os.environ[sys.argv[1]].encode()).hexdigest())"
        return self.run("run", "--only", name, "--", sys.executable, "-c", script, name)

    def add(self, provider: str, *settings: str, secret: str = "") -> None:
        self.person("provider", "add", "--name", provider, *settings)
        if secret:
            self.unsaid("provider", "secret", provider, "--stdin", text=secret)

    def connection(self, name: str, provider: str) -> None:
        self.unsaid("set", name, "--type", "oauth", "--provider", provider)


class Person:
    """A person with a browser, who signs in at a provider as `user`."""

    def __init__(self, given: running.Settings, user: str = "alice"):
        self.browser = oauth_client.Browser(given.ca)
        self.password, self.user = given.password, user

    def consents(self, start: str, callback: str, decision: str = "allow") -> tuple[dict, str]:
        """From our start to the provider's answer: its parameters, and the page that we then show."""
        back, page = self.browser.visit(start, until=callback, user=self.user, password=self.password, decision=decision)
        if page is not None:
            return back, page.body.decode()
        return back, self.comes_back(callback, back)

    def comes_back(self, callback: str, back: dict) -> str:
        return self.browser.get(f"{callback}?{urllib.parse.urlencode(back)}").body.decode()


class Connecting:
    """`unsaid connect` at work; `line` waits for what it prints."""

    def __init__(self, vault: Vault, *args: str):
        self.vault = vault
        self.process = subprocess.Popen(
            [BINARY, "connect", *args], env=vault.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, start_new_session=True,
        )

    def line(self, pattern: str) -> str:
        for text in self.process.stderr:
            self.vault.said.append(text)
            found = re.search(pattern, text)
            if found:
                return found[1]
        raise RuntimeError(f"{pattern} was not printed: {self.vault.said[-5:]}")

    def end(self, text: str = "") -> tuple[int, str]:
        out, err = self.process.communicate(text or None, timeout=60)
        self.vault.said += [out, err]
        return self.process.returncode, out + err


def connect(vault: Vault, name: str, person: Person, callback: str, decision: str = "allow") -> tuple[int, str, str]:
    """By a browser on this machine: the status, what was printed, and the page it ended at."""
    at_work = Connecting(vault, name)
    start = at_work.line(r"(http://\S+/oauth/start/\S+)")
    _, page = person.consents(start, callback, decision)
    status, said = at_work.end()
    return status, said, page


def words(page: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", page.split("<main", 1)[-1].split("</main>")[0]).split())[1:]


def told(vault: Vault, providers: list) -> list[str]:
    """Tokens that stand in anything we printed, logged or keep readable."""
    everything = "\n".join(vault.said)
    for file in Path(vault.home).rglob("*"):
        if file.is_file() and file.suffix not in (".key",):
            everything += file.read_bytes().decode("latin-1")
    everything += vault.run("log", "--json").stdout
    return [token for provider in providers for token in provider.issued() if len(token) > 8 and token in everything]


def a_whole_life(part: str, provider, given, vault: Vault, callback: str, name: str, account: str) -> None:
    """Connect, use, refresh, reconnect in place, another account, disconnect: of one connection."""
    alice, bob = Person(given), Person(given, "bob")
    status, said, page = connect(vault, name, alice, callback)
    check(part, "a browser on this machine connects it", status == 0 and "is connected" in page, said + words(page))
    shown = vault.show(name)
    connection = (shown.get("configuration") or {}).get("connection") or {}
    check(part, "it is labelled by the account's own name", shown.get("account") == account, shown)
    check(part, "it is active", shown["status"]["status"] == "active", shown["status"])
    check(part, "it is fresh by itself", connection.get("refresh_due_at"), connection)
    handed = vault.handed(name)
    check(part, "a program is given the access token", handed.returncode == 0 and len(handed.stdout) == 64, handed.stderr)

    before = provider.counts()["token_answers"].get("refresh_token", 0)
    vault.unsaid("refresh", name)
    again = vault.handed(name)
    check(part, "a refresh gives another token", again.returncode == 0 and again.stdout != handed.stdout, again.stderr)
    after = provider.counts()["token_answers"].get("refresh_token", 0)
    check(part, "by one request", after == before + 1, (before, after))
    tested = vault.json("test", name)
    check(part, "a test says whose it is", tested["verdict"] == "valid" and tested["account"] == account, tested)

    identity = shown["id"]
    at_work = Connecting(vault, name)
    _, page = bob.consents(at_work.line(r"(http://\S+/oauth/start/\S+)"), callback)
    said = at_work.line(r"(another account)")
    at_work.process.terminate()
    at_work.end()
    check(part, "another account is noticed and asked about", "another account" in page and "is connected" not in said, words(page))
    check(part, "and nothing is changed until the person says so", vault.show(name)["account"] == account)
    status, said, page = connect(vault, name, Person(given), callback)
    shown = vault.show(name)
    check(part, "the same account connects it again in place", status == 0 and shown["id"] == identity, said + words(page))

    done = at_terminal([BINARY, "disconnect", name, "--json"], vault.env)
    answer = json.loads(done.stdout or b"{}")
    check(part, "disconnecting is confirmed by the service", answer.get("at_service") == "confirmed", (answer, done.stderr))
    shown = vault.show(name)
    check(part, "and it is disconnected", shown["status"]["status"] == "disconnected", shown["status"])
    handed = vault.handed(name)
    check(part, "a program is refused then", handed.returncode == 125 and "not connected" in handed.stderr, handed.stderr)
    check(part, "no token stands anywhere", not told(vault, [provider]))


def flows() -> None:
    port = free_port()
    callback = f"http://127.0.0.1:{port}/oauth/callback"
    folder = Path(TEMPORARY.name) / "flows"
    folder.mkdir()
    given = running.settings(folder, [callback])
    with running.oidc(given, GIVEN.node, GIVEN.oidc) as oidc, running.second(given) as second:
        vault = Vault("flows", given.ca, [oidc.base, second.base])
        scopes = [word for scope in ("openid", "email", "offline_access", "api:read") for word in ("--scope", scope)]
        vault.add(
            "idp", "--issuer", oidc.base, "--client-id", "basic", "--callback-url", callback, *scopes,
            secret=given.secrets["basic"],
        )
        vault.connection("IDP_TOKEN", "idp")
        check("oidc", "before anybody connected it, it says so", "reauth_required" in json.dumps(vault.show("IDP_TOKEN")))
        a_whole_life("oidc", oidc, given, vault, callback, "IDP_TOKEN", "alice@example.test")

        vault.add(
            "post", "--issuer", oidc.base, "--client-id", "post", "--client-auth", "post", "--callback-url", callback, *scopes,
            secret=given.secrets["post"],
        )
        vault.connection("POST_TOKEN", "post")
        status, said, page = connect(vault, "POST_TOKEN", Person(given, "carol"), callback)
        check("post", "a client that proves itself in the body connects", status == 0, said + words(page))

        vault.add("registered", "--issuer", oidc.base, "--callback-url", callback, *scopes)
        vault.connection("REG_TOKEN", "registered")
        status, said, page = connect(vault, "REG_TOKEN", Person(given), callback)
        check("register", "a client that registered itself connects", status == 0, said + words(page))

        at_work = Connecting(vault, "REG_TOKEN", "--no-browser")
        address = at_work.line(r"(https://\S+)")
        elsewhere = Person(given)
        back, page = elsewhere.browser.visit(address, until=callback, user="alice", password=given.password)
        status, said = at_work.end(f"{callback}?{urllib.parse.urlencode(back)}\n")
        check("paste", "an address that was pasted connects", status == 0 and "is connected" in said, said)

        vault.add("device", "--issuer", oidc.base, "--client-id", "device", "--client-auth", "none", *scopes)
        vault.connection("DEVICE_TOKEN", "device")
        at_work = Connecting(vault, "DEVICE_TOKEN", "--device")
        address = at_work.line(r"open (https://\S+) on any device")
        code = at_work.line(r"type this code there: (\S+)")
        person = Person(given)
        url = address if code in address else f"{address}?user_code={code}"
        person.browser.visit(url, user="alice", password=given.password, decision="allow")
        status, said = at_work.end()
        check("device", "a code typed elsewhere connects", status == 0 and "is connected" in said, said)

        vault.add(
            "machine", "--issuer", oidc.base, "--client-id", "client-credentials", "--grant", "client_credentials",
            "--scope", "api:read", secret=given.secrets["client-credentials"],
        )
        vault.connection("MACHINE_TOKEN", "machine")
        done = vault.run("connect", "MACHINE_TOKEN")
        check("client", "a client that is the account connects without a person", done.returncode == 0, done.stderr)
        first = vault.handed("MACHINE_TOKEN")
        vault.unsaid("refresh", "MACHINE_TOKEN")
        check("client", "and gets new tokens without one", vault.handed("MACHINE_TOKEN").stdout != first.stdout, first.stderr)

        status, said, page = connect(vault, "POST_TOKEN", Person(given, "deny"), callback, "deny")
        check("denied", "a no of the person is told as one", status != 0 and "consent_denied" in said, said + words(page))
        check("denied", "and what was there is there", vault.show("POST_TOKEN")["status"]["status"] == "active")

        settings = [
            "--auth-url", f"{second.base}/oauth/authorize", "--token-url", f"{second.base}/oauth/token",
            "--revocation-url", f"{second.base}/oauth/revoke", "--userinfo-url", f"{second.base}/user",
        ]
        vault.add(
            "second", *settings, "--client-id", "post", "--client-auth", "post", "--callback-url", callback,
            "--scope", "read:user", "--scope", "user:email", secret=given.secrets["post"],
        )
        vault.connection("SECOND_TOKEN", "second")
        a_whole_life("second", second, given, vault, callback, "SECOND_TOKEN", "alice@example.test")
        check("flows", "no token stands anywhere", not told(vault, [oidc, second]))


PARTS = {"flows": flows}


if __name__ == "__main__":
    for name, part in PARTS.items():
        if not GIVEN.only or name in GIVEN.only.split(","):
            try:
                part()
            except Exception as e:  # A part that breaks off is a failure, and the others run all the same.
                import traceback

                traceback.print_exc()
                check(name, "ran to its end", False, e)
    TEMPORARY.cleanup()
    sys.exit(bool(failures))
