"""Drives `unsaid serve --http` with the official Python MCP client, with raw requests, and as a person on the pages.

over_http.py BINARY [--node NODE --typescript DIR]

Each part has a vault and a server of its own in a temporary folder, and all parts run at the same time. A line is
printed for each check; the status is 1 if one failed. With --node and --typescript the official TypeScript clients run
as well: NODE is Node 22 or later, DIR holds run.mjs of ../typescript beside its node_modules.

Catalogue: M-02, M-03, M-04, M-15, M-16, M-17, M-21, M-22, M-24, W-01, W-02, W-03, W-10, W-11, W-13, W-15, W-30, L-03, L-06.

This file cannot be called http.py: the folder of a script comes first in Python's path, and the standard library has an
`http` that both this file and run.py need.
"""

import argparse
import asyncio
import base64
import contextlib
import html
import json
import logging
import os
import re
import secrets
import signal
import socket
import ssl
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import mcp_types as types
from mcp import Client, StdioServerParameters
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

options = argparse.ArgumentParser()
options.add_argument("binary")
options.add_argument("--node")
options.add_argument("--typescript")
options.add_argument("--only", help="these parts, as rates,stopping")
GIVEN = options.parse_args()
if GIVEN.typescript:
    GIVEN.typescript = os.path.abspath(GIVEN.typescript)
# The client warns that a session's end is answered by 202.
logging.getLogger("mcp").setLevel(logging.ERROR)
BINARY = os.path.abspath(GIVEN.binary)
# Runs a command as a person at a terminal would.
AT_TERMINAL = (sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support", "at_terminal.py"))
TEMPORARY = tempfile.TemporaryDirectory()

NEW, OLD = "2026-07-28", "2025-11-25"
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
META = {
    "io.modelcontextprotocol/protocolVersion": NEW,
    "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}, "url": {}}},
}
BOTH = ("Accept", "application/json, text/event-stream")
ACCEPT = types.ElicitResult(action="accept", content={"confirm": True})
DECLINE = types.ElicitResult(action="decline")
CANCEL = types.ElicitResult(action="cancel")
OPENED = types.ElicitResult(action="accept")

failures = 0
# What must stand in no answer and in nothing that is printed: values, tokens, tickets, cookies.
hidden: list[str] = []
seen: list[str] = []


def secret(text: str) -> str:
    if len(text) > 8:
        hidden.append(text)
    return text


def value() -> str:
    """A value to enter, long enough to be no word of any answer."""
    return secret("value-" + secrets.token_hex(24))


def plain(text: object) -> str:
    text = str(text)
    for one in hidden:
        text = text.replace(one, "(hidden)")
    return text[:600]


def check(part: str, what: str, holds: object, told: object = "") -> None:
    global failures
    failures += not holds
    print(f"{'ok  ' if holds else 'FAIL'} {part:10} {what}" + ("" if holds else f": {plain(told)}"), flush=True)


# --- a vault and its server ---------------------------------------------------------------------------------------


class Vault:
    """A vault of its own, the people and tokens in it, and its server."""

    def __init__(self, part: str):
        self.part = part
        self.folder = Path(TEMPORARY.name) / f"{part}-{secrets.token_hex(3)}"
        self.folder.mkdir()
        self.home = str(self.folder / "home")
        self.env = {**os.environ, "UNSAID_HOME": self.home}
        self.server: asyncio.subprocess.Process | None = None
        self.log: list[str] = []
        self.base = self.host = ""
        self.port = 0

    async def unsaid(self, *args: str, ok: bool = True, person: bool = False) -> str:
        # Never on the terminal that the tests run in.
        process = await asyncio.create_subprocess_exec(
            *(AT_TERMINAL if person else ()), BINARY, *args, env=self.env, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, start_new_session=True)
        out, err = await asyncio.wait_for(process.communicate(), 60)
        if ok and process.returncode != 0:
            raise RuntimeError(f"unsaid {' '.join(args[:2])}: {err.decode()}")
        return out.decode()

    async def init(self) -> "Vault":
        await self.unsaid("init", "--key", "file", "--recovery-file", str(self.folder / "recovery"))
        return self

    async def token(self, name: str, *limits: str) -> str:
        return secret((await self.unsaid("token", "create", name, *limits)).strip())

    async def serve(self, *args: str) -> "Vault":
        self.server = await asyncio.create_subprocess_exec(
            BINARY, "serve", "--http", "127.0.0.1:0", *args, env=self.env, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE)
        async with asyncio.timeout(20):
            while not self.base:
                line = (await self.server.stderr.readline()).decode()
                if not line:
                    raise RuntimeError(f"the server did not start: {self.log}")
                self.log.append(line)
                if found := re.match(r"listening on (https?://(127\.0\.0\.1:(\d+))):", line):
                    self.base, self.host, self.port = found[1], found[2], int(found[3])
        self.reading = asyncio.create_task(self.read_log())
        return self

    async def read_log(self) -> None:
        async for line in self.server.stderr:
            self.log.append(line.decode())

    async def told_where(self) -> None:
        """Until the vault knows where the pages are: the server writes it down just after it has said so."""
        await eventually(lambda: self.unsaid("open", "--json", ok=False), lambda out: self.base in out)

    async def stop(self) -> None:
        if self.server and self.server.returncode is None:
            self.server.kill()
            await self.server.wait()
            await self.reading


async def eventually(asked, holds, within: float = 5, pause: float = 0.05):
    """The first answer that holds, or the last there was."""
    end = time.monotonic() + within
    while True:
        answer = await asked()
        if holds(answer) or time.monotonic() > end:
            return answer
        await asyncio.sleep(pause)


# --- raw requests -------------------------------------------------------------------------------------------------


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    text: str

    def header(self, name: str) -> str:
        return ", ".join(text for key, text in self.headers if key == name.lower())

    def messages(self) -> list[dict]:
        if "event-stream" not in self.header("content-type"):
            return [json.loads(self.text)] if self.text.startswith("{") else []
        return [json.loads(data) for data in re.findall(r"^data: ?(\{.*)$", self.text, re.M)]

    @property
    def result(self) -> dict:
        return next((m["result"] for m in self.messages() if "result" in m), {})

    @property
    def error(self) -> dict:
        return next((m["error"] for m in self.messages() if "error" in m), {})

    @property
    def told(self) -> dict:
        """What a tool answered."""
        if self.result.get("isError"):
            return json.loads(self.result["content"][0]["text"])
        return self.result.get("structuredContent") or {}


class Exchange:
    """One request on a connection of its own, and its answer as it comes."""

    def __init__(self, vault: Vault, method: str, path: str, headers=(), body: bytes | str = b"", host: str | None = None):
        self.to, self.method, self.path = vault, method, path
        self.given, self.host = list(headers), vault.host if host is None else host
        self.body = body.encode() if isinstance(body, str) else body
        self.status, self.headers, self.text = 0, [], ""

    async def __aenter__(self) -> "Exchange":
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.to.port)
        head = [f"{self.method} {self.path} HTTP/1.1", f"Host: {self.host}", "Connection: close"]
        head += [f"{name}: {text}" for name, text in self.given]
        if self.method not in ("GET", "HEAD") and not any(name == "Transfer-Encoding" for name, _ in self.given):
            head.append(f"Content-Length: {len(self.body)}")
        self.writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + self.body)
        with contextlib.suppress(ConnectionError):
            await self.writer.drain()
        async with asyncio.timeout(75):
            self.status = int((await self.reader.readline()).split()[1])
            while line := (await self.reader.readline()).decode().strip():
                name, text = line.split(":", 1)
                self.headers.append((name.lower(), text.strip()))
        return self

    async def __aexit__(self, *_) -> None:
        self.writer.close()

    async def more(self) -> bool:
        """Reads on; false at the end."""
        headers = dict(self.headers)
        if headers.get("transfer-encoding") == "chunked":
            size = int((await self.reader.readline()).strip() or b"0", 16)
            self.text += (await self.reader.readexactly(size + 2))[:size].decode() if size else ""
            return size > 0
        data = await self.reader.read(65536)
        self.text += data.decode()
        return bool(data)

    async def until(self, pattern: str, within: float = 10) -> re.Match:
        async with asyncio.timeout(within):
            while not (found := re.search(pattern, self.text, re.M)):
                if not await self.more():
                    raise RuntimeError(f"the stream ended: {self.status} {self.text}")
            return found

    async def end(self, within: float) -> bool:
        """Whether it ends in time, by itself or broken off."""
        try:
            async with asyncio.timeout(within):
                while await self.more():
                    pass
                return True
        except (ConnectionError, asyncio.IncompleteReadError):
            return True
        except TimeoutError:
            return False


async def send(vault: Vault, method: str, path: str, headers=(), body: bytes | str = b"", host: str | None = None) -> Answer:
    async with Exchange(vault, method, path, headers, body, host) as exchange:
        if not await exchange.end(75):
            raise TimeoutError(f"{method} {path.split('?')[0]} has not ended")
        answer = Answer(exchange.status, exchange.headers, exchange.text)
        seen.append(answer.text)
        return answer


def bearer(token: str) -> tuple[str, str]:
    return ("Authorization", f"Bearer {token}")


JSON = ("Content-Type", "application/json")


def request(method: str, params: dict, id: int = 1) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": params})


