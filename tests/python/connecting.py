"""Connects, refreshes, uses and ends OAuth connections against real authorization servers, as a person and as programs.

connecting.py BINARY --node NODE --oidc FOLDER [--only parts]

FOLDER holds the packages of ../providers/oidc. A line is printed for each check; the status is 1 if one failed.

Catalogue: O-03, O-10, O-12, O-14, O-19, O-21, O-22, O-23, O-24, O-25, P-02, P-06, V-01 to V-26.
"""

import argparse
import asyncio
import base64
import concurrent.futures
import contextlib
import functools
import hashlib
import html
import http.cookiejar
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.parse
import urllib.request
from datetime import datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "providers"))
sys.path.insert(0, str(HERE.parent / "support"))
sys.dont_write_bytecode = True

import client as oauth_client  # noqa: E402
import faults as provider_faults  # noqa: E402
import running  # noqa: E402
from at_terminal import at_terminal  # noqa: E402
from ports import free_port  # noqa: E402

options = argparse.ArgumentParser()
options.add_argument("binary")
options.add_argument("--node", required=True)
options.add_argument("--oidc", required=True)
options.add_argument("--only")
GIVEN = options.parse_args()
BINARY = os.path.abspath(GIVEN.binary)
TEMPORARY = tempfile.TemporaryDirectory()

failures = 0
printing = threading.Lock()


def check(part: str, what: str, holds: object, told: object = "") -> None:
    global failures
    with printing:
        failures += not holds
        print(f"{'ok  ' if holds else 'FAIL'} {part:10} {what}" + ("" if holds else f": {str(told)[:700]}"), flush=True)


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


def leaves(browser: oauth_client.Browser, start: str) -> str:
    """Says yes on the page that a terminal sends to; where it leads to then. An address of the provider's is one already."""
    if "/oauth/start/" not in start:
        return start
    asked = browser.get(start)
    if "I asked for this" not in asked.body.decode():
        raise RuntimeError(f"{asked.status} {words(asked.body.decode())}")
    return led_to(said_yes(browser, start).body.decode())


def said_yes(browser: oauth_client.Browser, start: str):
    origin = "{0.scheme}://{0.netloc}".format(urllib.parse.urlsplit(start))
    return browser.send(urllib.request.Request(start, b"", {"Origin": origin}, method="POST"))


def led_to(page: str) -> str:
    """Where a page of ours sends the person on to."""
    return html.unescape(re.search(r'href="(https?://[^"]+)" rel="noreferrer"', page)[1])


class Person:
    """A person with a browser, who signs in at a provider as `user`."""

    def __init__(self, given: running.Settings, user: str = "alice"):
        self.browser = oauth_client.Browser(given.ca)
        self.password, self.user = given.password, user

    def consents(self, start: str, callback: str, decision: str = "allow") -> tuple[dict, str]:
        """From our start to the provider's answer: its parameters, and the page that we then show."""
        back, page = self.browser.visit(leaves(self.browser, start), until=callback, user=self.user, password=self.password, decision=decision)
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
    return " ".join(re.sub(r"<[^>]*>", " ", re.split(r"<main[^>]*>", page, maxsplit=1)[-1].split("</main>")[0]).split())


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
    begun = vault.json("rotate", name, "--reason", "due")
    check(part, "its rotation is to connect it again in place", begun.get("way") == "reconnect", begun)
    early = vault.run("rotate", name, "--step", "verify")
    check(part, "which is not done before it is done", early.returncode != 0 and "unsaid connect" in early.stderr, early.stderr)
    status, said, page = connect(vault, name, Person(given), callback)
    shown = vault.show(name)
    check(part, "the same account connects it again in place", status == 0 and shown["id"] == identity, said + words(page))
    verified = vault.json("rotate", name, "--step", "verify")
    check(part, "with that the new tokens are the ones in use", verified["rotation"]["stage"] == "promoted", verified)
    asked = vault.run("rotate", name, "--step", "confirm", "--reason", "its owner says that it works")
    approval = re.search(r"unsaid approve (\w+)", asked.stderr)
    check(part, "where no consumer shows that it works, a person says so", asked.returncode == 3 and approval, asked.stderr)
    at_terminal([BINARY, "approve", approval[1]], vault.env)
    stages = [vault.json("rotate", name, "--step", step)["rotation"]["stage"] for step in ("revoke_old", "close")]
    check(part, "and it is closed: the service has ended the old ones itself", stages == ["old_revoked", "closed"], stages)

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


# --- what a provider can do to a refresh ---

AGAIN, PERSON = "by itself", "by a person"
UNREACHABLE = ("refresh_unreachable", "error", "refresh_unreachable")
REFUSED = ("refresh_refused", "error", "refresh_refused")
OVER = ("reauth_required", "expired", "reauth_required")
WORKS = ("", "active", "")

# The fault and its arguments; the error of a program that needs the token (none: it gets one), and the status and its
# reason then; part of what `show` says; what makes it work again once the fault is gone.
REFRESHING = [
    ("status", {"status": 500}, *UNREACHABLE, "5xx", AGAIN),
    ("status", {"status": 503, "headers": {"Retry-After": "1"}}, *UNREACHABLE, "5xx", AGAIN),
    ("status", {"status": 400}, *UNREACHABLE, "word that we do not know", AGAIN),
    ("status", {"status": 404, "body": "no such page"}, *UNREACHABLE, "without saying why", AGAIN),
    ("server_error", {}, *UNREACHABLE, "5xx", AGAIN),
    ("too_many", {"retry_after": "1"}, *UNREACHABLE, "less often", AGAIN),
    ("too_many", {"retry_after": "date"}, *UNREACHABLE, "less often", AGAIN),
    ("too_many", {"retry_after": "soon"}, *UNREACHABLE, "less often", AGAIN),
    ("too_many", {"retry_after": "86400"}, *UNREACHABLE, "less often", PERSON),
    # RFC 8628 §3.5 has it for devices; whoever says it here asks for patience, too.
    ("slow_down", {}, *UNREACHABLE, "", AGAIN),
    ("html", {}, *UNREACHABLE, "no JSON", AGAIN),
    ("empty", {}, *UNREACHABLE, "no JSON", AGAIN),
    ("no_content", {}, *UNREACHABLE, "no JSON", AGAIN),
    ("redirect", {"status": 302}, *UNREACHABLE, "elsewhere", AGAIN),
    ("redirect", {"status": 307}, *UNREACHABLE, "elsewhere", AGAIN),
    ("redirect", {"status": 308}, *UNREACHABLE, "elsewhere", AGAIN),
    ("drop", {}, *UNREACHABLE, "broke off", AGAIN),
    ("hang", {"seconds": 30}, *UNREACHABLE, "in time", AGAIN),
    ("drip", {"seconds": 1}, *UNREACHABLE, "in time", AGAIN),
    ("rst", {}, *UNREACHABLE, "broke off", AGAIN),
    ("cut", {}, *UNREACHABLE, "broke off", AGAIN),
    ("truncated", {}, *UNREACHABLE, "no JSON that could be understood", AGAIN),
    ("bom", {}, *UNREACHABLE, "no JSON that could be understood", AGAIN),
    ("utf16", {}, *UNREACHABLE, "no JSON that could be understood", AGAIN),
    ("duplicate_keys", {}, *UNREACHABLE, "no JSON that could be understood", AGAIN),
    ("content_type", {}, *UNREACHABLE, "no JSON", AGAIN),
    ("body_10mb", {}, *UNREACHABLE, "too large", AGAIN),
    ("body_10mb", {"stated": False}, *UNREACHABLE, "too large", AGAIN),
    ("body_100mb", {}, *UNREACHABLE, "too large", AGAIN),
    ("gzip_bomb", {}, *UNREACHABLE, "packed", AGAIN),
    ("many_headers", {}, *UNREACHABLE, "broke off", AGAIN),
    ("access_missing", {}, *UNREACHABLE, "no access token", AGAIN),
    ("access_control", {}, *UNREACHABLE, "no access token", AGAIN),
    ("type_mac", {}, *UNREACHABLE, "other than bearer", AGAIN),
    ("expires_zero", {}, *UNREACHABLE, "had expired when it came", AGAIN),
    ("expires_negative", {}, *UNREACHABLE, "had expired when it came", AGAIN),
    # A member that nobody reads may be as deep as it likes.
    ("deep", {}, *WORKS, "", AGAIN),
    ("expires_missing", {}, *WORKS, "", AGAIN),
    ("expires_huge", {}, *WORKS, "", AGAIN),
    ("expires_string", {}, *WORKS, "", AGAIN),
    ("type_missing", {}, *WORKS, "", AGAIN),
    ("refresh_missing", {}, *WORKS, "", AGAIN),
    ("scope_shrunk", {}, "", "needs_attention", "scopes_missing", "api:write", AGAIN),
    ("invalid_grant", {}, *OVER, "invalid_grant", PERSON),
    ("invalid_client", {}, *REFUSED, "invalid_client", PERSON),
    ("unauthorized_client", {}, *REFUSED, "unauthorized_client", PERSON),
]
# Answers that cannot be used, of a provider that has given another refresh token in them.
LOST = [
    ("lost", {}),
    ("truncated", {}),
    ("html", {"after": True}),
    # As of a gateway in front, whose patience was shorter than the provider's work.
    ("status", {"status": 504, "after": True}),
    ("hang", {"seconds": 12}),
]
ACCESS_S = 2
LIVES_S = {"expires_missing": None, "expires_huge": 366 * 86400, "expires_string": 3600}


