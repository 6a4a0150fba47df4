"""What can go wrong with an answer, by name. A fault is the JSON object that a test sent:

    {"path": "/token", "kind": "status", "status": 503, "headers": {"Retry-After": "1"}, "count": 2}

There are four sorts of kinds. A REPLY comes in place of the provider's answer, and the provider does nothing; with
`"after": true` it does its work first, and that answer is lost. A CHANGE is made to the fields of a good answer: the
members of its JSON, or the parameters of its redirect. WRITTEN is how these are then written down, and SENT what becomes
of them on the way; of SENT `hang` and `drop` come before the work.
"""

import json
import secrets
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate

JSON = "application/json"
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
PIECE = b"x" * 65536
MB = 1 << 20


@dataclass
class Answer:
    """`fields` are what the answer says; `body` is what is written, made of them where there is none yet."""

    status: int
    fields: dict | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | Callable[[], Iterator[bytes]] | None = None
    # Where the body is not bytes; without one it is sent in chunks.
    length: int | None = None
    # Tokens that are in the body and not in the fields.
    made: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return self.status < 400 and "error" not in (self.fields or {})


def refusal(error: str, status: int = 400, description: str = "") -> Answer:
    """RFC 6749 §5.2."""
    told = {"error": error, "error_description": description} if description else {"error": error}
    return Answer(status, told, {"WWW-Authenticate": 'Basic realm="test"'} if status == 401 else {})


# --- REPLY: in place of the provider's answer ---


def _status(fault: dict, _elsewhere: str) -> Answer:
    body = fault.get("body", {"error": "temporarily_unavailable"})
    text = body if isinstance(body, str) else json.dumps(body)
    kind = JSON if text[:1] in "{[" else "text/plain"
    return Answer(fault.get("status", 503), None, {"Content-Type": kind, **fault.get("headers", {})}, text.encode())


def _too_many(fault: dict, _elsewhere: str) -> Answer:
    """`retry_after` goes out as it is, whatever it is; `date` stands for the date in two seconds."""
    said = str(fault.get("retry_after", "1"))
    said = formatdate(time.time() + 2, usegmt=True) if said == "date" else said
    return Answer(429, {"error": "temporarily_unavailable"}, {"Retry-After": said})


def _redirect(fault: dict, elsewhere: str) -> Answer:
    """307 has the client send its body again, to the other listener if no `location` is given."""
    return Answer(fault.get("status", 307), None, {"Location": fault.get("location", elsewhere)}, b"")


def _html(_fault: dict, _elsewhere: str) -> Answer:
    return Answer(200, None, {"Content-Type": "text/html"}, f"<!doctype html><title>Sign in</title>{HOSTILE}".encode())


def _refused(error: str, status: int = 400) -> Callable:
    return lambda fault, _elsewhere: refusal(error, fault.get("status", status), fault.get("description", ""))


REPLY: dict[str, Callable[[dict, str], Answer]] = {
    "status": _status,
    "too_many": _too_many,
    "redirect": _redirect,
    "html": _html,
    "empty": lambda *_: Answer(200, None, {"Content-Type": JSON}, b""),
    "no_content": lambda *_: Answer(204, None, {}, b""),
    "invalid_client": _refused("invalid_client", 401),
    "server_error": _refused("server_error", 500),
    **{
        error: _refused(error)
        for error in (
            "invalid_grant",
            "invalid_request",
            "invalid_scope",
            "unauthorized_client",
            "unsupported_grant_type",
            "unsupported_token_type",
            "access_denied",
            "authorization_pending",
            "slow_down",
            "expired_token",
        )
    },
}


# --- CHANGE: of what a good answer says ---


def _put(**values: object) -> Callable:
    return lambda fields, _fault: fields.update(values)


def _without(*names: str) -> Callable:
    return lambda fields, _fault: [fields.pop(name, None) for name in names]


def _fields(fields: dict, fault: dict) -> None:
    """Whatever is asked for: members to `set`, names to leave out (`without`)."""
    fields.update(fault.get("set", {}))
    _without(*fault.get("without", []))(fields, fault)


def _access_control(fields: dict, _fault: dict) -> None:
    fields["access_token"] = secrets.token_urlsafe(24) + "\r\nX-Injected: yes\r\n\x00\x1b[31m"


def _denied(fields: dict, fault: dict) -> None:
    fields.pop("code", None)
    fields.update(error="access_denied", error_description=fault.get("description", HOSTILE))


def _scope_shrunk(fields: dict, _fault: dict) -> None:
    fields["scope"] = " ".join(fields.get("scope", "").split()[:1])


def _scope_widened(fields: dict, _fault: dict) -> None:
    fields["scope"] = f"{fields.get('scope', '')} admin:everything".strip()