async def modern(vault: Vault, token: str, tool: str | None, arguments: dict | None = None, extra=(), meta=META, **params) -> Answer:
    """One request of the newer era: a tool call, or tools/list."""
    method = "tools/call" if tool else "tools/list"
    params = {**({"name": tool, "arguments": arguments or {}} if tool else {}), **params, "_meta": meta}
    headers = [JSON, BOTH, ("MCP-Protocol-Version", NEW), ("Mcp-Method", method), bearer(token)]
    if tool:
        headers.append(("Mcp-Name", tool))
    # What is given beside replaces what is usual.
    headers = [h for h in headers if h[0] not in {name for name, _ in extra}] + [h for h in extra if h[1]]
    return await send(vault, "POST", "/mcp", headers, request(method, params))


class Session:
    """A session of the handshake era, by hand."""

    def __init__(self, vault: Vault, token: str, id: str):
        self.vault, self.token, self.id, self.count = vault, token, id, 10

    @classmethod
    async def begin(cls, vault: Vault, token: str) -> "Session":
        params = {"protocolVersion": OLD, "clientInfo": {"name": "raw", "version": "1"},
                  "capabilities": {"elicitation": {"form": {}, "url": {}}}}
        answer = await send(vault, "POST", "/mcp", [JSON, BOTH, bearer(token)], request("initialize", params))
        session = cls(vault, token, answer.header("mcp-session-id"))
        if not session.id:
            raise RuntimeError(f"no session: {answer.status} {answer.text}")
        await session.post(json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}))
        return session

    def headers(self, token: str | None = None) -> list[tuple[str, str]]:
        return [JSON, BOTH, ("Mcp-Session-Id", self.id), ("MCP-Protocol-Version", OLD), bearer(token or self.token)]

    async def post(self, body: str, token: str | None = None) -> Answer:
        return await send(self.vault, "POST", "/mcp", self.headers(token), body)

    def message(self, tool: str, arguments: dict) -> str:
        self.count += 1
        return request("tools/call", {"name": tool, "arguments": arguments}, self.count)

    async def call(self, tool: str, token: str | None = None, **arguments: object) -> Answer:
        return await self.post(self.message(tool, arguments), token)

    def calling(self, tool: str, **arguments: object) -> Exchange:
        """A call whose answer is read as it comes."""
        return Exchange(self.vault, "POST", "/mcp", self.headers(), self.message(tool, arguments))

    async def answer(self, id: object, action: str, token: str | None = None) -> Answer:
        result = {"action": action, "content": {"confirm": True}} if action == "accept" else {"action": action}
        return await self.post(json.dumps({"jsonrpc": "2.0", "id": id, "result": result}), token)


ASKED = r'^data: ?(\{.*"method":"elicitation/create".*\})$'


async def question(call: Exchange) -> dict:
    """What the server asks its client within a call."""
    return json.loads((await call.until(ASKED))[1])


# --- a person in front of the pages -------------------------------------------------------------------------------


class Browser:
    """A signed-in person: the half of the session in the path, and the half in the cookie."""

    def __init__(self, vault: Vault, began: Answer):
        self.vault, self.location, self.status = vault, began.header("location"), began.status
        self.half = "/".join(self.location.split("/")[:3])
        self.cookie, _, self.attributes = began.header("set-cookie").partition(";")
        secret(self.cookie)
        self.ours = [("Origin", vault.base), ("Sec-Fetch-Site", "same-origin")]

    @classmethod
    async def by_open(cls, vault: Vault, person: bool = True) -> "Browser":
        ticket = json.loads(await vault.unsaid("open", "--json", person=person))["url"]
        path = secret(ticket.removeprefix(vault.base))
        return cls(vault, await send(vault, "POST", path, [("Origin", vault.base)]))

    @classmethod
    async def by_token(cls, vault: Vault, token: str) -> "Browser":
        form = [("Origin", vault.base), ("Content-Type", "application/x-www-form-urlencoded")]
        return cls(vault, await send(vault, "POST", "/sign-in", form, f"token={token}"))

    @classmethod
    async def by_code(cls, vault: Vault, url: str, code: str) -> "Browser":
        """On a local page: `vault` stands for its listener."""
        form = [("Origin", vault.base), ("Content-Type", "application/x-www-form-urlencoded")]
        return cls(vault, await send(vault, "POST", path_of(url), form, f"code={code}"))

    async def get(self, path: str) -> Answer:
        return await send(self.vault, "GET", self.half + path, [("Cookie", self.cookie)])

    async def post(self, path: str, csrf: str, **fields: str) -> Answer:
        kind = ("Content-Type", "application/x-www-form-urlencoded")
        body = "&".join(f"{name}={text}" for name, text in {"csrf": csrf, **fields}.items())
        return await send(self.vault, "POST", self.half + path, [("Cookie", self.cookie), kind, *self.ours], body)

    async def enter(self, url: str, csrf: str | None = None, **fields: str) -> Answer:
        """Opens the page of a link and sends its form."""
        path = path_of(url)
        csrf = csrf or csrf_of(await self.get(path))
        line = secrets.token_hex(12)
        parts = [f'--{line}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'
                 for name, text in {"csrf": csrf, **fields}.items()]
        body = "".join(parts) + f"--{line}--\r\n"
        kind = ("Content-Type", f"multipart/form-data; boundary={line}")
        return await send(self.vault, "POST", self.half + path, [("Cookie", self.cookie), kind, *self.ours], body)


def path_of(url: str) -> str:
    return "/" + url.split("/", 3)[3]


def csrf_of(page: Answer) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page.text)
    return secret(html.unescape(found[1])) if found else "none"


# --- official clients ---------------------------------------------------------------------------------------------


class Driven:
    """One connection of the official client: how its person answers, and what it was told."""

    def __init__(self, part: str):
        self.part = part
        self.client: Client
        self.asked: list[types.ElicitRequestParams] = []
        self.notices: list[object] = []
        self.reply = None

    async def person(self, _context: object, params: types.ElicitRequestParams) -> types.ElicitResult:
        self.asked.append(params)
        return await self.reply(params) if callable(self.reply) else self.reply

    async def notice(self, message: object) -> None:
        self.notices.append(message)

    def completed(self, id: str) -> bool:
        return any(isinstance(n, types.ElicitCompleteNotification) and n.params.elicitation_id == id for n in self.notices)

    async def call(self, tool: str, progress=None, **arguments: object) -> types.CallToolResult:
        result = await self.client.call_tool(tool, arguments, progress_callback=progress)
        seen.append(result.model_dump_json())
        return result

    async def works(self, what: str, tool: str, holds=lambda told: True, progress=None, **arguments: object) -> dict:
        result = await self.call(tool, progress, **arguments)
        told = result.structured_content or {}
        check(self.part, f"{tool}: {what}", not result.is_error and bool(holds(told)), result)
        return told

    async def fails(self, what: str, code: str, tool: str, **arguments: object) -> dict:
        result = await self.call(tool, **arguments)
        told = json.loads(result.content[0].text) if result.is_error else {}
        check(self.part, f"{tool}: {what} is {code}", result.is_error and told.get("code") == code, result)
        return told


@contextlib.asynccontextmanager
async def connected(part: str, server, mode: str, asks: bool = True):
    driven = Driven(part)
    person = driven.person if asks else None
    client = Client(server, mode=mode, elicitation_callback=person, message_handler=driven.notice,
                    read_timeout_seconds=65, cache=None)
    async with client:
        driven.client = client
        yield driven


@contextlib.asynccontextmanager
async def over(part: str, vault: Vault, token: str, way: str, asks: bool = True):
    """The official client by one of the ways: `sse`, or `legacy`, `auto` and the newest version over /mcp."""
    headers = dict([bearer(token)])
    if way == "sse":
        async with connected(part, sse_client(vault.base + "/sse", headers=headers), "legacy", asks) as driven:
            yield driven
    else:
        async with httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(30, read=300)) as http:
            transport = streamable_http_client(vault.base + "/mcp", http_client=http)
            async with connected(part, transport, way, asks) as driven:
                yield driven


WAYS = {"handshake": "legacy", "request": "auto", "pinned": NEW, "sse": "sse"}
READING = {"whoami", "list_credentials", "get_credential", "search_audit_log", "list_services"}


def name() -> str:
    return "KEY_" + secrets.token_hex(4).upper()


# --- the parts ----------------------------------------------------------------------------------------------------


async def clients(vault: Vault) -> None:
    """Both eras and both transports: reading, creating, pages, forms."""
    await vault.init()
    full, reading, audit = await asyncio.gather(
        vault.token("full"), vault.token("reading", "--read-only"), vault.token("audit", "--toolsets", "audit"))
    await vault.serve()
    await vault.told_where()
    root = await Browser.by_open(vault)
    check("pages", "a ticket of `unsaid open` signs in", root.status == 303, root.status)
    check("pages", "its cookie is for its own path, and for no script",
          root.attributes == f" Path={root.half}; HttpOnly; SameSite=Strict", root.attributes)
    everywhere = [both(part, vault, full, way, root) for part, way in WAYS.items()]
    silent = [unanswered(part, vault, full, WAYS[part]) for part in ("handshake", "sse")]
    limits = [limited(part, vault, reading, audit, way) for part, way in WAYS.items()]
    without = [no_pages(part, vault, full, way) for part, way in WAYS.items()]
    later = [entered_later(part, vault, full, WAYS[part], root) for part in ("handshake", "sse")]
    await every("clients", [*everywhere, *silent, *later, *limits, *without, form_only(vault, full)])