def described(kind: str, more: dict) -> str:
    return f"{kind} {' '.join(str(value) for value in more.values())}".strip()


class Lane:
    """A provider whose tokens end at once, and a connection to it in a vault of its own."""

    def __init__(self, given: running.Settings, name: str, rotates: bool = True, ends_s: int = ACCESS_S):
        options = ("--access-ttl", str(ends_s), *(() if rotates else ("--no-rotate",)))
        self.given, self.provider = given, running.faulty(given, *options)
        self.callback = f"http://127.0.0.1:{free_port()}/oauth/callback"
        self.vault = Vault(name, given.ca, [self.provider.base, self.provider.elsewhere])
        # No address for the account: this provider takes a hint for whoever signs in.
        base = self.provider.base
        self.vault.add(
            "idp", "--auth-url", f"{base}/authorize", "--token-url", f"{base}/token", "--revocation-url", f"{base}/revoke",
            "--device-url", f"{base}/device", "--client-id", "basic", "--client-auth", "basic", "--callback-url", self.callback,
            "--scope", "api:read", "--scope", "api:write", secret=given.secrets["basic"],
        )
        self.vault.connection("TOKEN", "idp")

    def connected(self) -> "Lane":
        status, said, page = connect(self.vault, "TOKEN", Person(self.given), self.callback)
        if status:
            raise RuntimeError(f"{said} {words(page)}")
        return self

    def breaks(self, kind: str, more: dict) -> None:
        self.provider.reset()
        self.provider.fault("/token", kind, grant_type="refresh_token", count=-1, **more)

    def asked(self) -> list[dict]:
        """What the provider was asked for with a refresh token since the last fault."""
        return [entry for entry in self.provider.requests("/token") if entry["grant_type"] == "refresh_token"]

    def used(self) -> tuple[str, subprocess.CompletedProcess]:
        """By a program: the error, or none where it was given a token of this provider."""
        done = self.vault.handed("TOKEN")
        if done.returncode == 0:
            known = {hashlib.sha256(token.encode()).hexdigest() for token in self.provider.issued()}
            return ("" if done.stdout in known else "not_a_token_of_it"), done
        return error_of(done), done

    def refreshed(self) -> tuple[str, dict]:
        """By `unsaid refresh`: the error, or none."""
        done = self.vault.run("refresh", "TOKEN", "--json")
        told = json.loads(done.stdout if done.returncode == 0 else done.stderr.splitlines()[-1])
        return told.get("code", ""), told

    def patient(self, within: float = 20) -> tuple[str, dict]:
        """By `unsaid refresh`, as soon as the provider may be asked again."""
        end = time.monotonic() + within
        while True:
            error, told = self.refreshed()
            wait = retry_after(told)
            if error != "refresh_unreachable" or not wait or time.monotonic() + wait > end:
                return error, told
            time.sleep(wait)

    def dead(self) -> None:
        """Until the access token has ended."""
        time.sleep(ACCESS_S + 0.1)


def error_of(done: subprocess.CompletedProcess) -> str:
    found = re.search(r"error\[(\w+)\]", done.stderr)
    return found[1] if found else f"exit_{done.returncode}"


def retry_after(told: dict) -> int:
    return int(told.get("retry_after") or (told.get("details") or {}).get("retry_after") or 0)


def seconds_left(shown: dict) -> float | None:
    until = shown["configuration"]["connection"].get("token_expires_at")
    if until is None:
        return None
    return datetime.fromisoformat(until.replace("Z", "+00:00")).timestamp() - time.time()


def refreshing(lane: Lane, kind: str, more: dict, error: str, status: str, reason: str, message: str, mended: str) -> None:
    part, what = "refresh", described(kind, more)
    lane.dead()
    lane.breaks(kind, more)
    began = time.monotonic()
    got, done = lane.used()
    took = time.monotonic() - began
    shown = lane.vault.show("TOKEN")
    check(part, f"{what}: {error or 'works'}", got == error and done.returncode == (125 if error else 0), done.stderr or got)
    if kind in ("hang", "drip"):
        check(part, f"{what}: within its deadline", 8 < took < 14, took)
    stands = shown["status"]["status"] == status and reason in ("", *shown["status"]["reasons"])
    check(part, f"{what}: is {status} {reason}".rstrip(), stands and message in shown["status"]["message"], shown["status"])
    asked = lane.asked()
    check(part, f"{what}: was asked once", len(asked) == 1, asked)
    if kind == "redirect":
        seen = lane.provider.log()["elsewhere"]
        check(part, f"{what}: nothing is sent elsewhere", not seen, seen)
    if kind in LIVES_S:
        left, life = seconds_left(shown), LIVES_S[kind]
        check(part, f"{what}: ends when it says", left == life if life is None else left and life - 30 < left <= life, left)
    state = shown["configuration"]["connection"]["state"]
    check(part, f"{what}: the grant is {'over' if error == 'reauth_required' else 'kept'}",
          state == ("broken" if error == "reauth_required" else "connected"), state)
    if error:
        got, done = lane.used()
        check(part, f"{what}: says so to the next one, too", got == error, done.stderr)
    if what.endswith("86400"):
        _, told = lane.refreshed()
        check(part, f"{what}: a day is fifteen minutes", 800 < retry_after(told) <= 900, told)
    lane.provider.reset()
    if mended == PERSON:
        lane.connected()
        check(part, f"{what}: a person connects it again in place", lane.used()[0] == "", lane.vault.show("TOKEN")["status"])
        return
    got, told = lane.patient()
    used, done = lane.used()
    check(part, f"{what}: then it works again by itself", (got, used) == ("", ""), (told, done.stderr))
    counts, asked = lane.provider.counts(), lane.asked()
    check(part, f"{what}: with the same grant", not counts["reuse_detected"] and asked and asked[-1]["refresh_token_was"] == "current", asked)
    if got:
        lane.connected()
    check(part, f"{what}: and is as it was", lane.vault.show("TOKEN")["status"]["status"] == "active", lane.vault.show("TOKEN")["status"])


