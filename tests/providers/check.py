"""Checks the providers of this folder themselves, with a plain client: what a test may rely on.

check.py --node NODE [--oidc FOLDER] [--only oidc,second,faulty]

NODE is Node 22 or later; FOLDER is a copy of oidc/ with its packages installed (.local/providers/oidc if none is given).
Python needs requirements.txt. A line is printed for each check; the status is 1 if one failed.
"""

import argparse
import base64
import gzip
import hashlib
import http.client
import json
import os
import secrets
import socket
import ssl
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode, urlsplit

sys.dont_write_bytecode = True

import running
from client import Answer, Browser
from journal import digest

CALLBACK = "http://127.0.0.1:53682/callback"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
BROKEN = (OSError, http.client.HTTPException)

count = failures = 0


def check(group: str, what: str, holds: object, told: object = "") -> None:
    global count, failures
    count += 1
    failures += not holds
    more = "" if holds else f": {told}"[:600]
    print(f"{'ok  ' if holds else 'FAIL'} {group.ljust(7)} {what}{more}", flush=True)


class Flow:
    """A client of OAuth, done right: one client at one provider."""

    def __init__(self, provider: running.Provider, metadata: dict, client: str, auth: str = "none", scope: str = ""):
        self.provider, self.metadata, self.client, self.auth, self.scope = provider, metadata, client, auth, scope
        self.secret = provider.given.secrets.get(client, "")

    def authorize(
        self, decision: str = "allow", password: str | None = None, user: str = "alice", **asked: str | None
    ) -> tuple[dict, Answer | None]:
        """The parameters of the redirect, or the page where it ended. `None` leaves a parameter out."""
        self.verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()
        self.state = secrets.token_urlsafe(24)
        query = {
            "response_type": "code",
            "client_id": self.client,
            "redirect_uri": CALLBACK,
            "scope": self.scope,
            "state": self.state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            **asked,
        }
        url = f"{self.metadata['authorization_endpoint']}?{urlencode({k: v for k, v in query.items() if v is not None})}"
        given = self.provider.given
        return Browser(given.ca).visit(url, CALLBACK, user, given.password if password is None else password, decision)

    def post(self, endpoint: str, secret: str | None = None, **form: str) -> Answer:
        secret = self.secret if secret is None else secret
        if self.auth == "basic":
            return self.provider.client.post(self.metadata[endpoint], form, basic=(self.client, secret))
        proof = {"client_secret": secret} if self.auth == "post" else {}
        return self.provider.client.post(self.metadata[endpoint], {"client_id": self.client, **proof, **form})

    def exchange(self, code: str, verifier: str | None = None) -> Answer:
        proof = verifier or self.verifier
        return self.post("token_endpoint", grant_type="authorization_code", code=code, redirect_uri=CALLBACK, code_verifier=proof)

    def refresh(self, token: str, **more: str) -> Answer:
        return self.post("token_endpoint", grant_type="refresh_token", refresh_token=token, **more)

    def revoke(self, token: str) -> Answer:
        return self.post("revocation_endpoint", token=token)

    def who(self, access_token: str) -> Answer:
        return self.provider.client.get(self.metadata["userinfo_endpoint"], access_token)

    def connect(self) -> dict:
        """All of it at once: the tokens."""
        told, page = self.authorize()
        if "code" not in told:
            raise RuntimeError(f"no code but {told} and {page and page.body}")
        answer = self.exchange(told["code"])
        if answer.status != 200:
            raise RuntimeError(f"no tokens but {answer.status} {answer.body}")
        return answer.json


def refused(answer: Answer, error: str = "invalid_grant", status: int = 400) -> bool:
    return (answer.status, answer.error) == (status, error)