async def every(part: str, tasks) -> None:
    """All at the same time; each that breaks off is a failure of its own."""
    for broken in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(broken, BaseException):
            check(part, "runs to its end", False, "".join(traceback.format_exception(broken))[-1500:])


async def both(part: str, vault: Vault, token: str, way: str, root: Browser) -> None:
    async with over(part, vault, token, way) as d:
        spoken = d.client.session.protocol_version
        check(part, f"speaks {spoken}", spoken == (OLD if part in ("handshake", "sse") else NEW), spoken)
        if part != "pinned":
            check(part, "says who it is", d.client.session.server_info.name == "unsaid")
        listed = {tool.name for tool in (await d.client.list_tools()).tools}
        check(part, f"tools/list has {len(listed)} tools", listed >= READING | {"create_credential", "delete_credential"}, listed)
        await d.works("by the token's user", "whoami", lambda me: me["login"] == "root" and me["door"] == "http")
        resources = {str(r.uri) for r in (await d.client.list_resources()).resources}
        check(part, "resources/list", "unsaid://inventory" in resources, resources)
        read = (await d.client.read_resource("unsaid://inventory")).contents[0].text
        seen.append(read)
        check(part, "reads unsaid://inventory", "credentials" in json.loads(read))
        prompts = {p.name for p in (await d.client.list_prompts()).prompts}
        got = await d.client.get_prompt("audit_credentials", {})
        check(part, "prompts/list and prompts/get", "audit_credentials" in prompts and len(got.messages[0].content.text) > 500, prompts)
        at_once = await asyncio.gather(*(d.call("list_credentials", limit=5) for _ in range(20)))
        check(part, "20 calls at once are all answered", all(not r.is_error for r in at_once))
        # One after the other: each changes how this connection's person answers.
        await page_accepted(d, part, root)
        await page_refused(d, part, root)
        await forms(d, part)


async def page_accepted(d: Driven, part: str, root: Browser) -> None:
    entered: list[asyncio.Task] = []
    progressed: list[float] = []

    async def goes_there(params: types.ElicitRequestParams) -> types.ElicitResult:
        async def enters() -> Answer:
            # Not before the call waits for it, so that there is progress to be told.
            await eventually(lambda: asyncio.sleep(0), lambda _: progressed, 10)
            return await root.enter(params.url, **{"f.value": value()})

        entered.append(asyncio.create_task(enters()))
        return OPENED

    async def progress(done: float, _total: float | None, _message: str | None) -> None:
        progressed.append(done)

    d.reply, key = goes_there, name()
    began = time.monotonic()
    told = await d.works("the person opens the page and enters it", "create_credential",
                         lambda c: c["entry"]["state"] == "done", progress, name=key, scope="org")
    params = d.asked[-1]
    url = getattr(params, "url", "")
    check(part, "the client was asked to open a page of this server", url.startswith(root.vault.base + "/e/"), params)
    check(part, "the call ends when the page is done", time.monotonic() - began < 18)
    check(part, "progress is told while it waits", progressed, progressed)
    stored = await entered[0] if entered else None
    check(part, "the page says that it is stored", stored and stored.status == 200 and "is stored" in stored.text, stored)
    await d.works("has its value now", "get_credential", lambda c: c["status"]["status"] == "active", credential=key)
    if part in ("handshake", "sse"):
        id = told.get("entry", {}).get("id", "")
        await eventually(lambda: asyncio.sleep(0), lambda _: d.completed(id), 5)
        check(part, "notifications/elicitation/complete arrives", d.completed(id) and params.elicitation_id == id, d.notices)
    again = await root.enter(url, csrf=csrf_of(await root.get("/")), **{"f.value": value()})
    check(part, "the link works once", again.status == 410, again.status)


async def page_refused(d: Driven, part: str, root: Browser) -> None:
    d.reply = DECLINE
    told = await d.works("the person declines to open the page", "create_credential",
                         lambda c: c["entry"]["state"] == "declined", name=name(), scope="org")
    opened = await root.get(path_of(told.get("entry", {}).get("url", "a/b/c/d")))
    check(part, "a declined link is closed", opened.status == 410, opened.status)
    d.reply = CANCEL
    told = await d.works("the person dismisses it: the link stands in the answer", "create_credential",
                         lambda c: root.vault.base in c["next"], name=name(), scope="org")
    opened = await root.get(path_of(told.get("entry", {}).get("url", "a/b/c/d")))
    check(part, "a dismissed link is open", opened.status == 200, opened.status)
    for action, reply in {"declines": DECLINE, "dismisses": CANCEL}.items():
        async def enters(params: types.ElicitRequestParams) -> types.ElicitResult:
            await root.enter(params.url, **{"f.value": value()})
            return reply

        d.reply = enters
        await d.works(f"a person who enters it, and then {action} the question, has entered it", "create_credential",
                      lambda c: c["entry"].get("state") == "done", name=name(), scope="org")
    declined = await root.enter(told["entry"]["url"], decline="1")
    check(part, "the page takes a no", declined.status == 200, declined.status)
    await d.works("shows that the person did not want to", "get_credential",
                  lambda c: c["entry"]["state"] == "declined", credential=told.get("id", ""))


async def forms(d: Driven, part: str) -> None:
    d.reply = CANCEL
    key = (await d.call("create_credential", name=name(), scope="org")).structured_content["id"]
    deleting = {"credential": key, "reason": "the tests are done"}
    d.reply = DECLINE
    await d.fails("declined in the form", "declined", "delete_credential", **deleting)
    d.reply = CANCEL
    await d.fails("form closed", "approval_required", "delete_credential", **deleting)
    d.reply = ACCEPT
    await d.works("ticked in the form", "delete_credential", lambda c: c["id"] == key, **deleting)
    await d.works("is in the bin", "get_credential", lambda c: c["status"]["status"] == "deleted", credential=key)


async def unanswered(part: str, vault: Vault, token: str, way: str) -> None:
    async def never(_params: types.ElicitRequestParams) -> types.ElicitResult:
        await asyncio.sleep(300)
        return OPENED

    async with over(part, vault, token, way) as d:
        d.reply, began = never, time.monotonic()
        await d.works("a client that never answers gets the link", "create_credential",
                      lambda c: "/e/" in c["entry"]["url"] and vault.base in c["next"], name=name(), scope="org")
        took = time.monotonic() - began
        check(part, "and gets it before clients give up", 10 < took < 55, f"{took:.0f} s")


async def entered_later(part: str, vault: Vault, token: str, way: str, root: Browser) -> None:
    """The person takes longer than the call waits."""
    async with over(part, vault, token, way) as d:
        d.reply = OPENED
        told = await d.works("a call that has waited for a while says that the page is open", "create_credential",
                             lambda c: c["entry"]["state"] == "open" and vault.base in c["next"], name=name(), scope="org")
        stored = await root.enter(told["entry"]["url"], **{"f.value": value()})
        await eventually(lambda: asyncio.sleep(0), lambda _: d.completed(told["entry"]["id"]), 5)
        check(part, "and the client is told when it is entered after that", stored.status == 200 and d.completed(told["entry"]["id"]), d.notices)


async def no_pages(part: str, vault: Vault, token: str, way: str) -> None:
    async with over(part, vault, token, way, asks=False) as d:
        key = name()
        told = await d.works("a client without elicitation gets the link", "create_credential",
                             lambda c: c["entry"]["url"].startswith(vault.base + "/e/") and "state" not in c["entry"],
                             name=key, scope="org")
        await d.works("shows the open link", "get_credential", lambda c: c["entry"]["state"] == "open", credential=key)
        await d.fails("without a form", "approval_required", "delete_credential", credential=told.get("id"), reason="tests")