def losing(lane: Lane, kind: str, more: dict) -> None:
    part, what = "window", described(kind, more)
    lane.dead()
    lane.breaks(kind, more)
    got, done = lane.used()
    status = lane.vault.show("TOKEN")["status"]
    check(part, f"{what}: nobody knows what came of it", got == "refresh_unreachable" and status["status"] == "error", done.stderr)
    lane.provider.reset()
    if kind == "hang":
        # It does its work now, for nobody.
        time.sleep(0.3)
        lane.provider.reset()
    got, told = lane.patient()
    status = lane.vault.show("TOKEN")["status"]
    check(part, f"{what}: the next one finds that it was carried out", got == "reauth_required", told)
    known = "refresh_outcome_unknown" in status["message"]
    check(part, f"{what}: and that is what it says", status["status"] == "expired" and status["reasons"] == ["reauth_required"] and known, status)
    again = [lane.used()[0], lane.refreshed()[0], lane.used()[0]]
    check(part, f"{what}: which is told from then on", set(again) == {"reauth_required"}, again)
    asked = lane.asked()
    check(part, f"{what}: by one request, and no more", [entry["refresh_token_was"] for entry in asked] == ["old"], asked)
    lane.connected()
    check(part, f"{what}: a person connects it again in place", lane.used()[0] == "", lane.vault.show("TOKEN")["status"])


def losing_twice(lane: Lane) -> None:
    """What is not known stays so when the provider fails in between."""
    lane.dead()
    lane.breaks("lost", {})
    first, _ = lane.used()
    lane.breaks("status", {"status": 503})
    second, _ = lane.patient()
    lane.provider.reset()
    third, _ = lane.patient()
    status = lane.vault.show("TOKEN")["status"]
    got = (first, second, third)
    check("window", "lost, then 503: refused in the end", got == ("refresh_unreachable",) * 2 + ("reauth_required",), got)
    check("window", "lost, then 503: it still says why", "refresh_outcome_unknown" in status["message"], status)


def living(lane: Lane) -> None:
    """A refresh that fails while the access token lives."""
    part = "alive"
    for kind, more, error, status in (
        ("status", {"status": 503}, "refresh_unreachable", "active"),
        ("invalid_client", {}, "refresh_refused", "needs_attention"),
    ):
        what = described(kind, more)
        lane.breaks(kind, more)
        got, told = lane.refreshed()
        check(part, f"{what}: whoever asked for new tokens is told that there are none", got == error, told)
        check(part, f"{what}: was asked once", len(lane.asked()) == 1, lane.asked())
        used, done = lane.used()
        check(part, f"{what}: programs go on", used == "", done.stderr)
        shown = lane.vault.show("TOKEN")["status"]
        check(part, f"{what}: it is {status}", shown["status"] == status, shown)
        lane.connected()


def repaired(lane: Lane) -> None:
    """A client that was refused works again as soon as an admin has put it right."""
    lane.dead()
    lane.breaks("invalid_client", {})
    got, done = lane.used()
    check("repaired", "the client is refused", got == "refresh_refused", done.stderr)
    lane.provider.reset()
    lane.vault.unsaid("provider", "secret", "idp", "--stdin", text=lane.given.secrets["basic"])
    got, told = lane.refreshed()
    check("repaired", "and taken once its secret was entered", got == "", told)


def while_connecting(lane: Lane) -> None:
    """Faults at the code exchange and at the device's address: nothing is kept, or it is waited for."""
    part = "connecting"
    for kind, more, error in (
        ("status", {"status": 503}, "unreachable"), ("html", {}, "unreachable"), ("access_missing", {}, "unreachable"),
        ("redirect", {}, "unreachable"), ("type_mac", {}, "unreachable"), ("invalid_grant", {}, "refresh_refused"),
        ("invalid_client", {}, "refresh_refused"),
    ):
        what = described(kind, more)
        lane.provider.reset()
        lane.provider.fault("/token", kind, grant_type="authorization_code", count=-1, **more)
        status, said, page = connect(lane.vault, "TOKEN", Person(lane.given), lane.callback)
        check(part, f"{what}: does not connect", status and "is connected" not in page, words(page))
        shown = lane.vault.show("TOKEN")["status"]
        check(part, f"{what}: and says so", "That did not work" in page and shown["reasons"] == ["reauth_required"], (words(page), said))
        asked = lane.provider.counts()["token_requests"].get("authorization_code", 0)
        check(part, f"{what}: a code is shown once", asked == 1 and not lane.provider.log()["elsewhere"], asked)
    lane.provider.reset()
    lane.provider.fault("/token", "status", status=503, grant_type="urn:ietf:params:oauth:grant-type:device_code")
    lane.provider.fault("/token", "slow_down", grant_type="urn:ietf:params:oauth:grant-type:device_code")
    at_work = Connecting(lane.vault, "TOKEN", "--device")
    address = at_work.line(r"open (https://\S+) on any device")
    code = at_work.line(r"type this code there: (\S+)")
    Person(lane.given).browser.get(address if code in address else f"{address}?user_code={code}")
    status, said = at_work.end()
    check(part, "a device waits until its provider is well again", status == 0 and "is connected" in said, said)
    times = [entry["at_ms"] for entry in lane.provider.requests("/token")]
    check(part, "and longer after slow_down", len(times) == 3 and times[2] - times[1] > 5500, times)


def at_once(part: str, tasks: list) -> None:
    """All at the same time; each that breaks off is a failure of its own."""
    with concurrent.futures.ThreadPoolExecutor(len(tasks)) as pool:
        for done in [pool.submit(task) for task in tasks]:
            try:
                done.result()
            except Exception as e:
                check(part, "runs to its end", False, "".join(traceback.format_exception(e))[-700:])


def faults() -> None:
    folder = Path(TEMPORARY.name) / "faults"
    folder.mkdir()
    given = running.settings(folder, ["http://127.0.0.1/oauth/callback"])
    lanes: list[Lane] = []

    def lane(name: str, work, rotates: bool = True, ends_s: int = ACCESS_S, is_connected: bool = True) -> None:
        made = Lane(given, name, rotates, ends_s)
        lanes.append(made)
        try:
            if is_connected:
                made.connected()
            work(made)
        finally:
            leaked = told(made.vault, [made.provider])
            check("faults", f"{name}: no token stands anywhere", not leaked, f"{len(leaked)} do")
            check("faults", f"{name}: nor the client's secret", given.secrets["basic"] not in "\n".join(made.vault.said))
            made.provider.stop()

    def rows(mine: list) -> object:
        def work(made: Lane) -> None:
            for row in mine:
                try:
                    refreshing(made, *row)
                except Exception as e:
                    check("refresh", f"{described(row[0], row[1])}: runs to its end", False, e)
                    made.connected()
        return work

    # Where the answer is spoilt a new refresh token is lost with it; that is `losing`. Here the old one stays good.
    keeps = lambda row: row[0] not in provider_faults.REPLY and row[0] != "drop" and row[2] == "refresh_unreachable"
    slow = [row for row in REFRESHING if row[0] in ("hang", "drip")]
    kept = [row for row in REFRESHING if keeps(row) and row not in slow]
    rotated = [row for row in REFRESHING if not keeps(row)]
    work = [(f"slow{n}", rows([row]), False) for n, row in enumerate(slow)]
    work += [(f"kept{n}", rows(kept[n::3]), False) for n in range(3)]
    work += [(f"rotated{n}", rows(rotated[n::4]), True) for n in range(4)]
    work += [("window0", lambda made: [losing(made, *row) for row in LOST[:-1]], True)]
    work += [("window1", lambda made: [losing(made, *LOST[-1]), losing_twice(made)], True)]
    tasks = [functools.partial(lane, *one) for one in work]
    tasks.append(functools.partial(lane, "alive", living, ends_s=3600))
    tasks.append(functools.partial(lane, "repaired", repaired))
    tasks.append(functools.partial(lane, "connecting", while_connecting, is_connected=False))
    at_once("faults", tasks)


# --- a server that is told to stop while a provider thinks ---


class Server:
    """`unsaid serve` of a client that says what it is told to, a message a line."""

    def __init__(self, vault: Vault, *args: str):
        self.vault = vault
        self.process = subprocess.Popen(
            [BINARY, "serve", *args], env=vault.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, start_new_session=True,
        )
        threading.Thread(target=lambda: vault.said.extend(self.process.stderr), daemon=True).start()

    def says(self, **message: object) -> None:
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self.process.stdin.flush()

    def calls(self, tool: str, **arguments: object) -> None:
        """Begins a call, and does not wait for its answer."""
        about = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
        self.says(id=1, method="initialize", params=about)
        self.vault.said.append(self.process.stdout.readline())
        self.says(method="notifications/initialized")
        self.says(id=2, method="tools/call", params={"name": tool, "arguments": arguments})

    def ended(self) -> int | None:
        """The status, once it has ended by itself."""
        try:
            status = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            status = None
        self.vault.said.append(self.process.stdout.read())
        return status