def flow_checks(group: str, flow: Flow, account: tuple[str, str], has_iss: bool) -> None:
    """What every provider here does. The log is empty when this begins."""
    provider, named = flow.provider, f"{flow.client} client ({flow.auth})"
    told, page = flow.authorize()
    check(
        group,
        f"{named}: a code, the state{' and iss' if has_iss else ''}",
        "code" in told and told["state"] == flow.state,
        page and page.body,
    )
    check(group, f"{named}: iss is there exactly if it should be", told.get("iss") == (provider.base if has_iss else None), told)
    answer = flow.exchange(told["code"])
    tokens = answer.json
    check(
        group,
        f"{named}: tokens",
        answer.status == 200 and {"access_token", "refresh_token", "expires_in"} <= tokens.keys(),
        answer,
    )
    check(group, f"{named}: not to be stored", "no-store" in answer.headers["cache-control"], answer.headers.items())
    field, value = account
    check(group, f"{named}: who it is", flow.who(tokens["access_token"]).json[field] == value)

    renewed = flow.refresh(tokens["refresh_token"])
    check(
        group,
        f"{named}: a refresh rotates",
        renewed.status == 200 and renewed.json["refresh_token"] != tokens["refresh_token"],
        renewed,
    )
    counts = provider.counts()
    check(
        group,
        f"{named}: the log counts one refresh",
        counts["token_requests"] == {"authorization_code": 1, "refresh_token": 1},
        counts,
    )
    check(
        group,
        f"{named}: and no reuse",
        counts["reuse_detected"] == 0 and counts["most_token_requests_in_one_second"] in (1, 2),
        counts,
    )
    again = flow.refresh(tokens["refresh_token"])
    check(group, f"{named}: an old refresh token is refused", refused(again), again)
    dead = flow.refresh(renewed.json["refresh_token"])
    check(group, f"{named}: and ends the grant", refused(dead) and flow.who(renewed.json["access_token"]).status == 401, dead)
    counts = provider.counts()
    check(group, f"{named}: the log says so", counts["reuse_detected"] == 1 and counts["grants_revoked"] == 1, counts)
    check(
        group,
        f"{named}: and counts what was answered",
        counts["token_answers"] == {"authorization_code": 1, "refresh_token": 1},
        counts,
    )

    log, issued = json.dumps(provider.log()), provider.issued()
    every = [told["code"], *(found[name] for found in (tokens, renewed.json) for name in ("access_token", "refresh_token"))]
    check(group, f"{named}: all tokens are listed as issued", set(every) <= set(issued), len(issued))
    private = [*every, *filter(None, provider.given.secrets.values()), provider.given.password, flow.verifier]
    check(group, f"{named}: none is in the log, nor is a secret", not any(text in log for text in private))
    check(group, f"{named}: the log has their SHA-256", all(digest(token) in log for token in every[1:]))
    ways = {entry.get("client_auth") for entry in provider.log()["requests"] if "grant_type" in entry}
    check(group, f"{named}: the log says how the client proved itself", ways == {flow.auth}, ways)

    tokens = flow.connect()
    check(group, f"{named}: a token is revoked", flow.revoke(tokens["refresh_token"]).status == 200)
    gone = flow.refresh(tokens["refresh_token"])
    check(group, f"{named}: and is refused from then on", refused(gone), gone)
    check(group, f"{named}: an unknown token is revoked too", flow.revoke("no-such-token").status == 200)
    provider.reset()


