"""A plain HTTPS client, and a browser that signs in and allows: with the standard library alone.

Neither follows what a client of OAuth must look at: a redirect is an answer here.
"""

import base64
import html.parser
import http.cookiejar
import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.message import Message
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit

STEPS = 25


@dataclass(frozen=True)
class Answer:
    url: str
    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> dict:
        return json.loads(self.body)

    @property
    def error(self) -> str | None:
        """The OAuth error (RFC 6749 §5.2), if the body is one."""
        try:
            return self.json.get("error")
        except (ValueError, AttributeError):
            return None


class _Plain(urllib.request.HTTPErrorProcessor):
    """Hands every answer out, redirects and failures too."""

    def http_response(self, request, response):
        return response

    https_response = http_response


class Client:
    """Trusts the authority in the file `ca`, and no proxy."""

    def __init__(self, ca: str, timeout_s: float = 20):
        self.timeout_s = timeout_s
        trust = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca))
        self.cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self.opener = urllib.request.build_opener(trust, urllib.request.ProxyHandler({}), self.cookies, _Plain)

    def get(self, url: str, token: str | None = None) -> Answer:
        return self.send(urllib.request.Request(url, headers={"authorization": f"Bearer {token}"} if token else {}))

    def post(self, url: str, form: dict | None = None, basic: tuple[str, str] | None = None, body: object = None) -> Answer:
        """`form` is sent as a form, `body` as JSON. `basic` is a client's id and secret, encoded as RFC 6749 §2.3.1 has it."""
        data = urlencode(form).encode() if form is not None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, method="POST")
        request.add_header("content-type", "application/x-www-form-urlencoded" if form is not None else "application/json")
        if basic:
            pair = ":".join(quote(part, safe="") for part in basic)
            request.add_header("authorization", "Basic " + base64.b64encode(pair.encode()).decode())
        return self.send(request)

    def send(self, request: urllib.request.Request) -> Answer:
        """Raises `OSError` or `http.client.HTTPException` where no whole answer comes."""
        with self.opener.open(request, timeout=self.timeout_s) as response:
            return Answer(request.full_url, response.status, response.headers, response.read())


@dataclass
class Form:
    action: str
    method: str
    inputs: list[dict[str, str]]


class _Forms(html.parser.HTMLParser):
    def __init__(self, page: str):
        super().__init__()
        self.forms: list[Form] = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        found = {name: value or "" for name, value in attributes}
        if tag == "form":
            self.forms.append(Form(found.get("action", ""), found.get("method", "get").lower(), []))
        elif tag in ("input", "button") and self.forms:
            kind = "submit" if tag == "button" else "text"
            self.forms[-1].inputs.append({"type": kind, **found})


class Browser(Client):
    """A person with a browser and no script: signs in, and allows or denies."""

    def visit(
        self, url: str, until: str | None = None, user: str = "alice", password: str = "", decision: str = "allow"
    ) -> tuple[dict[str, str], Answer | None]:
        """Follows pages and redirects from `url`.

        Comes back with the parameters of the address that begins with `until`, which is not asked for; or with the last
        page, where there is nothing more to fill in.
        """
        request = urllib.request.Request(url)
        is_decided = False
        for _ in range(STEPS):
            if until and request.full_url.startswith(until):
                return dict(parse_qsl(urlsplit(request.full_url).query, keep_blank_values=True)), None
            answer = self.send(request)
            if answer.status in (301, 302, 303):
                request = urllib.request.Request(urljoin(answer.url, answer.headers["location"]))
                continue
            forms = [form for form in _Forms(answer.body.decode()).forms if form.method == "post"]
            # After a refusal a page may begin anew.
            if answer.status >= 400 or not forms or (is_decided and decision == "deny"):
                return {}, answer
            fields = {}
            for found in forms[0].inputs:
                name, kind = found.get("name"), found["type"]
                if not name or (kind == "submit" and found.get("value") != decision):
                    continue
                is_decided |= kind == "submit"
                fields[name] = password if kind == "password" else user if name == "login" else found.get("value", "")
            target = urljoin(answer.url, forms[0].action)
            request = urllib.request.Request(target, urlencode(fields).encode(), method="POST")
        raise RuntimeError(f"{STEPS} steps were not enough: the last was {request.full_url.split('?')[0]}")