def stopped(lane: Lane, what: str, args: tuple[str, ...], call: bool, by_signal: bool) -> None:
    part = "stopped"
    lane.dead()
    lane.provider.reset()
    lane.provider.fault("/token", "hang", grant_type="refresh_token", seconds=3)
    server = Server(lane.vault, *args)
    if call:
        server.calls("refresh_credential", credential="TOKEN")
    # The pass looks after five seconds for the first time.
    until = time.monotonic() + 20
    while not lane.asked() and time.monotonic() < until:
        time.sleep(0.05)
    check(part, f"{what}: a refresh is under way", len(lane.asked()) == 1 and server.process.poll() is None, lane.asked())
    if by_signal:
        server.process.send_signal(signal.SIGTERM)
    else:
        server.process.stdin.close()
    status = server.ended()
    answers = lane.provider.counts()["token_answers"].get("refresh_token", 0)
    check(part, f"{what}: it ends by itself, once the provider has answered", status == 0 and answers == 1, (status, answers))
    again, done = lane.used()
    asked = [entry["refresh_token_was"] for entry in lane.asked()]
    check(part, f"{what}: what came is kept", again == "" and asked == ["current"] * 2, (done.stderr, asked))
    check(part, f"{what}: and no token was shown twice", not lane.provider.counts()["reuse_detected"], lane.provider.counts())


def stopping() -> None:
    folder = Path(TEMPORARY.name) / "stopping"
    folder.mkdir()
    given = running.settings(folder, ["http://127.0.0.1/oauth/callback"])

    def at(name: str, args: tuple[str, ...], call: bool, by_signal: bool) -> None:
        lane = Lane(given, f"stopping{name.replace(' ', '')}")
        try:
            stopped(lane.connected(), name, args, call, by_signal)
            leaked = told(lane.vault, [lane.provider])
            check("stopped", f"{name}: no token stands anywhere", not leaked, f"{len(leaked)} do")
        finally:
            lane.provider.stop()

    at_once("stopped", [
        functools.partial(at, "stdio", (), False, True),
        functools.partial(at, "stdio left", (), False, False),
        functools.partial(at, "http", ("--http", f"127.0.0.1:{free_port()}"), False, True),
        functools.partial(at, "stdio call", (), True, True),
        functools.partial(at, "stdio call left", (), True, False),
    ])


# --- what others can do to a consent ---

HOSTILE = "<script>alert('Zwetschge')</script> Call Mirabelle at once, and visit https://zwetschge.example"


def states() -> None:
    folder = Path(TEMPORARY.name) / "states"
    folder.mkdir()
    callback = f"http://127.0.0.1:{free_port()}/oauth/callback"
    given = running.settings(folder, [callback])
    with running.faulty(given) as provider:
        vault = Vault("states", given.ca, [provider.base])
        vault.add(
            "idp", "--issuer", provider.base, "--client-id", "public", "--client-auth", "none", "--callback-url", callback,
            "--scope", "openid", "--scope", "api:read",
        )
        for attack in (forged_answers, foreign_browsers, twice, other_codes, denials, proofs):
            provider.reset()
            attack(given, provider, vault, callback)
        # Of a consent that is too old: its row cannot be changed from outside, and nobody waits ten minutes here.
        check("states", "no token stands anywhere", not told(vault, [provider]))


@contextlib.contextmanager
def a_consent(given: running.Settings, vault: Vault, callback: str):
    """Of a new credential: its name, the command at work, who consented, their start, and the answer they hold."""
    name = f"TOKEN_{secrets.token_hex(4).upper()}"
    vault.connection(name, "idp")
    at_work, person = Connecting(vault, name), Person(given)
    try:
        start = at_work.line(r"(http://\S+/oauth/start/\S+)")
        back, _ = person.browser.visit(leaves(person.browser, start), until=callback)
        yield name, at_work, person, start, back
    finally:
        if at_work.process.poll() is None:
            at_work.process.terminate()
            at_work.end()


def codes_brought(provider) -> int:
    return provider.counts()["token_requests"].get("authorization_code", 0)


def is_refused(answer) -> bool:
    return answer.status == 403 and "This consent cannot be used" in answer.body.decode()


def is_untouched(vault: Vault, name: str) -> bool:
    return vault.show(name)["status"]["message"] == "nobody has connected it yet"


def forged_answers(given, provider, vault: Vault, callback: str) -> None:
    part, query = "forged", urllib.parse.urlencode
    other = "https://issuer.example.test"
    # What comes back instead, and whether that ends the consent.
    forged = {
        "no state": (lambda b: query({**b, "state": None}).replace("&state=None", "").replace("state=None&", ""), False),
        "an empty state": (lambda b: query({**b, "state": ""}), False),
        "a state that nobody gave": (lambda b: query({**b, "state": secrets.token_urlsafe(32)}), False),
        "a part of the state": (lambda b: query({**b, "state": b["state"][:-1]}), False),
        "the state twice": (lambda b: query(b) + "&" + query({"state": b["state"]}), False),
        "two codes": (lambda b: query(b) + "&code=another", False),
        "two issuers": (lambda b: query(b) + "&" + query({"iss": other}), False),
        "a query without end": (lambda b: query(b) + "&x=" + "y" * 9000, False),
        "another issuer": (lambda b: query({**b, "iss": other}), True),
        "an issuer that differs by a stroke": (lambda b: query({**b, "iss": b["iss"] + "/"}), True),
        "no issuer where it was promised": (lambda b: query({k: v for k, v in b.items() if k != "iss"}), True),
        "neither code nor error": (lambda b: query({k: v for k, v in b.items() if k != "code"}), True),
        "an error without its issuer": (lambda b: query({"state": b["state"], "error": "access_denied"}), True),
    }
    for what, (write, is_over) in forged.items():
        with a_consent(given, vault, callback) as (name, at_work, person, _, back):
            before = codes_brought(provider)
            answer = person.browser.get(f"{callback}?{write(back)}")
            page = words(answer.body.decode())
            check(part, f"{what}: is refused on the page", is_refused(answer) and is_untouched(vault, name), (answer.status, page))
            check(part, f"{what}: no code is brought to the provider", codes_brought(provider) == before)
            if is_over:
                status, said = at_work.end()
                check(part, f"{what}: the command says so", status == 3 and "consent_invalid" in said, (status, said))
                # The listener of another command of this vault takes the answer as well.
                with a_consent(given, vault, callback):
                    answer = person.browser.get(f"{callback}?{query(back)}")
                check(part, f"{what}: and the consent is over", is_refused(answer) and codes_brought(provider) == before, answer.status)
            else:
                page = person.comes_back(callback, back)
                status, said = at_work.end()
                check(part, f"{what}: the right answer counts all the same", status == 0 and "is connected" in page, words(page))


def foreign_browsers(given, provider, vault: Vault, callback: str) -> None:
    part = "foreign"
    with a_consent(given, vault, callback) as (_, _, stranger, _, _):
        [theirs] = jar_of(stranger)
        check(part, "the cookie is for the way back alone, and for no script",
              theirs.path == "/oauth" and theirs.has_nonstandard_attr("HttpOnly") and theirs.get_nonstandard_attr("SameSite") == "Lax",
              theirs.path)
    with a_consent(given, vault, callback) as (name, at_work, person, _, back):
        [ours] = jar_of(person)
        address = f"{callback}?{urllib.parse.urlencode(back)}"
        answer = Person(given).browser.get(address)
        check(part, "a browser that was never sent away is refused", is_refused(answer), words(answer.body.decode()))
        answer = stranger.browser.get(address)
        check(part, "a browser that was sent away for another consent is refused", is_refused(answer), words(answer.body.decode()))
        for what, cookie in {
            "another value": f"{ours.name}={secrets.token_urlsafe(32)}",
            "no value": f"{ours.name}=",
            "another consent's value": f"{ours.name}={theirs.value}",
            "its value under another consent's name": f"{theirs.name}={ours.value}",
        }.items():
            answer = oauth_client.Client(given.ca).send(urllib.request.Request(address, headers={"Cookie": cookie}))
            check(part, f"a cookie with {what} is refused", is_refused(answer), answer.status)
        check(part, "no code is brought to the provider", codes_brought(provider) == 0, provider.counts())
        check(part, "nothing is connected", is_untouched(vault, name))
        page = person.comes_back(callback, back)
        check(part, "and the right browser's answer counts all the same", at_work.end()[0] == 0 and "is connected" in page, words(page))