async def form_only(vault: Vault, token: str) -> None:
    """`elicitation: {}` means forms and no pages, as most clients have it."""
    meta = {**META, "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}
    made = await modern(vault, token, "create_credential", {"name": name(), "scope": "org"}, meta=meta)
    check("forms only", "is not asked to open a page", made.told.get("entry", {}).get("url"), made.text)
    deleting = {"credential": made.told.get("id"), "reason": "tests"}
    asked = await modern(vault, token, "delete_credential", deleting, meta=meta)
    check("forms only", "is asked by a form", asked.result.get("resultType") == "input_required", asked.text)


async def limited(part: str, vault: Vault, reading: str, audit: str, way: str) -> None:
    newer = part in ("request", "pinned")

    async def refused(d: Driven, code: str, tool: str, **arguments: object) -> None:
        try:
            result = await d.call(tool, **arguments)
            told = json.loads(result.content[0].text) if result.is_error else {}
            check(part, f"{tool}: beyond the token is {code}", not newer and result.is_error and told.get("code") == code, result)
        except MCPError as e:
            check(part, f"{tool}: beyond the token is a refusal", newer, e)

    async with over(part, vault, reading, way) as d:
        tools = (await d.client.list_tools()).tools
        check(part, "a read-only token lists only reading tools",
              {t.name for t in tools} >= READING and all(t.annotations.read_only_hint for t in tools), [t.name for t in tools])
        await d.works("a read-only token reads", "list_credentials")
        await refused(d, "read_only", "create_credential", name=name(), scope="org")
    async with over(part, vault, audit, way) as d:
        tools = {t.name for t in (await d.client.list_tools()).tools}
        check(part, "a token for one toolset lists that, and whoami",
              tools == {"whoami", "search_audit_log", "verify_audit_log", "get_usage"}, tools)
        await d.works("a token for one toolset uses it", "search_audit_log")
        await refused(d, "tool_not_found", "list_credentials")
        try:
            answer = await d.client.read_resource("unsaid://inventory")
            check(part, "a resource beyond the token is refused", False, answer)
        except MCPError:
            check(part, "a resource beyond the token is refused", True)
        listed = {str(r.uri) for r in (await d.client.list_resources()).resources}
        check(part, "resources/list has no resource beyond the token", "unsaid://inventory" not in listed, listed)
    if newer:
        for token, tool in [(reading, "create_credential"), (audit, "list_credentials")]:
            answer = await modern(vault, token, tool, {"name": name()} if tool.startswith("create") else {})
            challenge = answer.header("www-authenticate")
            check(part, f"{tool}: beyond the token is 403 insufficient_scope",
                  answer.status == 403 and 'error="insufficient_scope"' in challenge and "resource_metadata=" in challenge,
                  (answer.status, challenge))
        # Header values may be written in base64 (2026-07-28).
        coded = f"=?base64?{base64.b64encode(b'create_credential').decode()}?="
        answer = await modern(vault, reading, "create_credential", {"name": name()}, extra=[("Mcp-Name", coded)])
        check(part, "and so it is where Mcp-Name is in base64", answer.status == 403, (answer.status, answer.text))


def well_formed() -> str:
    """A token as ours are written, which nobody was given."""
    body = "unsaid_" + "".join(secrets.choice(DIGITS) for _ in range(43))
    number, check_digits = zlib.crc32(body.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        check_digits = DIGITS[digit] + check_digits
    return secret(body + check_digits)


def unsigned() -> str:
    part = lambda what: base64.urlsafe_b64encode(json.dumps(what).encode()).decode().rstrip("=")
    return secret(f"{part({'alg': 'none', 'typ': 'JWT'})}.{part({'sub': 'root', 'aud': 'unsaid'})}.")


async def raw(vault: Vault) -> None:
    """What stands in front: tokens, names, origins, sizes, headers."""
    await vault.init()
    await vault.unsaid("user", "add", "max")
    full, revoked, sign_in, theirs = await asyncio.gather(
        vault.token("full"), vault.token("gone"), vault.token("phone", "--sign-in"), vault.token("max", "--user", "max"))
    await vault.serve()
    post = lambda headers, body=LIST, path="/mcp", host=None: send(vault, "POST", path, [*NEWER, *headers], body, host)
    metadata = f'resource_metadata="{vault.base}/.well-known/oauth-protected-resource/mcp"'

    good = await post([bearer(full)])
    check("tokens", "a good token is let in", good.status == 200 and good.result.get("tools"), good.text)
    check("tokens", "what it is told is kept by nobody", good.header("cache-control") == "no-store", good.headers)
    check("tokens", "tools/list is told to be private", good.result.get("cacheScope") in (None, "private"), good.result.get("cacheScope"))
    bare = await post([])
    check("tokens", "without a token: 401, and where to get one",
          bare.status == 401 and bare.header("www-authenticate").startswith("Bearer ") and metadata in bare.header("www-authenticate")
          and "error=" not in bare.header("www-authenticate") and bare.header("cache-control") == "no-store", bare)
    before = await post([bearer(theirs)])
    check("tokens", "max is let in", before.status == 200, before.text)
    await vault.unsaid("user", "disable", "max")
    await vault.unsaid("token", "revoke", "gone")
    flipped = secret(full[:-1] + ("0" if full[-1] != "0" else "1"))
    wrong = {
        "a malformed": secret("unsaid_" + "x" * 9), "an unknown": well_formed(), "a checksum-wrong": flipped,
        "a revoked": revoked, "a disabled person's": theirs, "a sign-in": sign_in, "an unsigned JWT as": unsigned(),
        "a GitHub": secret("ghp_" + "".join(secrets.choice(DIGITS) for _ in range(36))),
    }
    for what, token in wrong.items():
        answer = await post([bearer(token)])
        challenge = answer.header("www-authenticate")
        check("tokens", f"{what} token: 401 invalid_token", answer.status == 401 and 'error="invalid_token"' in challenge
              and metadata in challenge and token not in answer.text, (answer.status, challenge))
    for path in ("/sse", "/messages?sessionId=x"):
        method = "GET" if path == "/sse" else "POST"
        answer = await send(vault, method, path, [JSON])
        other = await send(vault, method, path, [JSON, bearer(revoked)])
        check("tokens", f"{path.split('?')[0]} without a good token: 401", (answer.status, other.status) == (401, 401), (answer, other))
    in_query = await post([], path=f"/mcp?access_token={full}")
    check("tokens", "a token in the address is none", in_query.status == 401, in_query.status)
    for what, headers in {
        "two Authorization headers": [bearer(full), bearer(full)], "another scheme": [("Authorization", "Basic cm9vdDp4")],
        "a bare token": [("Authorization", full)],
    }.items():
        answer = await post(headers)
        check("tokens", f"{what}: 400", answer.status == 400, answer.status)
    await vault.unsaid("user", "enable", "max")
    back = await post([bearer(theirs)])
    check("tokens", "a person who is enabled again is let in", back.status == 200, back.status)
    await described(vault)
    await names_and_origins(vault, full)
    await sizes(vault, full)
    await newer_headers(vault, full)


LIST = request("tools/list", {"_meta": META})
NEWER = [JSON, BOTH, ("MCP-Protocol-Version", NEW), ("Mcp-Method", "tools/list")]


async def described(vault: Vault) -> None:
    for path in ("/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"):
        answer = await send(vault, "GET", path)
        told = json.loads(answer.text)
        check("metadata", path, answer.status == 200 and told["resource"] == vault.base + "/mcp"
              and told["bearer_methods_supported"] == ["header"], answer.text)
    for path, text in {"/healthz": "ok", "/readyz": "ready"}.items():
        answer = await send(vault, "GET", path)
        check("health", f"{path} says {text}", answer.status == 200 and answer.text.strip() == text, answer)
    for path in ("/", "/sign-in"):
        answer = await send(vault, "GET", path)
        check("pages", f"{path} asks to sign in, and is kept by nobody", answer.status == 401
              and answer.header("cache-control") == "no-store" and "frame-ancestors 'none'" in answer.header("content-security-policy"), answer.headers)


async def names_and_origins(vault: Vault, token: str) -> None:
    paths = {"/mcp": "POST", "/sse": "GET", "/messages": "POST", "/": "GET", "/sign-in": "POST", "/healthz": "GET"}
    for path, method in paths.items():
        headers = [*NEWER, bearer(token)]
        answers = [await send(vault, method, path, headers, LIST, host=host)
                   for host in ("evil.example", f"evil.example:{vault.port}", "127.0.0.1", f"127.0.0.1.evil.example:{vault.port}")]
        for origin in ("https://evil.example", "null", "http://localhost:3000", f"https://127.0.0.1:{vault.port}"):
            answers.append(await send(vault, method, path, [*headers, ("Origin", origin)], LIST))
        statuses = [answer.status for answer in answers]
        check("origins", f"{method} {path}: other names and origins are 403", set(statuses) == {403}, statuses)
        check("origins", f"{method} {path}: nobody else may read it",
              not any(a.header("access-control-allow-origin") for a in answers))
    ours = await send(vault, "POST", "/mcp", [*NEWER, bearer(token), ("Origin", vault.base)], LIST)
    named = await send(vault, "POST", "/mcp", [*NEWER, bearer(token)], LIST, host=f"localhost:{vault.port}")
    check("origins", "our own names are served", (ours.status, named.status) == (200, 200), (ours.status, named.status))
    for path in ("/mcp", "/sign-in"):
        foreign = await send(vault, "POST", path, [*NEWER, bearer(token), ("Sec-Fetch-Site", "cross-site")], LIST)
        check("origins", f"a form of another site on {path} is 403", foreign.status == 403, foreign.status)


async def sizes(vault: Vault, token: str) -> None:
    most = 256 * 1024
    for path in ("/mcp", "/messages?sessionId=x"):
        shown = path.split("?")[0]
        over_it = await send(vault, "POST", path, [*NEWER, bearer(token)], LIST + " " * (most + 1 - len(LIST)))
        check("sizes", f"{shown}: 256 KiB and a byte is 413", over_it.status == 413, over_it.status)
        chunked = f"{most + 1:x}\r\n".encode() + b" " * (most + 1) + b"\r\n0\r\n\r\n"
        unsaid_size = await send(vault, "POST", path, [*NEWER, bearer(token), ("Transfer-Encoding", "chunked")], chunked)
        check("sizes", f"{shown}: the same without its length is 413", unsaid_size.status == 413, unsaid_size.status)
    within = await send(vault, "POST", "/mcp", [*NEWER, bearer(token)], LIST + " " * (most - len(LIST)))
    check("sizes", "256 KiB is served", within.status == 200, within.status)


async def newer_headers(vault: Vault, token: str) -> None:
    """The newer era says in headers what it says in the body, and the two agree."""
    mismatched = await modern(vault, token, "whoami", extra=[("Mcp-Name", "list_credentials")])
    check("headers", "Mcp-Name that is not the body's: 400", mismatched.status == 400 and mismatched.error.get("code") == -32020,
          (mismatched.status, mismatched.error))
    mismatched = await modern(vault, token, "whoami", extra=[("Mcp-Method", "tools/list")])
    check("headers", "Mcp-Method that is not the body's: 400", mismatched.status == 400, mismatched.status)
    missing = await modern(vault, token, "whoami", extra=[("Mcp-Method", "")])
    check("headers", "no Mcp-Method: 400", missing.status == 400, missing.status)
    missing = await modern(vault, token, "whoami", extra=[("Mcp-Name", "")])
    check("headers", "no Mcp-Name: 400", missing.status == 400, missing.status)
    version = await modern(vault, token, "whoami", extra=[("MCP-Protocol-Version", OLD)])
    check("headers", "a version that is not the body's: 400", version.status == 400, version.status)
    for key in META:
        short = key.split("/")[1]
        answer = await modern(vault, token, "whoami", meta={k: v for k, v in META.items() if k != key})
        # Who the client is may stay unsaid (SHOULD); version and capabilities may not.
        expected = {200, 400} if short == "clientInfo" else {400}
        check("headers", f"_meta without {short}: {answer.status}", answer.status in expected and "Mcp-Session-Id" not in answer.text, answer.text)
    none = await modern(vault, token, "whoami", meta={})
    check("headers", "no _meta at all: 400", none.status == 400, (none.status, none.text))
    unknown = await modern(vault, token, "whoami", meta={**META, "io.modelcontextprotocol/protocolVersion": "2099-01-01"},
                           extra=[("MCP-Protocol-Version", "2099-01-01")])
    check("headers", "an unknown version: 400, and which are served",
          unknown.status == 400 and NEW in json.dumps(unknown.error.get("data", "")), unknown.text)
    nothing = await modern(vault, token, "no_such_tool")
    check("headers", "an unknown tool is a protocol error", nothing.error.get("code") == -32602, nothing.text)
    for method in ("GET", "DELETE"):
        answer = await send(vault, method, "/mcp", [BOTH, ("MCP-Protocol-Version", NEW), bearer(token)])
        check("headers", f"{method} in the newer era: 405", answer.status == 405, answer.status)
    for what, session in {"no session": [], "an unknown session": [("Mcp-Session-Id", "x")]}.items():
        answer = await send(vault, "POST", "/mcp", [JSON, BOTH, bearer(token), *session], request("tools/list", {}))
        check("headers", f"the handshake era with {what}: {answer.status}", answer.status == (404 if session else 400), answer.text)
    for what, body in {"no JSON": "{", "a number": "5", "a batch": f"[{LIST}]", "nothing": ""}.items():
        answer = await send(vault, "POST", "/mcp", [*NEWER, bearer(token)], body)
        check("headers", f"{what} as a message: {answer.status}", 400 <= answer.status < 500, answer.text)


async def before_init(vault: Vault) -> None:
    """A server that starts before there is a vault."""
    token = well_formed()
    await vault.serve()
    healthy, ready = await send(vault, "GET", "/healthz"), await send(vault, "GET", "/readyz")
    check("before", "/healthz is 200 and /readyz is 503", (healthy.status, ready.status) == (200, 503), (healthy, ready))
    call = await modern(vault, token, "list_credentials")
    check("before", "calls say not_initialised and the command", call.status == 503 and "not_initialised" in call.text
          and "unsaid init" in call.text, (call.status, call.text))
    bare = await send(vault, "POST", "/mcp", [JSON, BOTH], LIST)
    check("before", "without a token: 401", bare.status == 401, bare.status)
    page = await send(vault, "POST", "/sign-in", [("Origin", vault.base), ("Content-Type", "application/x-www-form-urlencoded")], f"token={token}")
    check("before", "the pages say so too", page.status == 503 and "unsaid init" in html.unescape(page.text), (page.status, page.text[-600:]))
    await vault.init()
    made = await vault.token("late")
    answer = await modern(vault, made, "whoami")
    check("before", "works after init without a restart", answer.told.get("role") == "admin", answer.text)
    ready = await send(vault, "GET", "/readyz")
    check("before", "/readyz is 200 after init", ready.status == 200, ready)
    await vault.told_where()
    root = await Browser.by_open(vault)
    check("before", "`unsaid open` finds the server", root.status == 303, root.status)
    async with over("before", vault, made, "legacy") as d:
        await d.works("for the official client too", "whoami")


async def principals(vault: Vault) -> None:
    """What is one's is no other's: neither another person's nor another token's."""
    await vault.init()
    await vault.unsaid("user", "add", "max")
    root, second, reading, maxes, sign_in = await asyncio.gather(
        vault.token("one"), vault.token("two"), vault.token("reading", "--read-only"), vault.token("max", "--user", "max"),
        vault.token("max-page", "--user", "max", "--sign-in"))
    await vault.serve()
    await vault.told_where()
    others = {"another person": maxes, "another token": second}
    session = await Session.begin(vault, root)
    key = (await modern(vault, root, "create_credential", {"name": name(), "scope": "org"}, meta=NO_PAGES)).told["id"]
    deleting = {"credential": key, "reason": "tests"}
    for who, token in others.items():
        answer = await session.call("whoami", token)
        check("sessions", f"POST in the session by {who}: 404", answer.status == 404, (answer.status, answer.text))
        answer = await send(vault, "GET", "/mcp", session.headers(token))
        check("sessions", f"GET of the session by {who}: 404", answer.status == 404, answer.status)
        answer = await send(vault, "DELETE", "/mcp", session.headers(token))
        still = await session.call("whoami")
        check("sessions", f"DELETE of the session by {who} ends nothing ({answer.status})", still.told.get("login") == "root", still.text)
        async with session.calling("delete_credential", **deleting) as call:
            asked = await question(call)
            forged = await session.answer(asked["id"], "accept", token)
            check("sessions", f"a form answered by {who}: 404", forged.status == 404, (forged.status, forged.text))
            await session.answer(asked["id"], "decline")
            await call.end(10)
            check("sessions", f"and only the owner's no counts ({who})", "declined" in call.text, call.text)
    await sse_sessions(vault, root, others)
    await states(vault, root, others, reading, deleting)
    await links(vault, root, sign_in)
    await approvals(vault, root, maxes, sign_in, key)


NO_PAGES = {**META, "io.modelcontextprotocol/clientCapabilities": {}}


async def sse_sessions(vault: Vault, root: str, others: dict[str, str]) -> None:
    async with Exchange(vault, "GET", "/sse", [bearer(root)]) as stream:
        path = (await stream.until(r"^data: ?(/messages\S+)"))[1]
        hello = {"protocolVersion": "2024-11-05", "clientInfo": {"name": "raw", "version": "1"}, "capabilities": {}}
        for who, token in others.items():
            answer = await send(vault, "POST", path, [JSON, bearer(token)], request("initialize", hello))
            check("sessions", f"a message in the sse session by {who}: 404", answer.status == 404, answer.status)
        mine = await send(vault, "POST", path, [JSON, bearer(root)], request("initialize", hello, 7))
        told = await stream.until(r'^data: ?(\{.*"id":7.*\})$')
        check("sessions", "the owner's is taken", mine.status == 202 and json.loads(told[1])["result"]["protocolVersion"] == "2024-11-05", mine)
    gone = await eventually(lambda: send(vault, "POST", path, [JSON, bearer(root)], request("ping", {})), lambda a: a.status == 404)
    check("sessions", "an sse session ends with its stream", gone.status == 404, gone.status)


async def states(vault: Vault, root: str, others: dict[str, str], reading: str, deleting: dict) -> None:
    yes = {"confirm": {"action": "accept", "content": {"confirm": True}}}
    for who, token in others.items():
        # One of its own, so that a failure spoils nothing that follows.
        own = (await modern(vault, root, "create_credential", {"name": name(), "scope": "org"}, meta=NO_PAGES)).told["id"]
        asked = await modern(vault, root, "delete_credential", {**deleting, "credential": own})
        state = asked.result.get("requestState", "")
        answer = await modern(vault, token, "delete_credential", {**deleting, "credential": own}, requestState=state, inputResponses=yes)
        check("states", f"a requestState used by {who} is refused", answer.error.get("code") == -32602, answer.text)
    # Over the older transport no header says which tool it is.
    made = await modern(vault, root, "create_credential", {"name": (key := name()), "scope": "org"})
    state = made.result.get("requestState", "")
    opened = {"confirm": {"action": "decline"}}
    async with Exchange(vault, "GET", "/sse", [bearer(reading)]) as stream:
        path = (await stream.until(r"^data: ?(/messages\S+)"))[1]
        body = request("tools/call", {"name": "create_credential", "arguments": {"name": key, "scope": "org"},
                                      "requestState": state, "inputResponses": opened, "_meta": META}, 9)
        await send(vault, "POST", path, [JSON, bearer(reading)], body)
        told = json.loads((await stream.until(r'^data: ?(\{.*"id":9.*\})$'))[1])
    refused = "error" in told or told.get("result", {}).get("isError")
    check("states", "a read-only token gets nowhere with another token's requestState", refused, told)
    state = (await modern(vault, root, "create_credential", {"name": (key := name()), "scope": "org"})).result.get("requestState", "")
    for what, state, arguments in [("tampered", state[:-4] + "AAAA", {"name": key, "scope": "org"}), ("for other arguments", state, {"name": name()})]:
        answer = await modern(vault, root, "create_credential", arguments, requestState=state, inputResponses=opened)
        check("states", f"a requestState that is {what} is refused", answer.error.get("code") == -32602, answer.text)
    asked = await modern(vault, root, "delete_credential", deleting)
    state, no = asked.result.get("requestState", ""), {"confirm": {"action": "decline"}}
    first = await modern(vault, root, "delete_credential", deleting, requestState=state, inputResponses=no)
    again = await modern(vault, root, "delete_credential", deleting, requestState=state, inputResponses=yes)
    check("states", "a requestState works once", first.told.get("code") == "declined" and again.error.get("code") == -32602, again.text)


async def links(vault: Vault, root: str, sign_in: str) -> None:
    made = (await modern(vault, root, "create_credential", {"name": name(), "scope": "org"}, meta=NO_PAGES)).told
    url, path = made["entry"]["url"], path_of(made["entry"]["url"])
    landed = await send(vault, "GET", path)
    check("links", "an opened link shows nothing before sign-in", landed.status == 401 and made["name"] not in landed.text, landed.status)
    by_client = await Browser.by_token(vault, root)
    check("links", "a client's token does not sign in", by_client.status == 401 and not by_client.location, by_client.status)
    maxes = await Browser.by_token(vault, sign_in)
    check("links", "max signs in with a sign-in token", maxes.status == 303, maxes.status)
    csrf = csrf_of(await maxes.get("/"))
    opened = await maxes.get(path)
    check("links", "another person's link is refused", opened.status == 403 and made["name"] not in opened.text, opened.status)
    entered = await maxes.enter(url, csrf=csrf, **{"f.value": value()})
    check("links", "and takes nothing from them", entered.status == 403, entered.status)
    declined = await maxes.enter(url, csrf=csrf, decline="1")
    check("links", "and cannot be declined by them", declined.status == 403, declined.status)
    told = (await modern(vault, root, "get_credential", {"credential": made["id"]})).told
    visits = told.get("entry", {})
    check("links", f"the asker sees it: foreign_visits {visits.get('foreign_visits')}", visits.get("foreign_visits", 0) >= 3 and visits["state"] == "open", visits)
    check("links", "and there is no value", told["status"]["status"] != "active", told["status"])
    mine = await Browser.by_open(vault)
    borrowed = await send(vault, "GET", mine.half + path, [("Cookie", maxes.cookie)])
    check("links", "one's half of a session does not fit another's", borrowed.status == 401, borrowed.status)
    without = await send(vault, "GET", mine.half + path)
    check("links", "the half in the path alone opens nothing", without.status == 401, without.status)
    forged = await mine.enter(url, csrf=csrf, **{"f.value": value()})
    check("links", "a form of another session is refused", forged.status == 403, forged.status)
    stored = await mine.enter(url, **{"f.value": value()})
    check("links", "the asker enters it", stored.status == 200 and "is stored" in stored.text, stored.status)
    out = await mine.post("/sign-out", csrf_of(await mine.get("/")))
    after = await mine.get("/")
    check("links", "signing out ends the session", out.status == 200 and after.status == 401, (out.status, after.status))


async def approvals(vault: Vault, root: str, maxes: str, sign_in: str, key: str) -> None:
    sharing = {"credential": key, "user": "max", "level": "use", "reason": "tests"}
    id = (await modern(vault, root, "share_credential", sharing)).told.get("approval_id", "")
    page = await Browser.by_token(vault, sign_in)
    csrf = csrf_of(await page.get("/"))
    shown, listed = await page.get(f"/approvals/{id}"), await page.get("/approvals")
    check("approvals", "another person's request is not shown", id and shown.status in (403, 404) and id not in listed.text, shown.status)
    for decision in ("approve", "decline"):
        decided = await page.post(f"/approvals/{id}", csrf, decision=decision)
        check("approvals", f"and they cannot {decision} it", decided.status in (403, 404), decided.status)
    theirs = (await modern(vault, maxes, "whoami")).text
    mine = (await modern(vault, root, "whoami")).told
    check("approvals", "it stays open, and is in no other's whoami", id not in theirs
          and any(a["id"] == id and a["state"] == "open" for a in mine["approvals"]), mine["approvals"])
    alone = await Browser.by_open(vault, person=False)
    decided = await alone.post(f"/approvals/{id}", csrf_of(await alone.get(f"/approvals/{id}")), decision="approve")
    check("approvals", "a sign-in without a terminal grants nothing", decided.status == 403 and "terminal" in decided.text, decided.status)
    own = await Browser.by_open(vault)
    decided = await own.post(f"/approvals/{id}", csrf_of(await own.get(f"/approvals/{id}")), decision="approve")
    check("approvals", "the one who may grants it", decided.status == 200, decided.status)


async def revoking(vault: Vault) -> None:
    """A revoked token ends what is open under it, and nothing else."""
    await vault.init()
    await vault.unsaid("user", "add", "max")
    gone, kept, theirs = await asyncio.gather(vault.token("gone"), vault.token("kept"), vault.token("max", "--user", "max"))
    await vault.serve()
    session, other = await Session.begin(vault, gone), await Session.begin(vault, kept)
    open_stream = lambda s: Exchange(vault, "GET", "/mcp", [h for h in s.headers() if h != BOTH] + [("Accept", "text/event-stream")])
    made = (await other.call("list_credentials")).told
    check("revoking", "sessions and streams are open", "credentials" in made, made)
    key = (await modern(vault, gone, "create_credential", {"name": name(), "scope": "org"}, meta=NO_PAGES)).told["id"]
    async with (
        open_stream(session) as stream, Exchange(vault, "GET", "/sse", [bearer(gone)]) as sse,
        open_stream(other) as their_stream, Exchange(vault, "GET", "/sse", [bearer(kept)]) as their_sse,
        session.calling("delete_credential", credential=key, reason="tests") as waiting,
        Exchange(vault, "GET", "/sse", [bearer(theirs)]) as maxes,
    ):
        path = (await sse.until(r"^data: ?(/messages\S+)"))[1]
        await their_sse.until(r"^data: ?(/messages\S+)")
        asked = await question(waiting)
        check("revoking", "streams of both are open", {stream.status, sse.status, their_stream.status, their_sse.status} == {200})
        # One that waits for a page, and whose answer comes as a whole.
        again = {"name": name(), "scope": "org"}
        state = (await modern(vault, gone, "create_credential", again)).result["requestState"]
        page = asyncio.create_task(modern(vault, gone, "create_credential", again, requestState=state,
                                          inputResponses={"confirm": {"action": "accept"}}))
        # Calls that came after it are answered: it is at work before the token ends.
        await asyncio.gather(*(modern(vault, gone, "whoami") for _ in range(3)))
        await vault.unsaid("token", "revoke", "gone")
        began = time.monotonic()
        ended = await asyncio.gather(stream.end(4), sse.end(4), waiting.end(4))
        took = time.monotonic() - began
        for what, is_ended in zip(("the stream of /mcp", "the stream of /sse", "the call that waits for a form"), ended):
            check("revoking", f"{what} ends within 2 s", is_ended and took < 2.2, f"{took:.1f} s")
        try:
            status = (await asyncio.wait_for(asyncio.shield(page), 2.2)).status
        except TimeoutError:
            status = "still waiting"
        except (ConnectionError, ValueError, IndexError):
            status = "broken off"
        check("revoking", f"the call that waits for a page ends within 2 s ({status})", status not in (200, "still waiting"), status)
        page.cancel()
        await vault.unsaid("user", "disable", "max")
        check("revoking", "a disabled person's stream ends within 2 s", await maxes.end(2.2))
        open_still = await asyncio.gather(their_stream.end(0.3), their_sse.end(0.3))
        check("revoking", "the other token's streams stay", not any(open_still), open_still)
        for what, answer in {
            "a call": await modern(vault, gone, "whoami"), "its session": await session.call("whoami"),
            "an answer to its form": await session.answer(asked["id"], "accept"),
            "its stream": await send(vault, "GET", "/mcp", session.headers()),
            "its sse session": await send(vault, "POST", path, [JSON, bearer(gone)], request("ping", {})),
        }.items():
            check("revoking", f"{what}: 401", answer.status == 401 and 'error="invalid_token"' in answer.header("www-authenticate"), answer.status)
        there = (await modern(vault, kept, "get_credential", {"credential": key})).told
        check("revoking", "nothing was deleted by it", there.get("status", {}).get("status") != "deleted", there)
        works = await other.call("whoami")
        check("revoking", "the other token's session works", works.told.get("login") == "root", works.text)
    stolen = await session.call("whoami", kept)
    check("revoking", "its session is nobody's", stolen.status == 404, stolen.status)


async def rates(vault: Vault) -> None:
    """One token's calls are counted, and are no other's."""
    await vault.init()
    with open(Path(vault.home) / "config/unsaid.toml", "a", encoding="utf-8") as file:
        file.write("\n[http]\ncalls_per_second = 5\ncalls_at_once = 2\nsessions_per_token = 2\n")
    busy, calm, asking, many = await asyncio.gather(*(vault.token(label) for label in ("busy", "calm", "asking", "many")))
    await vault.serve()
    answers = []
    for _ in range(40):
        answers.append(await modern(vault, busy, "whoami"))
        if answers[-1].status == 429:
            break
    refused = answers[-1]
    check("rates", f"call {len(answers)} at once after another is 429", refused.status == 429 and 5 <= len(answers) <= 30, (len(answers), refused.status))
    check("rates", "and is told when to come again", refused.header("retry-after").isdigit() and "too_many_requests" in refused.text, refused.headers)
    other = await modern(vault, calm, "whoami")
    check("rates", "another token is not held up", other.status == 200, other.status)
    again = await eventually(lambda: modern(vault, busy, "whoami"), lambda a: a.status == 200)
    check("rates", "and it is let in again", again.status == 200, again.status)
    # Two calls of one token wait for a person: a third has no place.
    made = (await modern(vault, calm, "create_credential", {"name": name(), "scope": "org"}, meta=NO_PAGES)).told["id"]
    session = await Session.begin(vault, asking)
    deleting = {"credential": made, "reason": "tests"}
    async with session.calling("delete_credential", **deleting) as one, session.calling("delete_credential", **deleting) as two:
        first, second = await question(one), await question(two)
        third = await eventually(lambda: modern(vault, asking, "whoami"), lambda a: "at work" in a.text, 3, 0.5)
        check("rates", "a third call at once is 429", third.status == 429 and third.header("retry-after"), (third.status, third.text))
        other = await eventually(lambda: modern(vault, calm, "whoami"), lambda a: a.status == 200, 5, 0.5)
        check("rates", "and another token's is not", other.status == 200, other.status)
        # Otherwise calls that wait for an answer keep the answer out.
        answered = await eventually(lambda: session.answer(first["id"], "decline"), lambda a: a.status == 202, 4, 0.5)
        check("rates", "the answer that the two wait for is taken", answered.status == 202, (answered.status, answered.text))
        await eventually(lambda: session.answer(second["id"], "decline"), lambda a: a.status == 202, 2, 0.5)
    # The older transport takes a call in with one request and answers it elsewhere: it counts all the same.
    async with Exchange(vault, "GET", "/sse", [bearer(calm)]) as sse:
        path = (await sse.until(r"^data: ?(/messages\S+)"))[1]
        hello = {"protocolVersion": OLD, "clientInfo": {"name": "raw", "version": "1"}, "capabilities": {"elicitation": {}}}
        post = lambda body: eventually(lambda: send(vault, "POST", path, [JSON, bearer(calm)], body), lambda a: a.status == 202, 3, 0.5)
        await post(request("initialize", hello))
        await post(json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}))
        taken = [await post(request("tools/call", {"name": "delete_credential", "arguments": deleting}, id)) for id in (20, 21, 22)]
        check("rates", "over sse a third call at once is 429", [a.status for a in taken] == [202, 202, 429], taken)
    for _ in range(2):
        await Session.begin(vault, many)
    hello = {"protocolVersion": OLD, "clientInfo": {"name": "raw", "version": "1"}, "capabilities": {}}
    for what, beyond in {"a session": await send(vault, "POST", "/mcp", [JSON, BOTH, bearer(many)], request("initialize", hello)),
                         "an sse stream": await send(vault, "GET", "/sse", [bearer(many)])}.items():
        check("rates", f"{what} too many is 429 or 503, and is told when to come again",
              beyond.status in (429, 503) and beyond.header("retry-after"), (beyond.status, beyond.text))
    # Who guesses is stopped by address, and who has a token is not.
    statuses = [(await modern(vault, well_formed(), "whoami")).status for _ in range(70)]
    check("rates", "after sixty wrong tokens an address gets 429", statuses[:55] == [401] * 55 and statuses[-1] == 429, statuses)
    good = await eventually(lambda: modern(vault, calm, "whoami"), lambda a: a.status == 200, 5, 0.5)
    check("rates", "and a good token from there is let in", good.status == 200, good.status)