CHANGE: dict[str, Callable[[dict, dict], object]] = {
    "fields": _fields,
    # /token
    "expires_missing": _without("expires_in"),
    "expires_zero": _put(expires_in=0),
    "expires_negative": _put(expires_in=-1),
    "expires_huge": _put(expires_in=1e30),
    "expires_string": _put(expires_in="3600"),
    "type_mac": _put(token_type="mac"),
    "type_missing": _without("token_type"),
    "access_missing": _without("access_token"),
    "access_control": _access_control,
    "refresh_missing": _without("refresh_token"),
    "scope_shrunk": _scope_shrunk,
    "scope_widened": _scope_widened,
    # /authorize
    "iss_wrong": _put(iss="https://issuer.example.test"),
    "iss_missing": _without("iss"),
    "state_wrong": lambda fields, _fault: fields.update(state=secrets.token_urlsafe(24)),
    "state_missing": _without("state"),
    "denied": _denied,
    # /userinfo
    "other_account": _put(sub="mallory", name="User mallory", preferred_username="mallory", email="mallory@example.test"),
}


# --- WRITTEN: how it is written down ---


def as_json(answer: Answer) -> bytes:
    return json.dumps(answer.fields or {}).encode()


def _body(write: Callable[[bytes], bytes], content_type: str = JSON) -> Callable:
    def written(answer: Answer, _fault: dict) -> None:
        answer.body = write(as_json(answer))
        answer.headers["Content-Type"] = content_type

    return written


def _content_type(answer: Answer, fault: dict) -> None:
    answer.body = as_json(answer)
    answer.headers["Content-Type"] = fault.get("value", "text/html; charset=utf-8")


def _first(answer: Answer, member: str) -> None:
    """Puts one more member before the others."""
    body = as_json(answer)
    answer.body = b"{" + member.encode() + (b"," if len(body) > 2 else b"") + body[1:]
    answer.headers["Content-Type"] = JSON


def _deep(answer: Answer, _fault: dict) -> None:
    _first(answer, '"deep":' + "[" * 10_000 + "]" * 10_000)


def _duplicate_keys(answer: Answer, _fault: dict) -> None:
    answer.made.append(secrets.token_urlsafe(32))
    _first(answer, f'"access_token":"{answer.made[-1]}"')


def _padded(size_mb: int) -> Callable:
    """Well-formed JSON, too long; with `"stated": false` no length is told beforehand."""

    def written(answer: Answer, fault: dict) -> None:
        pieces = fault.get("mb", size_mb) * MB // len(PIECE)
        start, end = b'{"padding":"', b'","last":true,' + as_json(answer)[1:]
        if answer.fields in (None, {}):
            end = b'","last":true}'

        def body() -> Iterator[bytes]:
            yield start
            for _ in range(pieces):
                yield PIECE
            yield end

        answer.headers["Content-Type"] = JSON
        answer.body = body
        answer.length = len(start) + pieces * len(PIECE) + len(end) if fault.get("stated", True) else None

    return written


def _gzip_bomb(answer: Answer, fault: dict) -> None:
    """Small on the wire, `mb` once it is unpacked, whatever encodings were asked for."""
    _padded(100)(answer, fault)
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    answer.body = b"".join(packer.compress(piece) for piece in answer.body()) + packer.flush()
    answer.headers["Content-Encoding"] = "gzip"


def _many_headers(answer: Answer, fault: dict) -> None:
    answer.headers.update({f"X-Filler-{n}": "value" for n in range(fault.get("headers", 10_000))})


WRITTEN: dict[str, Callable[[Answer, dict], None]] = {
    "content_type": _content_type,
    "bom": _body(lambda body: b"\xef\xbb\xbf" + body),
    "utf16": _body(lambda body: body.decode().encode("utf-16"), "application/json; charset=utf-16"),
    "truncated": _body(lambda body: body[: len(body) // 2]),
    "duplicate_keys": _duplicate_keys,
    "deep": _deep,
    "body_10mb": _padded(10),
    "body_100mb": _padded(100),
    "gzip_bomb": _gzip_bomb,
    "many_headers": _many_headers,
}

# --- SENT: on the way ---

# hang waits `seconds` before anything is done; drop closes at once; lost closes when the work is done; cut closes after
# half of the body; rst resets the connection there; drip lets `seconds` go by before each byte of the body.
SENT = {"hang", "drop", "lost", "cut", "rst", "drip"}

KINDS = {"none", *REPLY, *CHANGE, *WRITTEN, *SENT}


class Faults:
    """Those that wait for a request. Not safe to use from many threads: the provider has a lock."""

    def __init__(self):
        self.waiting: list[dict] = []

    def add(self, fault: dict) -> None:
        """`count` requests to `path` get it, after those of earlier faults; -1 is all. `grant_type` narrows it down.

        The kind `none` lets `count` requests pass. Raises `ValueError` for a kind that there is not.
        """
        if fault.get("kind") not in KINDS or not fault.get("path"):
            raise ValueError(f"a fault has a path, and a kind of {', '.join(sorted(KINDS))}")
        self.waiting.append({"count": 1, **fault})

    def take(self, path: str, grant_type: str | None) -> dict:
        for fault in self.waiting:
            if fault["path"] == path and fault["count"] != 0 and fault.get("grant_type", grant_type) == grant_type:
                fault["count"] -= 1
                return fault
        return {"kind": "none"}