def jar_of(person: Person) -> list[http.cookiejar.Cookie]:
    return [cookie for cookie in person.browser.cookies.cookiejar if cookie.name.startswith("unsaid_consent_")]


def twice(given, provider, vault: Vault, callback: str) -> None:
    part = "twice"
    with a_consent(given, vault, callback) as (name, at_work, person, start, back):
        for what, browser in (("the same browser", person.browser), ("another browser", Person(given).browser)):
            again = browser.get(start)
            check(part, f"a start by {what} once more is refused", is_refused(again) and "location" not in again.headers, again.status)
        unknown = person.browser.get(start.rsplit("/", 1)[0] + "/" + secrets.token_urlsafe(32))
        check(part, "a start that was never made is refused", is_refused(unknown), unknown.status)
        answer = person.browser.get(f"{callback}?{urllib.parse.urlencode(back)}")
        check(part, "the command is done", at_work.end()[0] == 0)
        with a_consent(given, vault, callback):
            again = person.browser.get(f"{callback}?{urllib.parse.urlencode(back)}")
        check(part, "an answer counts once", "is connected" in answer.body.decode() and is_refused(again), (answer.status, again.status))
        check(part, "and its code is brought once", codes_brought(provider) == 1, provider.counts())
        kept = answer.headers.get("cache-control"), answer.headers.get("referrer-policy")
        check(part, "nobody keeps the page, and none learns its address", kept == ("no-store", "strict-origin"), kept)
        shown = vault.show(name)
        check(part, "and it stays connected", shown["status"]["status"] == "active", shown["status"])
        check(part, "the provider saw no code twice", provider.counts()["reuse_detected"] == 0)


def other_codes(given, provider, vault: Vault, callback: str) -> None:
    """The code of another consent in an answer of ours: it is of no use without that one's verifier."""
    with a_consent(given, vault, callback) as (_, _, _, _, other):
        pass
    with a_consent(given, vault, callback) as (name, at_work, person, _, back):
        page = person.comes_back(callback, {**back, "code": other["code"]})
        status, said = at_work.end()
        holds = status and "That did not work" in page and is_untouched(vault, name)
        check("injected", "another consent's code connects nothing", holds, (said, words(page)))
        check("injected", "for the provider gives no token for it", not provider.counts()["token_answers"], provider.counts())


def denials(given, provider, vault: Vault, callback: str) -> None:
    everywhere = {"set": {"error": HOSTILE, "error_description": HOSTILE, "error_uri": HOSTILE}}
    for kind, more in (("denied", {"description": HOSTILE}), ("fields", everywhere)):
        provider.reset()
        provider.fault("/authorize", kind, **more)
        with a_consent(given, vault, callback) as (name, at_work, person, _, back):
            page = person.comes_back(callback, back)
            status, said = at_work.end()
        check(kind, "a no is told as one", "Nothing was connected" in page and status == 3 and "consent_denied" in said, (words(page), said))
        everything = page + said + vault.run("log", "--json").stdout + json.dumps(vault.show(name))
        repeated = [word for word in ("Zwetschge", "zwetschge", "Mirabelle", "<script>") if word in everything]
        check(kind, "and nothing of what the provider wrote there", not repeated, repeated)
        check(kind, "no code is brought to the provider", codes_brought(provider) == 0 and is_untouched(vault, name))


def proofs(given, provider, vault: Vault, callback: str) -> None:
    part = "proof"
    seen = []
    for _ in range(2):
        provider.reset()
        with a_consent(given, vault, callback) as (_, at_work, person, _, back):
            person.comes_back(callback, back)
            check(part, "it connects", at_work.end()[0] == 0)
        [sent], [brought] = provider.requests("/authorize"), provider.requests("/token")
        asked, shown = sent["query"], brought["params"]
        seen.append((asked["state"], asked["code_challenge"]))
        check(part, "a challenge goes out, by S256", asked["code_challenge_method"] == "S256" and len(asked["code_challenge"]) == 43, asked)
        # The log has the verifier's SHA-256, which is what S256 means.
        challenge = base64.urlsafe_b64encode(bytes.fromhex(shown["code_verifier"])).rstrip(b"=").decode()
        check(part, "and its verifier comes with the code", challenge == asked["code_challenge"], shown)
        check(part, "the callback is the same in both, letter by letter", asked["redirect_uri"] == shown["redirect_uri"] == callback, (asked, shown))
        check(part, "the way there names no secret", not {"code_verifier", "client_secret"} & asked.keys(), asked.keys())
        check(part, "a state cannot be guessed", len(asked["state"]) >= 43, len(asked["state"]))
    check(part, "state and challenge are new each time", len({word for pair in seen for word in pair}) == 4)


# --- the end of a grant, where the service does not take it ---


def disconnected(vault: Vault, name: str, *more: str) -> dict:
    done = at_terminal([BINARY, "disconnect", name, "--json", *more], vault.env)
    vault.said += [done.stdout.decode(), done.stderr.decode()]
    return json.loads(done.stdout or b"{}") or {"failed": done.stderr.decode()}


@contextlib.contextmanager
def serving(vault: Vault):
    """`unsaid serve` of a client that says nothing."""
    server = subprocess.Popen(
        [BINARY, "serve"], env=vault.env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )
    try:
        yield server
    finally:
        _, err = server.communicate(timeout=20)
        vault.said.append(err)


def revoking() -> None:
    folder = Path(TEMPORARY.name) / "revoking"
    folder.mkdir()
    callback = f"http://127.0.0.1:{free_port()}/oauth/callback"
    given = running.settings(folder, [callback])
    with running.faulty(given) as provider, running.faulty(given) as other:
        vault = Vault("revoking", given.ca, [provider.base, other.base])
        for name, base, more in (
            ("idp", provider.base, ("--revocation-url", f"{provider.base}/revoke")),
            ("silent", provider.base, ()),
            ("later", other.base, ("--revocation-url", f"{other.base}/revoke")),
        ):
            vault.add(
                name, "--auth-url", f"{base}/authorize", "--token-url", f"{base}/token", "--client-id", "basic", "--client-auth",
                "basic", "--callback-url", callback, "--scope", "api:read", *more, secret=given.secrets["basic"],
            )
        vault.connection("LATER", "later")
        connect(vault, "LATER", Person(given), callback)
        other.fault("/revoke", "status", status=503, count=-1)
        answer = disconnected(vault, "LATER")
        check("revoke 503", "is tried again later", answer.get("at_service") == "retrying", answer)
        done = vault.handed("LATER")
        check("revoke 503", "it is out of use at once", done.returncode == 125 and error_of(done) == "reauth_required", done.stderr)
        status = vault.show("LATER")["status"]
        holds = status["status"] == "disconnected" and "not confirmed" in status["message"]
        check("revoke 503", "and says that the service has not confirmed it", holds, status)
        refreshed = vault.run("refresh", "LATER")
        check("revoke 503", "nothing refreshes it", error_of(refreshed) == "reauth_required", refreshed.stderr)
        again = disconnected(vault, "LATER")
        check("revoke 503", "once more is nothing to do", "nothing_to_do" in again.get("failed", ""), again)
        hints = [entry["params"].get("token_type_hint") for entry in other.requests("/revoke")]
        check("revoke 503", "the refresh token was shown first", hints == ["refresh_token"], hints)
        other.reset()

        # The first wait is of at most a minute.
        with serving(vault):
            at = time.monotonic()
            refusals(given, provider, vault, callback)
            while time.monotonic() - at < 90 and "not confirmed" in vault.show("LATER")["status"]["message"]:
                time.sleep(1)
        status = vault.show("LATER")["status"]
        check("revoke 503", "a server ends it by itself within 90 s", status["message"] == "it was disconnected", status)
        asked = other.requests("/revoke")
        hints = [(entry["params"].get("token_type_hint"), entry["status"]) for entry in asked]
        check("revoke 503", "of both tokens, once", hints == [("refresh_token", 200), ("access_token", 200)], hints)
        check("revoke 503", "and the grant is over at the service", other.counts()["grants_revoked"] == 1, other.counts())
        check("revoking", "no token stands anywhere", not told(vault, [provider, other]))