async def questions(vault: Vault) -> None:
    """One token's open questions leave others theirs."""
    await vault.init()
    await vault.unsaid("user", "add", "max", "--role", "admin")
    greedy, other = await asyncio.gather(vault.token("greedy"), vault.token("other", "--user", "max"))
    await vault.serve()
    key = (await modern(vault, other, "create_credential", {"name": name(), "scope": "org"}, meta=NO_PAGES)).told["id"]
    theirs, mine = await Session.begin(vault, greedy), await Session.begin(vault, other)
    deleting = {"credential": key, "reason": "tests"}
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(8):
            await question(await stack.enter_async_context(theirs.calling("delete_credential", **deleting)))
        async with mine.calling("delete_credential", **deleting) as call:
            await call.until(ASKED + r'|"approval_required"')
            check("questions", "another person is asked by a form while one token has eight open", "elicitation/create" in call.text, call.text)


async def stopping(vault: Vault) -> None:
    """SIGTERM while a call waits for a person."""
    await vault.init()
    token = await vault.token("one")
    await vault.serve()
    session = await Session.begin(vault, token)
    key = (await modern(vault, token, "create_credential", {"name": name(), "scope": "org"}, meta=NO_PAGES)).told["id"]
    async with (
        session.calling("delete_credential", credential=key, reason="tests") as call,
        Exchange(vault, "GET", "/sse", [bearer(token)]) as sse,
        Exchange(vault, "GET", "/mcp", session.headers()) as stream,
    ):
        await question(call)
        await sse.until(r"^data: ?(/messages\S+)")
        check("stopping", "a call waits and streams are open", (call.status, sse.status, stream.status) == (200, 200, 200))
        await stopped(vault, "a form")
    await vault.stop()
    # And while one waits for the page that a person agreed to open.
    vault.base = ""
    await vault.serve()
    session = await Session.begin(vault, token)
    async with session.calling("create_credential", name=name(), scope="org") as call:
        asked = await question(call)
        await session.answer(asked["id"], "accept")
        await stopped(vault, "a page")
    await vault.stop()
    # The moment is met by chance, so more than once.
    lost = [await answered(vault, token) for _ in range(4)]
    check("stopping", "calls that run when it is told to stop are answered", not any(lost),
          f"in {len(lost)} stops, {lost} credentials were made, and their callers were told that they were not")


