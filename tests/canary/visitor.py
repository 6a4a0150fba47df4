"""Whoever comes over HTTP: a client of the protocol with a token, and a person with a browser that runs no script.

Connections stay open until they are closed here, whatever the other side does: what a server keeps of a request for as
long as somebody is connected is found that way. Everything that is answered goes to the evidence.
"""

import html
import json
import re
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

from evidence import wait_for
from flows import World
from program import Server

URLENCODED = ("Content-Type", "application/x-www-form-urlencoded")
JSON = ("Content-Type", "application/json")
BOTH = ("Accept", "application/json, text/event-stream")
PATIENCE = 30


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")

    def messages(self) -> list[dict]:
        if "event-stream" in self.headers.get("content-type", ""):
            return [json.loads(data) for data in re.findall(r"^data: ?(\{.*)$", self.text, re.M)]
        return [json.loads(self.text)] if self.text.startswith("{") else []


class Wire:
    """One connection."""

    def __init__(self, port: int):
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.arrived = b""

    def send(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            # It has answered already, and reads no more.
            pass

    def more(self) -> bool:
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            return False
        self.arrived += data
        return bool(data)

    def until(self, pattern: bytes) -> re.Match:
        while not (found := re.search(pattern, self.arrived, re.S | re.M)):
            if not self.more():
                raise OSError("the connection ended")
        return found

    def head(self) -> Answer:
        try:
            self.until(rb"\r\n\r\n")
        except OSError:
            return Answer(0, {}, b"")
        head, self.arrived = self.arrived.split(b"\r\n\r\n", 1)
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): text.strip() for name, _, text in (line.partition(":") for line in lines)}
        return Answer(int(first.split()[1]), headers, b"")

    def answer(self) -> Answer:
        answer = self.head()
        if answer.headers.get("transfer-encoding") == "chunked":
            while size := int(self.line() or b"0", 16):
                self.at_least(size + 2)
                answer.body += self.arrived[:size]
                self.arrived = self.arrived[size + 2:]
            self.line()
        elif (size := answer.headers.get("content-length")) is not None:
            self.at_least(int(size))
            answer.body, self.arrived = self.arrived[:int(size)], self.arrived[int(size):]
        return answer

    def line(self) -> bytes:
        while b"\r\n" not in self.arrived and self.more():
            pass
        line, _, self.arrived = self.arrived.partition(b"\r\n")
        return line

    def at_least(self, size: int) -> None:
        while len(self.arrived) < size and self.more():
            pass


def form(*parts: tuple, end: bool = True) -> tuple[tuple[str, str], bytes]:
    """A form as a browser without script sends it: its header and its body. A part is name, content and perhaps the file's name."""
    line = b"----WebKitFormBoundary" + secrets.token_hex(8).encode()
    body = b""
    for name, content, *file in parts:
        content = content if isinstance(content, bytes) else content.encode()
        body += b"--" + line + b'\r\nContent-Disposition: form-data; name="' + name.encode() + b'"'
        if file:
            body += b'; filename="' + file[0].encode() + b'"\r\nContent-Type: application/octet-stream'
        body += b"\r\n\r\n" + content + b"\r\n"
    return ("Content-Type", "multipart/form-data; boundary=" + line.decode()), body + (b"--" + line + b"--\r\n" if end else b"")