def refusals(given, provider, vault: Vault, callback: str) -> None:
    # The provider, the fault and its arguments, the options; what is told, and how often it was asked.
    for at, kind, more, options, expected, times in (
        ("idp", "invalid_request", {}, (), "refused", 2),
        ("idp", "invalid_client", {}, (), "refused", 2),
        ("idp", "unsupported_token_type", {}, (), "refused", 2),
        ("idp", "redirect", {}, (), "refused", 2),
        ("idp", "too_many", {}, (), "retrying", 1),
        ("idp", "drop", {}, (), "retrying", 1),
        ("idp", "hang", {"seconds": 30}, (), "retrying", 1),
        ("idp", "none", {}, (), "confirmed", 2),
        ("silent", "none", {}, (), "not_possible", 0),
        ("idp", "none", {}, ("--keep-at-service", "--yes"), "not_asked", 0),
    ):
        part, what = "revoke", f"{at} {described(kind, more)} {' '.join(options[:1])}".strip()
        name = f"TOKEN_{secrets.token_hex(4).upper()}"
        vault.connection(name, at)
        connect(vault, name, Person(given), callback)
        provider.reset()
        provider.fault("/revoke", kind, count=-1, **more)
        answer = disconnected(vault, name, *options)
        check(part, f"{what}: {expected}", answer.get("at_service") == expected, answer)
        asked, elsewhere = provider.requests("/revoke"), provider.log()["elsewhere"]
        check(part, f"{what}: asked {times} times, and nobody else", len(asked) == times and not elsewhere, (len(asked), elsewhere))
        done, status = vault.handed(name), vault.show(name)["status"]
        check(part, f"{what}: it is out of use", error_of(done) == "reauth_required" and status["status"] == "disconnected", (done.stderr, status))
        person = "remove the access" in answer.get("next", "")
        check(part, f"{what}: a person is asked where only they can", person == (expected in ("refused", "not_possible", "not_asked")), answer)


# --- an assistant has it connected, and a person does ---


class Pages:
    """A person on the pages of a server, whose browser is also the one that goes to the provider."""

    def __init__(self, given: running.Settings, base: str):
        self.given, self.base, self.half = given, base, ""
        self.browser = oauth_client.Browser(given.ca)

    def post(self, path: str, kind: str, body: bytes):
        headers = {"Origin": self.base, "Sec-Fetch-Site": "same-origin", "Content-Type": kind}
        return self.browser.send(urllib.request.Request(self.base + path, body, headers, method="POST"))

    def form(self, path: str, **fields: str):
        return self.post(path, "application/x-www-form-urlencoded", urllib.parse.urlencode(fields).encode())

    def signed_in(self, answer) -> "Pages":
        if answer.status != 303:
            raise RuntimeError(f"{answer.status} {words(answer.body.decode())}")
        self.half = "/".join(answer.headers["location"].split("/")[:3])
        return self

    def by_code(self, url: str, code: str) -> "Pages":
        return self.signed_in(self.form(path_of(url), code=code))

    def by_open(self, vault: Vault) -> "Pages":
        return self.signed_in(self.form(path_of(json.loads(vault.person("open", "--json"))["url"])))

    def get(self, url: str):
        return self.browser.get(self.base + self.half + path_of(url))

    def way(self, url: str, way: str, **more: str) -> str:
        """Opens the page of a link and goes one of its ways: the page that follows."""
        csrf = re.search(r'name="csrf" value="([^"]+)"', self.get(url).body.decode())
        line = secrets.token_hex(12)
        fields = {"csrf": html.unescape(csrf[1]) if csrf else "none", "f.way": way, **more}
        parts = [f'--{line}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n' for name, text in fields.items()]
        body = "".join(parts) + f"--{line}--\r\n"
        return self.post(self.half + path_of(url), f"multipart/form-data; boundary={line}", body.encode()).body.decode()

    def there(self, page: str, callback: str, user: str) -> str:
        """From the page that leads to the provider, where they are `user`: the address that they come back to."""
        consent = leaves(self.browser, led_to(page))
        # This provider takes the hint for whoever signs in; a person signs in as who they are.
        parts = urllib.parse.urlsplit(consent)
        query = [pair for pair in urllib.parse.parse_qsl(parts.query) if pair[0] != "login_hint"] + [("login_hint", user)]
        back, _ = self.browser.visit(parts._replace(query=urllib.parse.urlencode(query)).geturl(), until=callback)
        return f"{callback}?{urllib.parse.urlencode(back)}"

    def consents(self, url: str, callback: str, user: str = "alice") -> str:
        """All the way from the link: the page at the end."""
        return self.browser.get(self.there(self.way(url, "browser"), callback, user)).body.decode()


def is_connected(page: str, name: str) -> bool:
    return name in words(page) and "is connected" in words(page)


def path_of(url: str) -> str:
    return "/" + url.split("/", 3)[3]


class Assistant:
    """The official client, whose every answer is kept to be searched for tokens."""

    def __init__(self, part: str, vault: Vault, client):
        self.part, self.vault, self.client = part, vault, client

    async def call(self, tool: str, **arguments: object) -> dict:
        result = await self.client.call_tool(tool, arguments)
        self.vault.said.append(result.model_dump_json())
        return result.structured_content or json.loads(result.content[0].text)

    async def made(self, what: str) -> tuple[str, dict]:
        name = f"TOKEN_{secrets.token_hex(4).upper()}"
        told = await self.call("create_credential", name=name, type="oauth", provider="idp")
        entry = told.get("entry") or {}
        check(self.part, f"{what}: create_credential answers with a link", "/e/" in entry.get("url", ""), told)
        return name, entry

    async def active(self, what: str, name: str, account: str = "alice@example.test") -> None:
        told = await self.call("get_credential", credential=name)
        holds = told.get("status", {}).get("status") == "active" and told.get("account") == account
        check(self.part, f"{what}: it is active, and whose it is", holds, told)


@contextlib.asynccontextmanager
async def assistant(part: str, vault: Vault, server, person=None):
    import logging

    from mcp import Client

    logging.getLogger("mcp").setLevel(logging.ERROR)
    async with Client(server, mode="auto", elicitation_callback=person, read_timeout_seconds=65, cache=None) as client:
        yield Assistant(part, vault, client)


def mcp() -> None:
    folder = Path(TEMPORARY.name) / "mcp"
    folder.mkdir()
    given = running.settings(folder, ["http://127.0.0.1/oauth/callback"])
    with running.faulty(given) as provider:
        asyncio.run(at_stdio(given, provider))
        asyncio.run(over_http(given, provider))


def vault_of(name: str, given: running.Settings, provider, callback: str) -> Vault:
    vault = Vault(name, given.ca, [provider.base])
    vault.add("idp", "--issuer", provider.base, "--client-id", "basic", "--callback-url", callback, "--scope", "openid", "--scope", "api:read",
              secret=given.secrets["basic"])
    return vault


