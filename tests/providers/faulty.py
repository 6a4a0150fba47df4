"""An OAuth provider over HTTPS on loopback that fails as it is told to, with the standard library alone.

faulty.py CONFIG [--port 0] [--other-port 0] [--access-ttl 3600] [--no-rotate]

CONFIG is a JSON file; README.md says what is in it, what the handles under /_ do and how faults are asked for; faults.py
has them all. The clients are public, basic, post, device and client-credentials. Everything is allowed without a page, for
who `login_hint` names. A second listener, elsewhere, writes down every request that it gets: nothing should come there.

"ready https://localhost:PORT elsewhere https://127.0.0.1:PORT" says that both listen; it stops when it is ended.
"""

import argparse
import base64
import binascii
import hashlib
import hmac
import http.server
import json
import secrets
import socket
import ssl
import struct
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

import faults
from faults import Answer, Faults, refusal
from journal import Journal, digest
from redirects import is_known

DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
CODE_TTL_S, DEVICE_TTL_S, DEVICE_INTERVAL_S = 60, 120, 1
IDLE_S = 120
WELL_KNOWN = ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server")


# --- What it remembers ---


@dataclass
class Grant:
    client_id: str
    user: str
    scope: str
    refresh_token: str = ""
    is_revoked: bool = False


@dataclass
class Code:
    grant: Grant
    redirect_uri: str
    challenge: str
    at: float = field(default_factory=time.monotonic)
    is_used: bool = False


@dataclass
class Device:
    grant: Grant
    decision: str = "pending"
    at: float = field(default_factory=time.monotonic)
    asked_at: float = 0.0


class Refused(Exception):
    """Ends a request with an OAuth error."""

    def __init__(self, error: str, status: int = 400, description: str = ""):
        super().__init__(error)
        self.answer = refusal(error, status, description)


def require(holds: bool, error: str, status: int = 400, description: str = "") -> None:
    if not holds:
        raise Refused(error, status, description)


def fresh() -> str:
    return secrets.token_urlsafe(32)


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    form: dict[str, str]
    authorization: str
    entry: dict
    # For a provider that gives no new refresh token: the old one stays good.
    keeps_refresh_token: bool = False