class Site:
    """Where pages are served: by `serve --http`, or by a server on standard input and output, whose visitors type a code."""

    def __init__(self, w: World, server: Server, base: str, port: int, by_code: bool):
        self.w, self.server, self.base, self.port, self.by_code = w, server, base, port, by_code
        self.name = server.label
        self.host = base.split("//")[1]
        # What the names of its credentials begin with.
        self.prefix = "CODE" if by_code else "WEB"
        self.open: list[Wire] = []
        self.opened = 0

    @classmethod
    def begin(cls, w: World, name: str, *args: str, env=None) -> "Site":
        server = Server(w.program, "--http", "127.0.0.1:0", *args, label=name, env=env)
        said = wait_for(lambda: re.search(rb"listening on (https?://[^/: ]+(?::\d+)?): ", server.err.data()))
        base = said[1].decode()
        port = int(base.rsplit(":", 1)[1]) if base.count(":") == 2 else port_of(server.pid)
        return cls(w, server, base, port, by_code=False)

    @classmethod
    def of_link(cls, w: World, server: Server, url: str) -> "Site":
        base = url.split("/e/")[0]
        return cls(w, server, base, int(base.rsplit(":", 1)[1]), by_code=True)

    def look(self, when: str) -> None:
        self.server.look(when)

    def look_open_and_closed(self, when: str) -> None:
        self.look(f"{when}, connected")
        self.close()
        self.look(f"{when}, not connected")

    def close(self) -> None:
        for wire in self.open:
            wire.socket.close()
        self.open.clear()

    def wire(self) -> Wire:
        self.open.append(Wire(self.port))
        return self.open[-1]

    def seen(self, answer: Answer, label: str, sink: str) -> Answer:
        head = "".join(f"{name}: {text}\n" for name, text in answer.headers.items())
        self.w.evidence.add(sink, label, head.encode("latin-1") + b"\n" + answer.body)
        return answer

    def request(self, method: str, path: str, headers=(), body: bytes = b"", label: str = "somebody", sink: str = "http answers",
                wire: Wire | None = None) -> Answer:
        wire = wire or self.wire()
        wire.send(self.written(method, path, headers, body))
        return self.seen(wire.answer(), label, sink)

    def written(self, method: str, path: str, headers=(), body: bytes = b"") -> bytes:
        given = {name.lower() for name, _ in headers}
        head = [f"{method} {path} HTTP/1.1", *([] if "host" in given else [f"Host: {self.host}"])]
        head += [f"{name}: {text}" for name, text in headers]
        if method not in ("GET", "HEAD") and "content-length" not in given:
            head.append(f"Content-Length: {len(body)}")
        return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body

    def person(self, method: str, path: str, **fields: str) -> "Person":
        """Signs in by a form."""
        self.opened += 1
        name = f"{self.name}, person {self.opened}"
        body = "&".join(f"{n}={text}" for n, text in fields.items()).encode()
        answer = self.request(method, path, [URLENCODED, ("Origin", self.base), ("Sec-Fetch-Site", "same-origin")], body, name)
        if answer.status != 303 or "set-cookie" not in answer.headers:
            raise RuntimeError(f"{name} was not let in: {answer.status}")
        return Person(self, name, answer.headers["location"], answer.headers["set-cookie"])


class Person:
    """In a session: half of it in the path, half in the cookie. Both, and what its forms carry, are secret too."""

    def __init__(self, site: Site, name: str, location: str, cookie: str):
        self.site, self.name = site, name
        self.half = "/".join(location.split("/")[:3])
        self.cookie = cookie.split(";")[0]
        self.ours = [("Origin", site.base), ("Sec-Fetch-Site", "same-origin")]
        self.known: set[str] = set()
        self.keep("the half in the path", self.half.split("/")[2])
        self.keep("the half in the cookie", self.cookie.split("=", 1)[1])

    def keep(self, what: str, text: str) -> None:
        if text not in self.known:
            self.known.add(text)
            self.site.w.plant(f"{self.name}: {what}", "session", text.encode(), [
                ("http answers", self.name), ("looked up later", self.name), ("answers written", self.site.name), ("memory", self.site.name)])

    def get(self, path: str, sink: str = "http answers") -> Answer:
        answer = self.site.request("GET", self.half + path, [("Cookie", self.cookie)], label=f"{self.name}: {short(path)}", sink=sink)
        if token := re.search(r'name="csrf" value="([^"]+)"', answer.text):
            self.csrf = html.unescape(token[1])
            self.keep("what its forms carry", self.csrf)
        return answer

    def post(self, path: str, kind, body: bytes, headers=None) -> Answer:
        headers = [("Cookie", self.cookie), *self.ours] if headers is None else headers
        return self.site.request("POST", self.half + path, [kind, *headers], body, f"{self.name}: {short(path)}, sent")

    def plain(self, path: str, **fields: str) -> Answer:
        body = "&".join(f"{name}={text}" for name, text in {"csrf": self.csrf, **fields}.items())
        return self.post(path, URLENCODED, body.encode())

    def enter(self, link: str, *parts: tuple) -> Answer:
        """Opens the page of a link and sends its form."""
        self.get("/e/" + link)
        return self.post("/e/" + link, *form(("csrf", self.csrf), *parts))


def short(path: str) -> str:
    """A path without what is secret in it."""
    return re.sub(r"[\w-]{20,}", "…", path.split("?")[0])


def port_of(pid: int) -> int:
    """The port that a process listens at, where what it says does not tell."""
    ours = {link.name for fd in Path(f"/proc/{pid}/fd").iterdir() if (link := fd.readlink()).name.startswith("socket:")}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, state, inode = (line.split()[n] for n in (1, 3, 9))
        if state == "0A" and f"socket:[{inode}]" in ours:
            return int(local.split(":")[1], 16)
    raise OSError("it listens nowhere")