async def answered(vault: Vault, token: str) -> int:
    """How many calls did their work, and were not answered, while the server was told to stop."""
    vault.base = ""
    await vault.serve()
    told: dict[str, bool] = {}
    run = secrets.token_hex(3).upper()

    async def making(worker: int) -> None:
        for n in range(20):
            key = f"RUN_{run}_{worker}_{n}"
            told[key] = False
            try:
                made = await modern(vault, token, "create_credential", {"name": key, "scope": "org"}, meta=NO_PAGES)
                told[key] = made.status == 200 and "id" in made.told
            except (OSError, IndexError, ValueError):
                # Broken off, or nobody listens any more.
                return

    workers = [asyncio.create_task(making(n)) for n in range(16)]
    await eventually(lambda: asyncio.sleep(0), lambda _: sum(told.values()) >= 20, 5, 0.001)
    vault.server.send_signal(signal.SIGTERM)
    await asyncio.gather(*workers)
    await vault.server.wait()
    await vault.stop()
    vault.base = ""
    await vault.serve()
    listed = (await modern(vault, token, "list_credentials", {"text": f"RUN_{run}", "limit": 100})).told
    made = {c["name"] for c in listed["credentials"]}
    await vault.stop()
    return sum(not told[key] for key in made)


async def stopped(vault: Vault, what: str) -> None:
    began = time.monotonic()
    vault.server.send_signal(signal.SIGTERM)
    try:
        status = await asyncio.wait_for(vault.server.wait(), 14)
    except TimeoutError:
        status = "none"
    took = time.monotonic() - began
    check("stopping", f"SIGTERM while a call waits for {what}: it ends by itself ({took:.1f} s)", status == 0 and took < 12, status)
    refused = True
    with contextlib.suppress(OSError):
        await asyncio.open_connection("127.0.0.1", vault.port)
        refused = False
    check("stopping", "and nothing listens any more", refused)
    opened = await vault.unsaid("open", "--json", ok=False)
    check("stopping", "`unsaid open` sends nobody to where no server is", "/sign-in/" not in opened)