def refusal_checks(group: str, flow: Flow, has_form: bool) -> None:
    if has_form:
        _, page = flow.authorize(password="wrong")
        check(group, "a wrong password is refused", page is not None and page.status == 401, page)
        told, _ = flow.authorize(decision="deny")
        check(group, "a person can deny", told.get("error") == "access_denied" and told["state"] == flow.state, told)
    _, page = flow.authorize(redirect_uri="https://elsewhere.example.test/callback")
    check(group, "an unknown redirect address is not redirected to", page is not None and page.status == 400, page)
    told, page = flow.authorize(code_challenge=None, code_challenge_method=None)
    check(group, "without PKCE there is no code", told.get("error") == "invalid_request", (told, page))
    told, _ = flow.authorize()
    check(group, "a wrong verifier is refused", refused(flow.exchange(told["code"], secrets.token_urlsafe(48))))
    told, _ = flow.authorize()
    first, again = flow.exchange(told["code"]), flow.exchange(told["code"])
    check(group, "a code is good once", first.status == 200 and refused(again), again)
    check(group, "and twice ends what came of it", refused(flow.refresh(first.json["refresh_token"])))
    wrong = flow.post("token_endpoint", secret="wrong", grant_type="refresh_token", refresh_token="x")
    check(group, "a wrong client secret is refused", wrong.error == "invalid_client" and wrong.status in (400, 401), wrong)
    flow.provider.reset()


def metadata_of(group: str, provider: running.Provider) -> dict:
    found = [
        provider.client.get(f"{provider.base}/.well-known/{name}")
        for name in ("openid-configuration", "oauth-authorization-server")
    ]
    metadata = found[0].json
    check(
        group,
        "both documents of metadata, for this issuer",
        metadata == found[1].json and metadata["issuer"] == provider.base,
        metadata,
    )
    check(group, "they say S256", metadata["code_challenge_methods_supported"] == ["S256"], metadata)
    return metadata