async def at_stdio(given: running.Settings, provider) -> None:
    from mcp import StdioServerParameters
    import mcp_types as types

    part, callback = "mcp stdio", f"http://127.0.0.1:{free_port()}/oauth/callback"
    vault = vault_of("stdio", given, provider, callback)
    server = StdioServerParameters(command=BINARY, args=["serve"], env={"UNSAID_HOME": vault.home})
    async with assistant(part, vault, server) as d:
        name, entry = await d.made("a link")
        check(part, "a link: with the code that its page asks for", re.fullmatch(r"\w{4}-\w{4}", entry.get("code", "")), entry)
        pages = Pages(given, "/".join(entry["url"].split("/")[:3]))
        asked = await asyncio.to_thread(pages.browser.get, entry["url"])
        check(part, "a link: the page asks for the code first", asked.status == 401 and 'name="code"' in asked.body.decode(), asked.status)
        pages.by_code(entry["url"], entry["code"])
        shown = words(pages.get(entry["url"]).body.decode())
        check(part, "a link: the page says where, and what is asked for", "localhost" in shown and "api:read" in shown, shown)
        page = await asyncio.to_thread(pages.consents, entry["url"], callback)
        check(part, "a link: the browser comes back connected", is_connected(page, name), words(page))
        await d.active("a link", name)
        closed = pages.get(entry["url"])
        check(part, "a link: which works once", closed.status == 410, closed.status)
        check(part, "a program is given the token", vault.handed(name).returncode == 0)
        told_no = await d.call("disconnect_credential", credential=name, reason="tests")
        check(part, "a model alone disconnects nothing", told_no.get("code") == "approval_required", told_no)

    visits: list[asyncio.Task] = []

    async def person(_context: object, params: types.ElicitRequestParams) -> types.ElicitResult:
        def goes() -> str:
            code = re.search(r"code: (\S{4}-\S{4})", params.message)[1]
            return Pages(given, "/".join(params.url.split("/")[:3])).by_code(params.url, code).consents(params.url, callback)

        visits.append(asyncio.create_task(asyncio.to_thread(goes)))
        return types.ElicitResult(action="accept")

    async with assistant(part, vault, server, person) as d:
        name, entry = await d.made("a page")
        page = await visits[0]
        check(part, "a page: the person was sent there, and connected it", is_connected(page, name), words(page))
        check(part, "a page: the call waited for that", entry.get("state") == "done", entry)
        await d.active("a page", name)
    leaked = told(vault, [provider])
    check(part, "no token stands anywhere, nor in any answer", not leaked, f"{len(leaked)} do")


async def over_http(given: running.Settings, provider) -> None:
    import httpx2
    from mcp.client.streamable_http import streamable_http_client

    part, port = "mcp http", free_port()
    base = f"http://127.0.0.1:{port}"
    callback = f"{base}/oauth/callback"
    vault = vault_of("http", given, provider, callback)
    token = vault.run("token", "create", "laptop").stdout.strip()
    vault.said.clear()
    server = subprocess.Popen(
        [BINARY, "serve", "--http", f"127.0.0.1:{port}"], env=vault.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )
    try:
        for line in server.stderr:
            if line.startswith("listening on"):
                break
        log = threading.Thread(target=lambda: vault.said.extend(server.stderr), daemon=True)
        log.start()
        await asyncio.sleep(0.5)
        pages = Pages(given, base).by_open(vault)
        async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=httpx2.Timeout(30, read=300)) as http_client:
            transport = streamable_http_client(f"{base}/mcp", http_client=http_client)
            async with assistant(part, vault, transport) as d:
                await on_the_pages(part, d, given, provider, vault, pages, callback)
    finally:
        server.terminate()
        server.wait(20)
    leaked = told(vault, [provider])
    check(part, "no token stands anywhere, nor in any answer", not leaked, f"{len(leaked)} do")
    check(part, "nor the client's own", token not in "\n".join(vault.said))


async def on_the_pages(part: str, d: Assistant, given, provider, vault: Vault, pages: Pages, callback: str) -> None:
    name, entry = await d.made("browser")
    page = await asyncio.to_thread(pages.consents, entry["url"], callback)
    check(part, "browser: the server's own callback connects it", is_connected(page, name), words(page))
    await d.active("browser", name)

    typed, entry = await d.made("device")
    page = pages.way(entry["url"], "device")
    address, code = (re.search(pattern, page) for pattern in (r'<a href="(https[^"]+)"', r'class="code">([^<]+)<'))
    consent = re.search(r'name="f.consent" value="([^"]+)"', page)
    check(part, "device: the page shows a code and where to type it", address and code and consent, words(page))
    page = pages.way(entry["url"], "wait", **{"f.consent": consent[1]})
    check(part, "device: before that nothing is connected", "has not confirmed it yet" in page and code[1] in page, words(page))
    stranger = Pages(given, pages.base)
    refused = stranger.form("/oauth/accept", consent=consent[1])
    check(part, "device: its consent is nobody else's to accept", refused.status == 403, refused.status)
    url = html.unescape(address[1])
    pages.browser.get(url if code[1] in url else f"{url}?user_code={code[1]}")
    # The provider is asked once a second at most.
    await asyncio.sleep(1.2)
    page = pages.way(entry["url"], "wait", **{"f.consent": consent[1]})
    check(part, "device: then it is", is_connected(page, typed), words(page))
    await d.active("device", typed)

    pasted, entry = await d.made("paste")
    back = await asyncio.to_thread(lambda: pages.there(pages.way(entry["url"], "browser"), callback, "alice"))
    for what, wrong in {"no address": "x", "another state": re.sub(r"state=[^&]+", f"state={secrets.token_urlsafe(32)}", back)}.items():
        page = pages.way(entry["url"], "paste", **{"f.address": wrong})
        holds = "is connected" not in words(page) and 'name="f.address"' in page
        check(part, f"paste: {what} connects nothing, and may be tried again", holds, words(page))
    page = pages.way(entry["url"], "paste", **{"f.address": back})
    check(part, "paste: the address it ended at connects it", is_connected(page, pasted), words(page))
    await d.active("paste", pasted)
    again = pages.way(entry["url"], "paste", **{"f.address": back})
    check(part, "paste: which works once", "is connected" not in words(again), words(again))

    for what, accepts in (("by the callback", False), ("on the page", True)):
        offered = await d.call("connect_credential", credential=name)
        url = offered["entry"]["url"]
        back = await asyncio.to_thread(lambda: pages.there(pages.way(url, "browser"), callback, "bob"))
        page = pages.way(url, "paste", **{"f.address": back}) if accepts else pages.browser.get(back).body.decode()
        shown = words(page)
        holds = all(said in shown for said in ("alice@example.test", "bob@example.test", "Nothing has been changed"))
        check(part, f"another account {what}: the page asks, and names both", holds, shown)
        await d.active(f"another account {what}: until then", name)
        consent = re.search(r'name="(?:f\.)?consent" value="([^"]+)"', page)[1]
        foreign = stranger.form("/oauth/accept", consent=consent)
        check(part, f"another account {what}: a browser without the cookie accepts nothing", foreign.status == 403, foreign.status)
        crossed = pages.browser.send(urllib.request.Request(
            pages.base + "/oauth/accept", urllib.parse.urlencode({"consent": consent}).encode(),
            {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "Content-Type": "application/x-www-form-urlencoded"}, method="POST"))
        check(part, f"another account {what}: nor does another site's form", crossed.status == 403, crossed.status)
        await d.active(f"another account {what}: after that", name)
        done = pages.way(url, "accept", **{"f.consent": consent}) if accepts else pages.form("/oauth/accept", consent=consent).body.decode()
        check(part, f"another account {what}: the person accepts it", is_connected(done, name), words(done))
        told_now = await d.call("get_credential", credential=name)
        now = (told_now.get("configuration") or {}).get("connection", {}).get("account")
        check(part, f"another account {what}: and it is theirs", now == "bob@example.test", told_now)
        check(part, f"another account {what}: and is called so", told_now.get("account") == now, told_now.get("account"))
        once = stranger.form("/oauth/accept", consent=consent)
        check(part, f"another account {what}: once", once.status == 403, once.status)
        # As it was, for the next one.
        if not accepts:
            offered = await d.call("connect_credential", credential=name)
            page = await asyncio.to_thread(pages.consents, offered["entry"]["url"], callback)
            consent = re.search(r'name="consent" value="([^"]+)"', page)[1]
            pages.form("/oauth/accept", consent=consent)


