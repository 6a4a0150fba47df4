"""An API on loopback that lets in who shows the key of its part, and repeats the key in its answer, as careless ones do.

api = Api({"gitlab": key})            with a `certificate.Certificate`: over TLS
api.base                              http://127.0.0.1:PORT
api.seen                              what was asked: part, method, path, whether it was let in
"""

import base64
import http.server
import json
import ssl
import threading
from dataclasses import dataclass


@dataclass(frozen=True)
class Asked:
    part: str
    method: str
    path: str
    is_let_in: bool
    # Everything that could open anything, so that a test can say what did not come.
    shown: str


def gitlab(shown: str) -> list:
    project = {"id": 1, "name": "one", "path_with_namespace": "a/one", "description": f"asked with {shown}"}
    return [{**project, "visibility": "private", "web_url": "http://127.0.0.1/a/one", "default_branch": "main"}]


def notion(shown: str) -> dict:
    return {"object": "user", "id": "1", "type": "bot", "name": f"asked with {shown}", "bot": {}}


def firecrawl(shown: str) -> dict:
    return {"success": True, "data": {"markdown": f"asked with {shown}", "metadata": {"statusCode": 200}}}


def acme(shown: str) -> dict:
    return {"asked_with": shown}


# Where each part begins, and what it answers.
PARTS = {
    "gitlab": ("/api/v4/projects", gitlab),
    "notion": ("/v1/users/me", notion),
    "firecrawl": ("/v2/scrape", firecrawl),
    "acme": ("/acme/", acme),
}


class Api:
    """Serves until the program ends."""

    def __init__(self, keys: dict[str, str], certificate=None):
        self.keys, self.seen = keys, []
        # Who signs in with user name and password, where that is how it is asked.
        self.user = "robot@acme.example"
        # Whether answers have in them what they were shown.
        self.repeats = True
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("content-length") or 0))
                status, body = api.told(self.command, self.path, self.headers)
                text = json.dumps(body).encode()
                self.send_response(status)
                for name, value in (("content-type", "application/json"), ("content-length", str(len(text)))):
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PUT = do_DELETE = answer

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.certificate, certificate.key)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.authority = f"{'localhost' if certificate else '127.0.0.1'}:{self.server.server_port}"
        self.base = f"http{'s' if certificate else ''}://{self.authority}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def told(self, method: str, path: str, headers) -> tuple[int, object]:
        shown = headers.get("authorization") or ""
        for part, (begin, answer) in PARTS.items():
            if path.startswith(begin):
                is_let_in = part in self.keys and shown in self.taken(self.keys[part])
                self.seen.append(Asked(part, method, path, is_let_in, str(headers)))
                return (200, answer(shown if self.repeats else "")) if is_let_in else (401, {"message": "401 Unauthorized"})
        self.seen.append(Asked("", method, path, False, str(headers)))
        return 404, {"message": "404 Not Found"}

    def taken(self, key: str) -> list[str]:
        return [f"Bearer {key}", "Basic " + base64.b64encode(f"{self.user}:{key}".encode()).decode()]

    def let_in(self, part: str) -> int:
        return sum(one.part == part and one.is_let_in for one in self.seen)

    def turned_away(self) -> list[tuple[str, str]]:
        return [(one.method, one.path) for one in self.seen if not one.is_let_in]