async def stdio(vault: Vault) -> None:
    """A token on standard input and output, and the local page that asks for a code."""
    await vault.init()
    await vault.unsaid("user", "add", "max")
    token, reading = await asyncio.gather(
        vault.token("max", "--user", "max"), vault.token("reading", "--read-only", "--toolsets", "credentials"))
    started = lambda shown: StdioServerParameters(
        command=BINARY, args=["serve"], env={"UNSAID_HOME": vault.home, **({"UNSAID_TOKEN": shown} if shown else {})})

    async def limits() -> None:
        async with connected("stdio", started(token), "auto") as d:
            await d.works("serves as the token's user", "whoami", lambda me: me["login"] == "max" and me["role"] == "member")
            listed = json.loads(await vault.unsaid("token", "list", "--all", "--json"))["tokens"]
            await vault.unsaid("token", "revoke", next(t["id"] for t in listed if t["label"] == "max"))
            await d.fails("revoked meanwhile", "token_invalid", "whoami")
        async with connected("stdio", started(reading), "auto") as d:
            tools = {t.name for t in (await d.client.list_tools()).tools}
            check("stdio", "lists what the token allows", "list_credentials" in tools and not tools & {"create_credential", "search_audit_log"}, tools)
            await d.fails("beyond the token", "read_only", "create_credential", name=name(), scope="org")
            await d.fails("beyond its toolsets", "tool_not_found", "search_audit_log")
        async with connected("stdio", started("ghp_" + "x" * 36), "auto") as d:
            await d.fails("with what is no token", "token_invalid", "whoami")

    await every("stdio", [limits(), *(local_page(part, started(""), mode) for part, mode in (("stdio old", "legacy"), ("stdio new", "auto")))])