class Client:
    """A client of the protocol over Streamable HTTP, on one connection for as long as it lives."""

    VERSION = "2025-06-18"

    def __init__(self, site: Site, token: str, name: str = "a client", sink: str = "http answers"):
        self.site, self.token, self.sink = site, token, sink
        self.label = f"{site.name}, {name}"
        self.wire = site.wire()
        self.count = 0
        self.headers = [JSON, BOTH, ("Authorization", "Bearer " + token)]

    def post(self, body: bytes, extra=()) -> Answer:
        if self.wire not in self.site.open:
            self.wire = self.site.wire()
        try:
            answer = self.site.request("POST", "/mcp", [*self.headers, *extra], body, self.label, self.sink, self.wire)
        except OSError:
            answer = Answer(0, {}, b"")
        if answer.status == 0 or answer.headers.get("connection") == "close":
            self.wire = self.site.wire()
        return answer

    def begin(self) -> "Client":
        answer = self.post(json.dumps({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": self.VERSION, "capabilities": {}, "clientInfo": {"name": "canary", "version": "1"}}}).encode())
        self.headers += [("Mcp-Session-Id", answer.headers["mcp-session-id"]), ("MCP-Protocol-Version", self.VERSION)]
        self.post(b'{"jsonrpc": "2.0", "method": "notifications/initialized"}')
        return self

    def ask(self, method: str, params: dict | None = None) -> dict:
        self.count += 1
        answer = self.post(json.dumps({"jsonrpc": "2.0", "id": self.count, "method": method, "params": params or {}}).encode())
        told = [message for message in answer.messages() if "result" in message or "error" in message]
        return told[0] if told else {"error": {"code": f"status {answer.status}"}}

    def call(self, tool: str, **arguments) -> dict:
        return self.ask("tools/call", {"name": tool, "arguments": arguments})


class Stream:
    """A client over the older transport: a stream of answers, and posts beside it."""

    def __init__(self, site: Site, token: str):
        self.site, self.token, self.count = site, token, 0
        self.wire = site.wire()
        self.wire.send(site.written("GET", "/sse", [("Authorization", "Bearer " + token), ("Accept", "text/event-stream")]))
        self.to = self.wire.until(rb"^data: (/messages\?sessionId=\S+)")[1].decode()
        self.ask("initialize", {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {"name": "canary", "version": "1"}})
        self.send(b'{"jsonrpc": "2.0", "method": "notifications/initialized"}')

    def send(self, body: bytes, extra=()) -> Answer:
        return self.site.request("POST", self.to, [JSON, ("Authorization", "Bearer " + self.token), *extra], body, f"{self.site.name}, a stream's post")

    def ask(self, method: str, params: dict) -> dict:
        self.count += 1
        self.send(json.dumps({"jsonrpc": "2.0", "id": self.count, "method": method, "params": params}).encode())
        return json.loads(self.wire.until(rb'^data: (\{[^\n]*"id":%d[,}][^\n]*)\n' % self.count)[1])

    def call(self, tool: str, **arguments) -> dict:
        return self.ask("tools/call", {"name": tool, "arguments": arguments})

    def end(self) -> None:
        self.site.w.evidence.add("http answers", f"{self.site.name}, a stream", self.wire.arrived)
        self.wire.socket.close()


def sealed(page: Answer, fields: dict[str, bytes], file: tuple[str, bytes] | None = None) -> bytes | None:
    """What the page's script sends instead of the values (RFC 9180: base mode, DHKEM(P-256, HKDF-SHA256), HKDF-SHA256,
    AES-256-GCM); `None` where Python's `cryptography` is missing."""
    try:
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    except ImportError:
        return None
    import base64
    import hmac

    key = base64.urlsafe_b64decode(re.search(r'data-seal-key="([^"]+)"', page.text)[1] + "==")
    info = html.unescape(re.search(r'data-seal-info="([^"]+)"', page.text)[1]).encode()

    def extract(salt: bytes, suite: bytes, label: bytes, keying: bytes) -> bytes:
        return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + keying, "sha256")

    def expand(secret: bytes, suite: bytes, label: bytes, about: bytes, size: int) -> bytes:
        # One block is as much as is ever asked for.
        given = size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + about
        return hmac.digest(secret, given + b"\x01", "sha256")[:size]

    ours = ec.generate_private_key(ec.SECP256R1())
    point = ours.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    shared = ours.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key))
    kem, suite = b"KEM\x00\x10", b"HPKE\x00\x10\x00\x01\x00\x02"
    agreed = expand(extract(b"", kem, b"eae_prk", shared), kem, b"shared_secret", point + key, 32)
    context = b"\0" + extract(b"", suite, b"psk_id_hash", b"") + extract(b"", suite, b"info_hash", info)
    secret = extract(agreed, suite, b"secret", b"")
    inside = {"fields": {name: value.decode() for name, value in fields.items()},
              "file": file and {"name": file[0], "content": base64.b64encode(file[1]).decode()}}
    cipher = AESGCM(expand(secret, suite, b"key", context, 32))
    box = cipher.encrypt(expand(secret, suite, b"base_nonce", context, 12), json.dumps(inside).encode(), b"")
    return base64.urlsafe_b64encode(point + box).rstrip(b"=")