class Provider:
    """The protocol, done right. Every method is called with the lock held."""

    def __init__(self, config: dict, base: str, journal: Journal, access_ttl: int, rotates: bool):
        self.base, self.journal, self.access_ttl, self.rotates = base, journal, access_ttl, rotates
        self.redirect_uris = config["redirect_uris"]
        self.secrets = {"public": None, "device": None, **config["secrets"]}
        self.auth = {"public": "none", "device": "none", "basic": "basic", "post": "post", "client-credentials": "basic"}
        self.codes: dict[str, Code] = {}
        self.devices: dict[str, Device] = {}
        self.by_user_code: dict[str, Device] = {}
        self.by_refresh: dict[str, Grant] = {}
        self.by_access: dict[str, tuple[Grant, float]] = {}
        self.paths = {
            "/authorize": self.authorize,
            "/token": self.token,
            "/revoke": self.revoke,
            "/userinfo": self.userinfo,
            "/device": self.device,
            "/activate": self.activate,
            **{path: self.metadata for path in WELL_KNOWN},
        }

    def answer(self, request: Request) -> Answer:
        operation = self.paths.get(request.path)
        if operation is None:
            return Answer(404, {"error": "not_found"})
        try:
            return operation(request)
        except Refused as refused:
            return refused.answer

    def metadata(self, _request: Request) -> Answer:
        told = {
            "issuer": self.base,
            "authorization_endpoint": f"{self.base}/authorize",
            "token_endpoint": f"{self.base}/token",
            "revocation_endpoint": f"{self.base}/revoke",
            "userinfo_endpoint": f"{self.base}/userinfo",
            "device_authorization_endpoint": f"{self.base}/device",
            "scopes_supported": ["openid", "email", "profile", "offline_access", "api:read", "api:write"],
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials", DEVICE],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        }
        return Answer(200, told)

    def authorize(self, request: Request) -> Answer:
        asked = request.query
        redirect_uri, client = asked.get("redirect_uri", ""), asked.get("client_id", "")
        # Until both are known nobody is sent anywhere (RFC 6749 §4.1.2.1).
        require(client in self.auth, "invalid_client")
        require(is_known(redirect_uri, self.redirect_uris), "invalid_request", description="redirect_uri is not registered")
        told = {"state": asked["state"]} if "state" in asked else {}
        if asked.get("response_type") != "code":
            told["error"] = "unsupported_response_type"
        elif asked.get("code_challenge_method") != "S256" or not asked.get("code_challenge"):
            told["error"] = "invalid_request"
        elif asked.get("login_hint") == "deny":
            told["error"] = "access_denied"
        else:
            told["code"] = fresh()
            self.journal.issue(told["code"])
            grant = Grant(client, asked.get("login_hint", "alice"), asked.get("scope", ""))
            self.codes[told["code"]] = Code(grant, redirect_uri, asked["code_challenge"])
        # RFC 9207.
        told["iss"] = self.base
        return Answer(302, told, {"Location": redirect_uri, "Cache-Control": "no-store"}, b"")

    def client(self, request: Request) -> str:
        """The client that proved itself."""
        kind = request.entry["client_auth"]
        require(kind != "both", "invalid_request", description="one way to authenticate at a time")
        client, secret = request.form.get("client_id", ""), request.form.get("client_secret", "")
        if kind == "basic":
            try:
                pair = base64.b64decode(request.authorization.split(" ", 1)[1], validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                raise Refused("invalid_client", 401) from None
            # Both are encoded as in a form (RFC 6749 §2.3.1).
            client, _, secret = (unquote_plus(part) for part in pair.partition(":"))
        require(self.auth.get(client) == kind, "invalid_client", 401)
        expected = self.secrets[client] or ""
        require(hmac.compare_digest(expected.encode(), secret.encode()), "invalid_client", 401)
        request.entry["client_id"] = client
        return client

    def token(self, request: Request) -> Answer:
        require(request.method == "POST", "invalid_request", 405)
        client = self.client(request)
        ways = {
            "authorization_code": self.by_code,
            "refresh_token": self.refreshed,
            "client_credentials": self.for_client,
            DEVICE: self.by_device,
        }
        way = ways.get(request.form.get("grant_type", ""))
        require(way is not None, "unsupported_grant_type")
        return way(request, client)

    def by_code(self, request: Request, client: str) -> Answer:
        code = self.codes.get(request.form.get("code", ""))
        require(code is not None and code.grant.client_id == client, "invalid_grant")
        if code.is_used:
            self.reused(code.grant)
        verifier = hashlib.sha256(request.form.get("code_verifier", "").encode()).digest()
        proven = base64.urlsafe_b64encode(verifier).rstrip(b"=").decode() == code.challenge
        is_same = request.form.get("redirect_uri") == code.redirect_uri
        require(proven and is_same and time.monotonic() - code.at < CODE_TTL_S, "invalid_grant")
        code.is_used = True
        return self.tokens(code.grant, is_new=True)

    def refreshed(self, request: Request, client: str) -> Answer:
        presented = request.form.get("refresh_token", "")
        grant = self.by_refresh.get(presented)
        if grant is None or grant.client_id != client:
            request.entry["refresh_token_was"] = "unknown"
            raise Refused("invalid_grant")
        is_current = grant.refresh_token == presented
        request.entry["refresh_token_was"] = "revoked" if grant.is_revoked else "current" if is_current else "old"
        require(not grant.is_revoked, "invalid_grant")
        if not is_current:
            self.reused(grant)
        scope = request.form.get("scope")
        require(scope is None or set(scope.split()) <= set(grant.scope.split()), "invalid_scope")
        return self.tokens(grant, is_new=self.rotates and not request.keeps_refresh_token)

    def for_client(self, request: Request, client: str) -> Answer:
        require(client == "client-credentials", "unauthorized_client")
        return self.tokens(Grant(client, client, request.form.get("scope", "")), is_new=False)

    def by_device(self, request: Request, client: str) -> Answer:
        device = self.devices.get(request.form.get("device_code", ""))
        require(device is not None and device.grant.client_id == client, "invalid_grant")
        now = time.monotonic()
        since, device.asked_at = now - device.asked_at, now
        require(now - device.at < DEVICE_TTL_S, "expired_token")
        require(device.decision != "deny", "access_denied")
        require(device.decision != "used", "invalid_grant")
        # A little early is no haste.
        require(since > DEVICE_INTERVAL_S * 0.9, "slow_down")
        require(device.decision == "allow", "authorization_pending")
        device.decision = "used"
        return self.tokens(device.grant, is_new=True)

    def reused(self, grant: Grant) -> None:
        """What came twice ends the grant (RFC 9700 §4.14.2)."""
        self.journal.reused()
        self.end(grant)
        raise Refused("invalid_grant")

    def end(self, grant: Grant) -> None:
        if not grant.is_revoked:
            grant.is_revoked = True
            self.journal.revoked()

    def tokens(self, grant: Grant, is_new: bool) -> Answer:
        told = {"access_token": fresh(), "token_type": "Bearer", "expires_in": self.access_ttl, "scope": grant.scope}
        self.by_access[told["access_token"]] = (grant, time.monotonic() + self.access_ttl)
        if is_new:
            grant.refresh_token = told["refresh_token"] = fresh()
            self.by_refresh[grant.refresh_token] = grant
        return Answer(200, told, {"Cache-Control": "no-store", "Pragma": "no-cache"})

    def revoke(self, request: Request) -> Answer:
        client = self.client(request)
        token = request.form.get("token", "")
        if grant := self.by_refresh.get(token):
            require(grant.client_id == client, "invalid_grant")
            self.end(grant)
        else:
            self.by_access.pop(token, None)
        # Also for a token that nobody knows (RFC 7009 §2.2).
        return Answer(200, None, {}, b"")

    def userinfo(self, request: Request) -> Answer:
        kind, _, value = request.authorization.partition(" ")
        grant, until = self.by_access.get(value, (None, 0.0))
        if kind.lower() != "bearer" or grant is None or grant.is_revoked or time.monotonic() > until:
            return Answer(401, {"error": "invalid_token"}, {"WWW-Authenticate": 'Bearer error="invalid_token"'})
        user = grant.user
        return Answer(200, {"sub": user, "name": f"User {user}", "preferred_username": user, "email": f"{user}@example.test"})

    def device(self, request: Request) -> Answer:
        device = Device(Grant(self.client(request), "alice", request.form.get("scope", "")))
        told = {"device_code": fresh(), "user_code": "-".join(secrets.token_hex(2).upper() for _ in range(2))}
        self.devices[told["device_code"]] = self.by_user_code[told["user_code"]] = device
        activate = f"{self.base}/activate"
        told |= {"verification_uri": activate, "verification_uri_complete": f"{activate}?user_code={told['user_code']}"}
        told |= {"expires_in": DEVICE_TTL_S, "interval": DEVICE_INTERVAL_S}
        return Answer(200, told)

    def activate(self, request: Request) -> Answer:
        """The page of a person with a device: its address decides, with `decision=allow` or `deny`."""
        device = self.by_user_code.get(request.query.get("user_code", ""))
        require(device is not None, "invalid_request", description="there is no such code")
        device.decision = request.query.get("decision", "allow")
        return Answer(200, {"decision": device.decision})

    def make_grants(self, count: int, client_id: str = "public", scope: str = "api:read") -> list[str]:
        made = []
        for n in range(count):
            grant = Grant(client_id, f"user-{n}", scope, fresh())
            self.by_refresh[grant.refresh_token] = grant
            made.append(grant.refresh_token)
        self.journal.issue(*made)
        return made


# --- Serving, right and wrong ---


class Server(http.server.ThreadingHTTPServer):
    """TLS for each connection in its own thread, so that one slow handshake holds nobody up."""

    daemon_threads = True
    request_queue_size = 4096

    def __init__(self, port: int, handler: type, tls: ssl.SSLContext):
        super().__init__(("127.0.0.1", port), handler)
        self.tls = tls

    def finish_request(self, request, client_address):
        request.settimeout(IDLE_S)
        with self.tls.wrap_socket(request, server_side=True) as connection:
            self.RequestHandlerClass(connection, client_address, self)

    def handle_error(self, request, client_address):
        """Clients come and go as the tests have them do: that is no news."""


class Handler(http.server.BaseHTTPRequestHandler):
    """Reads one request after the other; `respond` is what is done with each."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def respond(self, url, body: bytes) -> None:
        raise NotImplementedError

    def do_GET(self):
        size = int(self.headers.get("content-length", 0))
        self.respond(urlsplit(self.path), self.rfile.read(size))

    do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, *_):
        pass

    def head(self, answer: Answer, length: int | None) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status == 204:
            pass
        elif length is None:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def send(self, answer: Answer) -> None:
        if isinstance(answer.body, bytes):
            self.head(answer, len(answer.body))
            self.wfile.write(answer.body)
            return
        self.head(answer, answer.length)
        for piece in answer.body():
            self.wfile.write(piece if answer.length else b"%x\r\n%s\r\n" % (len(piece), piece))
        if not answer.length:
            self.wfile.write(b"0\r\n\r\n")


class State:
    """What the threads share."""

    def __init__(self, config: dict):
        self.config = config
        self.lock = threading.Lock()
        self.journal = Journal("/token", {"/revoke", "/device"})
        self.faults = Faults()
        self.elsewhere: list[dict] = []
        # Set by a reset, so that nobody hangs on.
        self.released = threading.Event()
        self.provider: Provider
        self.other: str

    def reset(self) -> None:
        self.journal.reset()
        with self.lock:
            self.faults = Faults()
            self.elsewhere = []
            self.released.set()
            self.released = threading.Event()


def provider_handler(state: State) -> type[Handler]:
    journal = state.journal

    class ProviderHandler(Handler):
        def respond(self, url, body):
            if url.path.startswith("/_"):
                return self.handle_control(url.path, body)
            query, form = dict(parse_qsl(url.query)), dict(parse_qsl(body.decode("utf-8", "replace")))
            authorization = self.headers.get("authorization", "")
            entry = journal.asked(self.command, url.path, query, form, authorization)
            with state.lock:
                fault = state.faults.take(url.path, form.get("grant_type"))
                released = state.released
            kind = fault["kind"]
            if kind != "none":
                entry["fault"] = kind
            if kind == "hang":
                released.wait(fault.get("seconds", 30))
            if kind == "drop":
                return self.hang_up()
            request = Request(self.command, url.path, query, form, authorization, entry, kind == "refresh_missing")
            if kind in faults.REPLY and not fault.get("after"):
                answer = faults.REPLY[kind](fault, state.other)
            else:
                with state.lock:
                    answer = state.provider.answer(request)
            journal.answered(entry, answer.status, answer.fields)
            self.answer(answer, fault, entry, released)

        def answer(self, answer: Answer, fault: dict, entry: dict, released: threading.Event) -> None:
            kind = fault["kind"]
            if kind in faults.REPLY and fault.get("after"):
                answer = faults.REPLY[kind](fault, state.other)
            if kind in faults.CHANGE and answer.is_good:
                faults.CHANGE[kind](answer.fields, fault)
            if answer.fields is not None and answer.status in (302, 303):
                target = answer.headers["Location"]
                answer.headers["Location"] = f"{target}{'&' if '?' in target else '?'}{urlencode(answer.fields)}"
            elif kind in faults.WRITTEN:
                faults.WRITTEN[kind](answer, fault)
            # A token made up for a fault is searched for like any other.
            told = answer.fields or {}
            journal.issue(*answer.made, *(told[name] for name in ("access_token", "refresh_token") if name in told))
            if answer.body is None:
                answer.body = faults.as_json(answer)
                answer.headers.setdefault("Content-Type", faults.JSON)
            match kind:
                case "lost":
                    self.hang_up()
                case "cut" | "rst":
                    self.head(answer, len(answer.body))
                    self.wfile.write(answer.body[: len(answer.body) // 2])
                    self.wfile.flush()
                    self.hang_up(resets=kind == "rst")
                case "drip":
                    self.head(answer, len(answer.body))
                    for at in range(len(answer.body)):
                        self.wfile.flush()
                        if released.wait(fault.get("seconds", 1)):
                            return self.hang_up()
                        self.wfile.write(answer.body[at : at + 1])
                case _:
                    self.send(answer)
            entry["is_sent"] = True

        def hang_up(self, resets: bool = False) -> None:
            """Closes without the end of TLS; a reset tells the other side at once."""
            if resets:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()

        def handle_control(self, path: str, body: bytes) -> None:
            try:
                told = control(state, path, json.loads(body or b"{}"))
                answer = Answer(404, {"error": "there is no such handle"}) if told is None else Answer(200)
            except (ValueError, TypeError, KeyError) as e:
                told, answer = {"error": str(e)}, Answer(400)
            answer.headers["Content-Type"] = faults.JSON
            answer.body = json.dumps(told if answer.status != 404 else answer.fields).encode()
            self.send(answer)

    return ProviderHandler


def control(state: State, path: str, asked: dict) -> object:
    """What a handle answers, or None where there is no such handle."""
    match path:
        case "/_log":
            with state.lock:
                elsewhere = list(state.elsewhere)
            return {**state.journal.log(), "elsewhere": elsewhere}
        case "/_counts":
            return state.journal.counts()
        case "/_issued":
            return state.journal.every_token()
        case "/_reset":
            state.reset()
            return {}
        case "/_fault":
            with state.lock:
                state.faults.add(asked)
            return {}
        case "/_grants":
            with state.lock:
                return {"refresh_tokens": state.provider.make_grants(**asked)}
    return None


def elsewhere_handler(state: State) -> type[Handler]:
    class ElsewhereHandler(Handler):
        """Answers as a provider would, so that whoever followed a redirect goes on and is seen to."""

        def respond(self, url, body):
            authorization = self.headers.get("authorization", "")
            seen = unquote_plus("\n".join((self.path, str(self.headers), body.decode("utf-8", "replace"))))
            try:
                seen += unquote_plus(base64.b64decode(authorization.partition(" ")[2]).decode())
            except (binascii.Error, UnicodeDecodeError):
                pass
            entry = {
                "at_ms": int(time.time() * 1000),
                "method": self.command,
                "host": self.headers.get("host", ""),
                "path": url.path,
                "authorization": authorization.partition(" ")[0],
                "body_bytes": len(body),
                "tokens": [digest(token) for token in state.journal.every_token() if token in seen],
                "client_secrets": [name for name, secret in state.config["secrets"].items() if secret in seen],
            }
            with state.lock:
                state.elsewhere.append(entry)
            told = {"access_token": fresh(), "token_type": "Bearer", "expires_in": 3600, "refresh_token": fresh()}
            state.journal.issue(told["access_token"], told["refresh_token"])
            self.send(Answer(200, None, {"Content-Type": faults.JSON}, json.dumps(told).encode()))

    return ElsewhereHandler


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--other-port", type=int, default=0)
    parser.add_argument("--access-ttl", type=int, default=3600, help="seconds")
    parser.add_argument("--no-rotate", action="store_true", help="keep the refresh token as it is")
    given = parser.parse_args()
    with open(given.config) as opened:
        config = json.load(opened)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(config["certificate"], config["key"])
    state = State(config)
    server = Server(given.port, provider_handler(state), tls)
    other = Server(given.other_port, elsewhere_handler(state), tls)
    base, elsewhere = f"https://localhost:{server.server_port}", f"https://127.0.0.1:{other.server_port}"
    state.provider = Provider(config, base, state.journal, given.access_ttl, rotates=not given.no_rotate)
    state.other = f"{elsewhere}/elsewhere"
    threading.Thread(target=other.serve_forever, daemon=True).start()
    print(f"ready {base} elsewhere {elsewhere}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
