"""What a provider was asked and what it answered: an entry for each request, and counts. As oidc/journal.mjs has them.

No token and no secret is in the entries: a token is told by its SHA-256. Every token ever issued is kept beside them.
"""

import hashlib
import threading
import time
from collections import Counter

TOKENS = {"access_token", "refresh_token", "id_token", "code", "token", "device_code", "code_verifier"}
SECRETS = {"client_secret", "password"}


def digest(token: object) -> str:
    return hashlib.sha256(str(token).encode("utf-8", "surrogateescape")).hexdigest()


def client_auth(authorization: str, form: dict) -> str:
    """How a client proved itself (RFC 6749 §2.3.1): basic, post, both or none."""
    is_basic, is_post = authorization.lower().startswith("basic "), "client_secret" in form
    return {(True, True): "both", (True, False): "basic", (False, True): "post", (False, False): "none"}[is_basic, is_post]


def _shown(fields: dict) -> dict:
    shown = {}
    for name, value in fields.items():
        shown[name] = "…" if name in SECRETS else digest(value) if name in TOKENS else value
    return shown


class Journal:
    """Safe to use from many threads. `token_path` is where tokens come from; clients prove themselves at `client_paths` too."""

    def __init__(self, token_path: str, client_paths: set[str]):
        self.token_path = token_path
        self.client_paths = {token_path, *client_paths}
        self.lock = threading.Lock()
        self.issued: dict[str, None] = {}
        self.reset()

    def reset(self) -> None:
        """Empties the log. What was issued stays known."""
        with self.lock:
            self.requests: list[dict] = []
            self.token_requests, self.token_answers, self.seconds = Counter(), Counter(), Counter()
            self.reuse_detected = self.grants_revoked = 0

    def counts(self) -> dict:
        with self.lock:
            return {
                "token_requests": dict(self.token_requests),
                "token_answers": dict(self.token_answers),
                "reuse_detected": self.reuse_detected,
                "grants_revoked": self.grants_revoked,
                "most_token_requests_in_one_second": max(self.seconds.values(), default=0),
            }

    def log(self) -> dict:
        counts = self.counts()
        with self.lock:
            return {**counts, "requests": list(self.requests)}

    def asked(self, method: str, path: str, query: dict, form: dict, authorization: str) -> dict:
        """The entry of a request, for `answered`."""
        now = time.time()
        entry = {"at_ms": int(now * 1000), "method": method, "path": path}
        if query:
            entry["query"] = _shown(query)
        if form:
            entry["params"] = _shown(form)
        if path in self.client_paths:
            entry["client_auth"] = client_auth(authorization, form)
        with self.lock:
            if path == self.token_path:
                entry["grant_type"] = form.get("grant_type", "missing")
                self.token_requests[entry["grant_type"]] += 1
                self.seconds[int(now)] += 1
            self.requests.append(entry)
        return entry

    def answered(self, entry: dict, status: int, body: object) -> None:
        entry["status"] = status
        if not isinstance(body, dict) or entry["path"].startswith("/.well-known/"):
            return
        if body.get("error"):
            entry["error"] = body["error"]
        issued = {name: value for name, value in body.items() if name in TOKENS}
        if issued:
            entry["issued"] = _shown(issued)
            self.issue(*issued.values())
        if "access_token" in issued and "grant_type" in entry:
            with self.lock:
                self.token_answers[entry["grant_type"]] += 1

    def issue(self, *tokens: object) -> None:
        with self.lock:
            self.issued.update((str(token), None) for token in tokens)

    def every_token(self) -> list[str]:
        with self.lock:
            return list(self.issued)

    def reused(self) -> None:
        with self.lock:
            self.reuse_detected += 1

    def revoked(self) -> None:
        with self.lock:
            self.grants_revoked += 1