def raises(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except BROKEN:
        return True
    return False


def within(holds: Callable[[], bool], seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while not (is_so := holds()) and time.monotonic() < end:
        time.sleep(0.1)
    return is_so


def load(provider: running.Provider, metadata: dict, grants: int, threads: int = 4) -> float:
    """Refreshes as many new grants, each once, over few connections: the seconds it took."""
    tokens = provider.grants(grants)
    url = urlsplit(metadata["token_endpoint"])
    context = ssl.create_default_context(cafile=provider.given.ca)

    def work(mine: list[str]) -> None:
        connection = http.client.HTTPSConnection(url.hostname, url.port, context=context, timeout=60)
        for token in mine:
            form = urlencode({"grant_type": "refresh_token", "refresh_token": token, "client_id": "public"})
            connection.request("POST", url.path, form, {"content-type": "application/x-www-form-urlencoded"})
            connection.getresponse().read()
        connection.close()

    start = time.monotonic()
    workers = [threading.Thread(target=work, args=(tokens[n::threads],)) for n in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return time.monotonic() - start


def race_checks(group: str, flow: Flow) -> None:
    """Ten at once with one refresh token: no more than one is answered, or the log says how many were."""
    flow.provider.reset()
    token = flow.connect()["refresh_token"]
    answers: list[Answer] = []
    racers = [threading.Thread(target=lambda: answers.append(flow.refresh(token))) for _ in range(10)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    good, counts = sum(answer.status == 200 for answer in answers), flow.provider.counts()
    check(group, "ten refreshes at once with one token are counted", counts["token_requests"]["refresh_token"] == 10, counts)
    check(group, "one is answered, or the log tells", good == 1 + counts.get("rotated_twice", 0), (good, counts))
    check(group, "the others end the grant", counts["grants_revoked"] == 1 or good == 10, (good, counts))
    flow.provider.reset()


def load_checks(group: str, provider: running.Provider, metadata: dict, grants: int) -> None:
    provider.reset()
    took = load(provider, metadata, grants)
    counts = provider.counts()
    is_all = counts["token_answers"] == {"refresh_token": grants} and counts["reuse_detected"] == 0
    check(group, f"{grants} grants refresh once each ({grants / took:.0f} a second)", is_all, counts)
    most = counts["most_token_requests_in_one_second"]
    check(group, "the log has the most in one second", 0 < most <= grants and most >= grants / (took + 2), counts)
    provider.reset()


# --- oidc ---


def device_checks(group: str, flow: Flow, password: str) -> None:
    browser = Browser(flow.provider.given.ca)
    for decision, error in (("allow", None), ("deny", "access_denied")):
        started = flow.post("device_authorization_endpoint", scope=flow.scope).json
        poll = lambda: flow.post("token_endpoint", grant_type=DEVICE, device_code=started["device_code"])
        check(group, f"device to {decision}: it waits", refused(poll(), "authorization_pending"))
        url = started["verification_uri_complete"] + (f"&decision={decision}" if group == "faulty" else "")
        browser.visit(url, password=password, decision=decision)
        # Polls too early are answered with slow_down.
        last: list[Answer] = []
        within(lambda: (last.append(poll()) or last[-1].error) not in ("slow_down", "authorization_pending") or time.sleep(1), 20)
        is_right = last[-1].status == 200 and "refresh_token" in last[-1].json if error is None else refused(last[-1], error)
        check(group, f"device to {decision}: {error or 'tokens'}", is_right, last[-1])


def check_oidc(given: running.Settings) -> None:
    group, scope = "oidc", "openid email offline_access"
    start = lambda *options: running.oidc(given, GIVEN.node, GIVEN.oidc, *options)
    with start() as provider:
        metadata = metadata_of(group, provider)
        for client, auth in (("public", "none"), ("basic", "basic"), ("post", "post")):
            provider.reset()
            flow_checks(group, Flow(provider, metadata, client, auth, scope), ("email", "alice@example.test"), has_iss=True)
        basic = Flow(provider, metadata, "basic", "basic", scope)
        refusal_checks(group, basic, has_form=True)

        tokens = basic.connect()
        told = basic.post("introspection_endpoint", token=tokens["access_token"]).json
        check(group, "introspection says it is active", told["active"] is True and told["client_id"] == "basic", told)

        machine = Flow(provider, metadata, "client-credentials", "basic")
        answer = machine.post("token_endpoint", grant_type="client_credentials", scope="api:read")
        check(group, "client credentials", answer.status == 200 and "refresh_token" not in answer.json, answer)
        wanted = {
            "redirect_uris": [CALLBACK],
            "application_type": "native",
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
        }
        made = provider.client.post(metadata["registration_endpoint"], body=wanted)
        check(group, "a client registers itself", made.status == 201, made)
        registered = Flow(provider, metadata, made.json["client_id"], "none", scope)
        check(group, "and connects", "refresh_token" in registered.connect())
        device_checks(group, Flow(provider, metadata, "device", "none", scope), given.password)

        tokens = basic.connect()
        provider.reset()
        provider.fault("/token", "status", status=503, headers={"retry-after": "7"}, body={"error": "temporarily_unavailable"})
        answer = basic.refresh(tokens["refresh_token"])
        check(group, "fault status", answer.status == 503 and answer.headers["retry-after"] == "7", answer)
        provider.fault("/token", "html")
        check(group, "fault html", b"<html>" in basic.refresh(tokens["refresh_token"]).body)
        provider.fault("/token", "badjson")
        check(group, "fault badjson", basic.refresh(tokens["refresh_token"]).body.endswith(b", "))
        for kind in ("drop", "truncate"):
            provider.fault("/token", kind)
            check(group, f"fault {kind}", raises(lambda: basic.refresh(tokens["refresh_token"])))
        check(
            group,
            "faulty requests are counted too",
            provider.counts()["token_requests"] == {"refresh_token": 5},
            provider.counts(),
        )
        provider.fault("/token", "no_refresh")
        answer = basic.refresh(tokens["refresh_token"])
        check(group, "fault no_refresh", answer.status == 200 and "refresh_token" not in answer.json, answer)
        check(group, "which keeps the old one good", basic.refresh(tokens["refresh_token"]).status == 200)
        tokens = basic.connect()
        provider.fault("/token", "lost")
        check(group, "fault lost", raises(lambda: basic.refresh(tokens["refresh_token"])))
        check(
            group,
            "the work was done",
            refused(basic.refresh(tokens["refresh_token"])) and provider.counts()["reuse_detected"] == 1,
        )
        race_checks(group, basic)
        load_checks(group, provider, metadata, 500)

    with start("--ui", "auto", "--no-rotate", "--access-ttl", "3") as provider:
        metadata = provider.client.get(f"{provider.base}/.well-known/openid-configuration").json
        public = Flow(provider, metadata, "public", "none", scope)
        told, _ = public.authorize(password="", login_hint="bob")
        tokens = public.exchange(told["code"]).json
        check(group, "--ui auto asks nobody", public.who(tokens["access_token"]).json["sub"] == "bob")
        told, _ = public.authorize(login_hint="deny")
        check(group, "but for deny, who refuses", told.get("error") == "access_denied", told)
        check(group, "an access token expires", within(lambda: public.who(tokens["access_token"]).status == 401))
        is_active = public.post("introspection_endpoint", token=tokens["access_token"]).json["active"]
        check(group, "and is no longer active", is_active is False)
        renewed = [public.refresh(tokens["refresh_token"]).json["refresh_token"] for _ in range(2)]
        check(group, "--no-rotate keeps the refresh token", set(renewed) == {tokens["refresh_token"]})


# --- second ---


def check_second(given: running.Settings) -> None:
    group, scope = "second", "read:user user:email"
    with running.second(given) as provider:
        names = {"authorization": "/oauth/authorize", "token": "/oauth/token", "revocation": "/oauth/revoke", "userinfo": "/user"}
        metadata = {f"{name}_endpoint": provider.base + path for name, path in names.items()}
        for client, auth in (("public", "none"), ("basic", "basic"), ("post", "post")):
            provider.reset()
            flow_checks(group, Flow(provider, metadata, client, auth, scope), ("login", "alice"), has_iss=False)
        basic = Flow(provider, metadata, "basic", "basic", scope)
        refusal_checks(group, basic, has_form=True)
        race_checks(group, basic)
        told, _ = basic.authorize(scope="admin")
        check(group, "an unknown scope is refused", told.get("error") == "invalid_scope", told)
        tokens = basic.connect()
        check(group, "scopes come with spaces between", tokens["scope"] == scope, tokens["scope"])
        person = basic.who(tokens["access_token"]).json
        check(group, "/user is no OpenID", "sub" not in person and person["email"] == "alice@example.test", person)
        basic.scope = "read:user"
        check(group, "and hides the email without its scope", basic.who(basic.connect()["access_token"]).json["email"] is None)
        found = provider.client.get(f"{provider.base}/.well-known/oauth-authorization-server")
        check(group, "there is no metadata", found.status == 404, found)
    with running.second(given, "--no-rotate", "--access-ttl", "1") as provider:
        metadata = {f"{name}_endpoint": provider.base + path for name, path in names.items()}
        public = Flow(provider, metadata, "public", "none", scope)
        tokens = public.connect()
        check(group, "an access token expires", within(lambda: public.who(tokens["access_token"]).status == 401))
        renewed = [public.refresh(tokens["refresh_token"]) for _ in range(2)]
        check(
            group,
            "--no-rotate keeps the refresh token",
            all(r.status == 200 and "refresh_token" not in r.json for r in renewed),
            renewed,
        )


# --- faulty ---


def is_json(answer: Answer) -> bool:
    try:
        return isinstance(answer.json, dict)
    except (ValueError, RecursionError):
        return False


# For each kind, what a whole answer of /token looks like with it.
ANSWERS: dict[str, Callable[[Answer], bool]] = {
    "none": lambda a: a.status == 200 and a.json["token_type"] == "Bearer" and a.json["expires_in"] == 3600,
    "status": lambda a: a.status == 503 and a.error == "temporarily_unavailable",
    "html": lambda a: a.status == 200 and a.headers["content-type"] == "text/html" and b"<script>" in a.body,
    "empty": lambda a: (a.status, a.body) == (200, b""),
    "no_content": lambda a: (a.status, a.body) == (204, b""),
    "truncated": lambda a: a.status == 200 and a.body.startswith(b'{"access_token": "') and not is_json(a),
    "content_type": lambda a: a.headers["content-type"].startswith("text/html") and is_json(a),
    "bom": lambda a: a.body.startswith(b"\xef\xbb\xbf{"),
    "utf16": lambda a: "access_token" in json.loads(a.body.decode("utf-16")),
    "duplicate_keys": lambda a: a.body.count(b'"access_token"') == 2,
    "deep": lambda a: b"[" * 10_000 + b"]" * 10_000 in a.body,
    "body_10mb": lambda a: len(a.body) > 10 << 20 and "access_token" in a.json,
    "gzip_bomb": lambda a: (
        len(a.body) < 1 << 20 and a.headers["content-encoding"] == "gzip" and len(gzip.decompress(a.body)) > 100 << 20
    ),
    "redirect": lambda a: a.status == 307 and a.headers["location"].endswith("/elsewhere"),
    "expires_missing": lambda a: "expires_in" not in a.json,
    "expires_zero": lambda a: a.json["expires_in"] == 0,
    "expires_negative": lambda a: a.json["expires_in"] == -1,
    "expires_huge": lambda a: a.json["expires_in"] == 1e30,
    "expires_string": lambda a: a.json["expires_in"] == "3600",
    "type_mac": lambda a: a.json["token_type"] == "mac",
    "type_missing": lambda a: "token_type" not in a.json,
    "access_missing": lambda a: "access_token" not in a.json,
    "access_control": lambda a: "\r\n" in a.json["access_token"],
    "refresh_missing": lambda a: a.status == 200 and "refresh_token" not in a.json,
    "scope_shrunk": lambda a: a.json["scope"] == "api:read",
    "scope_widened": lambda a: a.json["scope"] == "api:read api:write admin:everything",
    "invalid_grant": refused,
    "invalid_client": lambda a: refused(a, "invalid_client", 401) and "www-authenticate" in a.headers,
    **{
        error: lambda a, error=error: refused(a, error)
        for error in (
            "unauthorized_client",
            "invalid_scope",
            "slow_down",
            "access_denied",
            "expired_token",
            "authorization_pending",
        )
    },
    "server_error": lambda a: refused(a, "server_error", 500),
}


def check_faulty(given: running.Settings) -> None:
    group, scope = "faulty", "openid email"
    with running.faulty(given) as provider:
        metadata = metadata_of(group, provider)
        for client, auth in (("public", "none"), ("basic", "basic"), ("post", "post")):
            provider.reset()
            flow_checks(group, Flow(provider, metadata, client, auth, scope), ("email", "alice@example.test"), has_iss=True)
        basic = Flow(provider, metadata, "basic", "basic", "api:read api:write")
        refusal_checks(group, basic, has_form=False)
        told, _ = basic.authorize(login_hint="deny")
        check(group, "the user deny refuses", told.get("error") == "access_denied", told)
        device_checks(group, Flow(provider, metadata, "device", "none", scope), "")
        machine = Flow(provider, metadata, "client-credentials", "basic")
        answer = machine.post("token_endpoint", grant_type="client_credentials", scope="api:read")
        check(group, "client credentials", answer.status == 200 and "refresh_token" not in answer.json, answer)

        provider.reset()
        current = basic.connect()["refresh_token"]
        old, unknown = basic.connect()["refresh_token"], "unknown"
        basic.refresh(old)
        for token in (current, old, old, unknown):
            basic.refresh(token)
        was = [entry["refresh_token_was"] for entry in provider.requests("/token") if entry["grant_type"] == "refresh_token"]
        check(group, "the log says what each refresh token was", was == ["current", "current", "old", "revoked", "unknown"], was)

        for kind, looks_right in ANSWERS.items():
            # A fault before the work leaves the token as it is, and one after it may not: each has a new one.
            token = provider.grants(1, client_id="basic", scope=basic.scope)[0]
            provider.fault("/token", kind)
            answer = basic.refresh(token)
            check(group, f"fault {kind}", looks_right(answer), (answer.status, answer.headers.items(), answer.body[:200]))
        fault_checks(group, provider, basic)
        race_checks(group, basic)
        load_checks(group, provider, metadata, 2000)

    with running.faulty(given, "--no-rotate", "--access-ttl", "1") as provider:
        public = Flow(provider, metadata_of(group, provider), "public", "none", scope)
        tokens = public.connect()
        check(group, "an access token expires", within(lambda: public.who(tokens["access_token"]).status == 401))
        renewed = [public.refresh(tokens["refresh_token"]) for _ in range(2)]
        check(
            group,
            "--no-rotate keeps the refresh token",
            all(r.status == 200 and "refresh_token" not in r.json for r in renewed),
            renewed,
        )


def is_reset(provider: running.Provider) -> bool:
    """Reads beneath TLS, which does not tell a reset from an end."""
    path = "/.well-known/openid-configuration"
    provider.fault(path, "rst")
    url = urlsplit(provider.base)
    context = ssl.create_default_context(cafile=provider.given.ca)
    with context.wrap_socket(socket.create_connection((url.hostname, url.port)), server_hostname=url.hostname) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nhost: {url.netloc}\r\n\r\n".encode())
        try:
            while os.read(connection.fileno(), 65536):
                pass
        except ConnectionResetError:
            return True
    return False


def fault_checks(group: str, provider: running.Provider, flow: Flow) -> None:
    token = lambda: provider.grants(1, client_id="basic", scope=flow.scope)[0]
    provider.reset()

    for kind in ("drop", "lost", "cut", "rst"):
        presented = token()
        provider.fault("/token", kind)
        is_broken, then = raises(lambda: flow.refresh(presented)), flow.refresh(presented)
        is_done = kind != "drop"
        check(
            group,
            f"fault {kind}: no whole answer, and the work is {'' if is_done else 'not '}done",
            is_broken and (then.status != 200) == is_done,
            then,
        )

    check(group, "fault rst: the connection is reset", is_reset(provider))

    presented = token()
    provider.fault("/token", "status", status=502, after=True)
    answer, then = flow.refresh(presented), flow.refresh(presented)
    check(group, "with `after` the work is done and lost", answer.status == 502 and refused(then), (answer, then))

    provider.fault("/token", "hang", seconds=1)
    start = time.monotonic()
    check(group, "fault hang: an answer, late", flow.refresh(token()).status == 200 and time.monotonic() - start >= 1)

    presented = token()
    provider.fault("/token", "drip", seconds=0.01)
    start = time.monotonic()
    check(group, "fault drip: an answer, byte by byte", flow.refresh(presented).status == 200 and time.monotonic() - start > 0.5)
    presented = token()
    provider.fault("/token", "drip")
    threading.Timer(1.5, provider.reset).start()
    check(group, "a reset ends what hangs", raises(lambda: flow.refresh(presented)))

    presented = token()
    provider.fault("/token", "many_headers")
    check(group, "fault many_headers: more than this client takes", raises(lambda: flow.refresh(presented)))
    provider.fault("/token", "body_10mb", mb=2, stated=False)
    answer = flow.refresh(token())
    check(
        group,
        "a long body without its length",
        "content-length" not in answer.headers and len(answer.body) > 2 << 20,
        answer.headers.items(),
    )
    provider.fault("/token", "body_100mb")
    check(group, "fault body_100mb", len(flow.refresh(token()).body) > 100 << 20)

    for asked in ("1", "86400", "soon"):
        provider.fault("/token", "too_many", retry_after=asked)
        answer = flow.refresh(token())
        check(group, f"fault too_many, {asked}", answer.status == 429 and answer.headers["retry-after"] == asked, answer)
    provider.fault("/token", "too_many", retry_after="date")
    check(group, "fault too_many, a date", flow.refresh(token()).headers["retry-after"].endswith(" GMT"))

    provider.fault("/token", "redirect")
    presented = token()
    target = flow.refresh(presented).headers["location"]
    check(
        group,
        "a redirect goes to another host",
        urlsplit(target).netloc != urlsplit(provider.base).netloc and provider.log()["elsewhere"] == [],
        target,
    )
    provider.client.post(target, {"refresh_token": presented}, basic=("basic", flow.secret))
    seen = provider.log()["elsewhere"][0]
    check(
        group,
        "what follows it is written down",
        seen["tokens"] == [digest(presented)] and seen["client_secrets"] == ["basic"],
        seen,
    )

    shapes: dict[str, Callable[[dict], bool]] = {
        "iss_wrong": lambda told: told["iss"] not in (None, provider.base) and "code" in told,
        "iss_missing": lambda told: "iss" not in told and "code" in told,
        "state_missing": lambda told: "state" not in told and "code" in told,
        "state_wrong": lambda told: told["state"] != flow.state and "code" in told,
        "denied": lambda told: (
            told["error"] == "access_denied" and "<script>" in told["error_description"] and "code" not in told
        ),
    }
    for kind, looks_right in shapes.items():
        provider.fault("/authorize", kind)
        told, _ = flow.authorize()
        check(group, f"fault {kind}", looks_right(told), told)

    access = flow.connect()["access_token"]
    provider.fault("/userinfo", "other_account")
    check(group, "fault other_account", flow.who(access).json["sub"] == "mallory" and flow.who(access).json["sub"] == "alice")
    provider.fault("/userinfo", "fields", set={"email": 7}, without=["name"])
    answer = flow.who(access)
    check(group, "fault fields", answer.json["email"] == 7 and "name" not in answer.json, answer)
    for path, ask in (
        ("/revoke", lambda: flow.revoke("x")),
        ("/device", lambda: flow.post("device_authorization_endpoint")),
        ("/.well-known/openid-configuration", lambda: provider.client.get(f"{provider.base}/.well-known/openid-configuration")),
    ):
        provider.fault(path, "status", status=500, body="broken")
        answer, then = ask(), ask()
        check(
            group, f"a fault of {path}", (answer.status, answer.body) == (500, b"broken") and then.status != 500, (answer, then)
        )

    provider.reset()
    provider.fault("/token", "none", count=1)
    provider.fault("/token", "invalid_grant", count=2, grant_type="refresh_token")
    statuses = [flow.refresh(token()).status for _ in range(4)]
    check(group, "faults come in turn, as often as they should", statuses == [200, 400, 400, 200], statuses)
    try:
        provider.fault("/token", "no such kind")
        check(group, "an unknown kind is refused", False)
    except RuntimeError as e:
        check(group, "an unknown kind is refused", "answered 400" in str(e), e)
    for kind in ("duplicate_keys", "access_control"):
        provider.fault("/token", kind)
        pairs = json.loads(flow.refresh(token()).body, object_pairs_hook=list)
        made = {value for name, value in pairs if name == "access_token"}
        check(group, f"the tokens made for {kind} are listed as issued", made and made <= set(provider.issued()))


def main() -> int:
    parts = {"oidc": check_oidc, "second": check_second, "faulty": check_faulty}
    for name in GIVEN.only.split(",") if GIVEN.only else parts:
        with tempfile.TemporaryDirectory() as folder:
            try:
                parts[name](running.settings(folder, [CALLBACK]))
            except Exception:
                check(name, "no exception", False, traceback.format_exc()[-1500:])
    print(f"{count - failures} of {count} hold")
    return 1 if failures else 0


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--node", default="node")
    options.add_argument("--oidc", default=str(Path(__file__).resolve().parents[2] / ".local" / "providers" / "oidc"))
    options.add_argument("--only", default="")
    GIVEN = options.parse_args()
    sys.exit(main())