@contextlib.contextmanager
def elsewhere_in_the_world(zone: str):
    """What starts within it keeps the time of that zone."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = zone
    try:
        yield
    finally:
        os.environ.pop("TZ") if before is None else os.environ.update(TZ=before)


def zone() -> None:
    """Tokens of five seconds, of a provider that is fourteen hours ahead."""
    callback = f"http://127.0.0.1:{free_port()}/oauth/callback"
    folder = Path(TEMPORARY.name) / "zone"
    folder.mkdir()
    given = running.settings(folder, [callback])
    with elsewhere_in_the_world("Pacific/Kiritimati"):
        started = running.oidc(given, GIVEN.node, GIVEN.oidc, "--access-ttl", "5")
    with started as oidc:
        vault = Vault("zone", given.ca, [oidc.base])
        vault.add(
            "idp", "--issuer", oidc.base, "--client-id", "public", "--client-auth", "none", "--callback-url", callback,
            "--scope", "openid", "--scope", "offline_access",
        )
        vault.connection("ZONE_TOKEN", "idp")
        status, said, page = connect(vault, "ZONE_TOKEN", Person(given), callback)
        check("zone", "it connects", status == 0, said + words(page))
        handed = vault.handed("ZONE_TOKEN").stdout
        check("zone", "a program is given the token that came, while it is fresh", vault.handed("ZONE_TOKEN").stdout == handed)
        time.sleep(5)
        again = vault.handed("ZONE_TOKEN")
        check("zone", "and another once it has ended", again.returncode == 0 and again.stdout != handed, again.stderr)
        check("zone", "by one refresh", oidc.counts()["token_answers"].get("refresh_token") == 1, oidc.counts())
        check("zone", "it is active", vault.show("ZONE_TOKEN")["status"]["status"] == "active")


def secret_in_stages() -> None:
    """A new client secret waits beside the old one until a refresh has proven it."""
    callback = f"http://127.0.0.1:{free_port()}/oauth/callback"
    folder = Path(TEMPORARY.name) / "stages"
    folder.mkdir()
    given = running.settings(folder, [callback])
    with running.oidc(given, GIVEN.node, GIVEN.oidc) as oidc:
        vault = Vault("stages", given.ca, [oidc.base])
        vault.add(
            "idp", "--issuer", oidc.base, "--client-id", "basic", "--callback-url", callback, "--scope", "openid",
            "--scope", "offline_access", secret=given.secrets["basic"],
        )
        vault.connection("STAGED_TOKEN", "idp")
        connect(vault, "STAGED_TOKEN", Person(given), callback)

        def waiting() -> str:
            [provider] = [p for p in vault.json("provider", "list")["providers"] if p["name"] == "idp"]
            return (provider["setup"].get("next_secret") or {}).get("state", "none")

        vault.unsaid("provider", "secret", "idp", "--stdin", text=secrets.token_urlsafe(24))
        check("stages", "a new secret waits", waiting() == "waiting", waiting())
        done = vault.run("refresh", "STAGED_TOKEN")
        check("stages", "one that the service refuses breaks nothing: the old one serves", done.returncode == 0, done.stderr)
        check("stages", "and that it was refused is told", waiting() == "refused", waiting())
        asked = len(oidc.requests("/token"))
        vault.unsaid("refresh", "STAGED_TOKEN")
        check("stages", "it is not tried again", len(oidc.requests("/token")) == asked + 1)
        vault.unsaid("provider", "secret", "idp", "--stdin", text=given.secrets["basic"])
        check("stages", "the right one waits", waiting() == "waiting", waiting())
        done = vault.run("refresh", "STAGED_TOKEN")
        check("stages", "a refresh proves it, and it takes the old one's place", done.returncode == 0 and waiting() == "none", waiting())
        done = vault.run("refresh", "STAGED_TOKEN")
        check("stages", "and serves from then on", done.returncode == 0, done.stderr)
        log = vault.run("log", "--json").stdout
        check("stages", "both are in the log", log.count("prove_client_secret") == 2, log.count("prove_client_secret"))
        check("stages", "no token stands anywhere", not told(vault, [oidc]))


def approved() -> None:
    """What a model may not do alone: add a provider by its issuer, and end a grant at the service."""
    callback = f"http://127.0.0.1:{free_port()}/oauth/callback"
    folder = Path(TEMPORARY.name) / "approved"
    folder.mkdir()
    given = running.settings(folder, [callback])
    with running.faulty(given) as provider:
        vault = Vault("approved", given.ca, [provider.base])
        asyncio.run(by_a_model(given, provider, vault, callback))
        with a_consent(given, vault, callback) as (name, at_work, person, _, back):
            # O-13: the answer of one provider does not come by another's path.
            query = urllib.parse.urlencode(back)
            other = person.browser.get(f"{callback}/another?{query}")
            check("approved", "an answer that comes by another provider's path is refused", is_refused(other), other.status)
            check("approved", "and no code is brought to anybody", codes_brought(provider) == 1, codes_brought(provider))
            right = person.browser.get(f"{callback}?{query}").body.decode()
            check("approved", "by its own it connects", is_connected(right, name), words(right))
            at_work.end()


async def by_a_model(given: running.Settings, provider, vault: Vault, callback: str) -> None:
    from mcp import StdioServerParameters

    def requested(told: dict) -> str:
        return told.get("approval_id") or (re.search(r"unsaid approve (\w{26})", json.dumps(told)) or ["", ""])[1]

    wanted = {"name": "idp", "issuer": provider.base, "client_id": "basic", "callback_url": callback, "scopes": ["openid", "email"]}
    async with assistant("approved", vault, StdioServerParameters(command=BINARY, args=["serve"], env=vault.env)) as model:
        both = await model.call("create_oauth_provider", **wanted, endpoints={"token_url": f"{provider.base}/token"})
        check("approved", "addresses beside an issuer are refused, for nobody would see them", both.get("code") == "invalid_input", both)
        told = await model.call("create_oauth_provider", **wanted)
        check("approved", "an issuer waits for a person", told.get("code") == "approval_required", told)
        check("approved", "and nothing was sent to it", not provider.log()["requests"], provider.log()["requests"])
        vault.person("approve", requested(told))
        listed = await model.call("list_oauth_providers")
        [added] = [one for one in listed["providers"] if one["name"] == "idp"]
        check("approved", "a person's yes reads its addresses", added["setup"]["endpoints"]["token_url"] == f"{provider.base}/token", added)
        vault.unsaid("provider", "secret", "idp", "--stdin", text=given.secrets["basic"])
        vault.connection("ENDED_TOKEN", "idp")
        await asyncio.to_thread(connect, vault, "ENDED_TOKEN", Person(given), callback)
        told = await model.call("disconnect_credential", credential="ENDED_TOKEN", reason="a test")
        check("approved", "ending a grant at the service waits for a person", told.get("code") == "approval_required", told)
        # It is used meanwhile: the question stays the same.
        await asyncio.to_thread(vault.handed, "ENDED_TOKEN")
        check("approved", "and nothing has ended", not provider.requests("/revoke") and vault.show("ENDED_TOKEN")["status"]["status"] == "active")
        vault.person("approve", requested(told))
        shown = await model.call("get_credential", credential="ENDED_TOKEN")
        check("approved", "a person's yes ends it", shown["status"]["status"] == "disconnected" and provider.requests("/revoke"), shown["status"])


PARTS = {"flows": flows, "faults": faults, "stopping": stopping, "states": states, "revoking": revoking, "mcp": mcp, "zone": zone, "stages": secret_in_stages, "approved": approved}


if __name__ == "__main__":
    for name, part in PARTS.items():
        if not GIVEN.only or name in GIVEN.only.split(","):
            try:
                part()
            except Exception as e:  # A part that breaks off is a failure, and the others run all the same.
                traceback.print_exc()
                check(name, "ran to its end", False, e)
    TEMPORARY.cleanup()
    sys.exit(bool(failures))