async def local_page(part: str, server: StdioServerParameters, mode: str) -> None:
    async with connected(part, server, mode) as d:
        visiting: list[asyncio.Task] = []

        def goes(visit):
            async def reply(params: types.ElicitRequestParams) -> types.ElicitResult:
                visiting.append(asyncio.create_task(visit(Local(params.url), params)))
                return OPENED
            return reply

        async def right(local: "Local", params: types.ElicitRequestParams) -> None:
            code = re.search(r"code: (\S{4}-\S{4})", params.message)
            check(part, "the message shows a code, and the address does not", code and code[1] not in params.url, params)
            page = await send(local, "GET", path_of(params.url))
            check(part, "the page asks for the code", page.status == 401 and 'name="code"' in page.text, page.status)
            others = await send(local, "GET", path_of(params.url), host="evil.example")
            check(part, "under its own name only", others.status == 403, others.status)
            wrong = await Browser.by_code(local, params.url, "2222-2222")
            check(part, "a wrong code is refused", wrong.status == 403, wrong.status)
            person = await Browser.by_code(local, params.url, code[1].lower())
            check(part, "the right code opens it", person.status == 303 and path_of(params.url) in person.location, person.status)
            home = await person.get("/")
            check(part, "and opens nothing else", home.status == 404, home.status)
            stored = await person.enter(params.url, **{"f.value": value()})
            check(part, "the value is stored", stored.status == 200 and "is stored" in stored.text, stored.status)
            again = await person.enter(params.url, csrf="x", **{"f.value": value()})
            check(part, "by this session once", again.status in (303, 403, 410), again.status)
            anew = await Browser.by_code(local, params.url, code[1])
            check(part, "and by this link once", anew.status == 410, anew.status)

        async def guesses(local: "Local", params: types.ElicitRequestParams) -> None:
            statuses = [(await Browser.by_code(local, params.url, f"2222-222{n}")).status for n in range(2, 7)]
            check(part, "four wrong codes are refused and the fifth closes it", statuses == [403] * 4 + [410], statuses)
            code = re.search(r"code: (\S{4}-\S{4})", params.message)[1]
            late = await Browser.by_code(local, params.url, code)
            check(part, "the right code comes too late", late.status == 410 and not late.location, late.status)

        d.reply = goes(right)
        key = name()
        await d.works("entered on the local page", "create_credential", lambda c: c["entry"]["state"] == "done", name=key, scope="org")
        await asyncio.gather(*visiting)
        await d.works("has its value now", "get_credential", lambda c: c["status"]["status"] == "active", credential=key)
        d.reply = goes(guesses)
        told = await d.works("five wrong codes", "create_credential", lambda c: c["entry"]["state"] == "blocked", name=name(), scope="org")
        await asyncio.gather(*visiting)
        await d.works("says so", "get_credential", lambda c: c["entry"]["state"] == "blocked" and c["status"]["status"] != "active",
                      credential=told.get("id", ""))


@dataclass
class Local:
    """The listener behind a link of a server on standard input and output."""
    url: str
    base: str = field(init=False)
    host: str = field(init=False)
    port: int = field(init=False)

    def __post_init__(self):
        self.base, self.host = "/".join(self.url.split("/")[:3]), self.url.split("/")[2]
        self.port = int(self.host.split(":")[1])


async def typescript(vault: Vault) -> None:
    """The official TypeScript clients; the pages that they are asked to open are filled in here."""
    await vault.init()
    token = await vault.token("typescript")
    file = vault.folder / "token"
    file.write_text(token)
    file.chmod(0o600)
    await vault.serve()
    await vault.told_where()
    root = await Browser.by_open(vault)
    process = await asyncio.create_subprocess_exec(
        GIVEN.node, str(Path(GIVEN.typescript) / "run.mjs"), vault.base + "/mcp", str(file), "--pages",
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=GIVEN.typescript)
    checked = 0
    async with asyncio.timeout(80):
        async for line in process.stdout:
            text = line.decode().rstrip()
            if text.startswith("page "):
                stored = await root.enter(text.removeprefix("page "), **{"f.value": value()})
                check("typescript", "the page that it was asked to open takes the value", stored.status == 200, stored.status)
            else:
                checked += text.startswith("ok ")
                check(text[5:15].strip(), text[16:], text.startswith("ok "), "see below")
        errors = (await process.stderr.read()).decode()
        status = await process.wait()
    check("typescript", f"run.mjs ends well after {checked} checks", status == 0 and checked > 0, errors)


async def tls(vault: Vault) -> None:
    """TLS of our own, old versions and weak suites of which are refused (L-01, W-30)."""
    await vault.init()
    cert, key = str(vault.folder / "cert.pem"), str(vault.folder / "key.pem")
    made = await asyncio.create_subprocess_exec(
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
        "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL)
    check("tls", "a certificate is made for the test", await made.wait() == 0)
    for args in (["0.0.0.0:0"], ["192.0.2.1:0"], ["127.0.0.1:0", "--public-url", "https://vault.example"], ["127.0.0.1:0", "--tls-cert", cert],
                 ["127.0.0.1:0", "--tls-cert", key, "--tls-key", cert], ["0.0.0.0:0", "--trusted-proxy"]):
        process = await asyncio.create_subprocess_exec(
            BINARY, "serve", "--http", *args, env=vault.env, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE)
        told = (await asyncio.wait_for(process.communicate(), 20))[1].decode()
        check("tls", f"does not start with {args[0]} {' '.join(args[1::2])}", process.returncode != 0 and "next:" in told, told)
    await vault.serve("--tls-cert", cert, "--tls-key", key)

    def shaken(least: ssl.TLSVersion, most: ssl.TLSVersion, ciphers: str = "DEFAULT:@SECLEVEL=0") -> str:
        context = ssl.create_default_context(cafile=cert)
        context.set_ciphers(ciphers)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            context.minimum_version, context.maximum_version = least, most
        try:
            with socket.create_connection(("127.0.0.1", vault.port), 5) as plain, context.wrap_socket(plain, server_hostname="127.0.0.1") as s:
                s.sendall(f"GET /healthz HTTP/1.1\r\nHost: {vault.host}\r\nConnection: close\r\n\r\n".encode())
                answer = b""
                while part := s.recv(4096):
                    answer += part
                return answer.decode().lower()
        except (ssl.SSLError, OSError):
            return ""

    v = ssl.TLSVersion
    for version in (v.TLSv1_2, v.TLSv1_3):
        answer = await asyncio.to_thread(shaken, version, version)
        check("tls", f"{version.name} is spoken, with HSTS", " 200 " in answer and "strict-transport-security" in answer, answer)
    for version in (v.TLSv1, v.TLSv1_1):
        check("tls", f"{version.name} is refused", not await asyncio.to_thread(shaken, version, version))
    for suite in ("AES128-SHA", "AES256-GCM-SHA384", "ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES256-SHA384", "DHE-RSA-AES128-GCM-SHA256"):
        answer = await asyncio.to_thread(shaken, v.TLSv1_2, v.TLSv1_2, f"{suite}:@SECLEVEL=0")
        check("tls", f"{suite} is refused", not answer, answer)
    with socket.create_connection(("127.0.0.1", vault.port), 5) as plain:
        plain.sendall(f"GET /healthz HTTP/1.1\r\nHost: {vault.host}\r\n\r\n".encode())
        plain.settimeout(15)
        check("tls", "without TLS nothing is answered", not (await asyncio.to_thread(plain.recv, 4096)).startswith(b"HTTP"))


PARTS = {"tls": tls, "clients": clients, "raw": raw, "before": before_init, "principals": principals, "revoking": revoking, "rates": rates,
         "questions": questions, "stopping": stopping, "stdio": stdio, "typescript": typescript}


async def alone(part: str, run) -> None:
    vault = Vault(part)
    try:
        await run(vault)
    except Exception as e:
        check(part, "the part runs to its end", False, "".join(traceback.format_exception(e))[-1500:])
    finally:
        await vault.stop()
        log = "".join(vault.log)
        check(part, "nothing panicked, and nothing secret is in the log", "panicked" not in log and not any(s in log for s in hidden), log)
        check(part, "nothing that clients may do is logged as an error", " ERROR " not in log,
              [line for line in vault.log if " ERROR " in line])


async def main() -> int:
    began = time.monotonic()
    wanted = (GIVEN.only or ",".join(PARTS)).split(",")
    if not (GIVEN.node and GIVEN.typescript):
        wanted = [part for part in wanted if part != "typescript"]
    await asyncio.gather(*(alone(part, PARTS[part]) for part in wanted))
    # Pages hold the form's own token, and a link stands where it should.
    values = [one for one in hidden if one.startswith(("value-", "unsaid_", "ghp_"))]
    leaks = sum(one in text for text in seen for one in values)
    check("all", f"no value and no token is in any of {len(seen)} answers", leaks == 0, leaks)
    print(f"{failures} failed, {time.monotonic() - began:.0f} s")
    return int(failures > 0)


sys.exit(asyncio.run(main()))
