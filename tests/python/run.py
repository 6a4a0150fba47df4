"""Drives the real binary over stdio with the official Python MCP client, in both eras of the protocol.

run.py BINARY [HOME]

HOME becomes the UNSAID_HOME of a new vault and must not exist yet; without it the vault is made in a temporary folder
and removed. A line is printed for each check; the status is 1 if one failed.
"""

import asyncio
import json
import os
import re
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time

import mcp_types as types
from mcp import Client, StdioServerParameters
from mcp.shared.exceptions import MCPError

TEMPORARY = tempfile.TemporaryDirectory()
BINARY = os.path.abspath(sys.argv[1])
HOME = sys.argv[2] if len(sys.argv) > 2 else TEMPORARY.name + "/home"
INIT = ["init", "--key", "file", "--recovery-file", TEMPORARY.name + "/recovery"]
ENV = {"UNSAID_HOME": HOME}

TOOLS = {
    "whoami", "list_credentials", "get_credential", "create_credential", "update_credential", "set_credential_value",
    "delete_credential", "restore_credential", "share_credential", "unshare_credential", "explain_resolution",
    "search_audit_log", "verify_audit_log", "get_usage", "list_services", "get_service", "get_rotation_guide",
    "list_oauth_providers", "create_oauth_provider", "update_oauth_provider", "delete_oauth_provider",
    "connect_credential", "refresh_credential", "disconnect_credential", "test_credential",
    "list_consumers", "get_consumer", "register_consumer", "update_consumer", "remove_consumer",
    "start_rotation", "advance_rotation", "get_rotation", "list_rotations", "abort_rotation", "set_rotation_policy",
    "audit_credentials", "recommend_scope", "plan_offboarding",
}
PROMPTS = {
    "audit_credentials", "recommend_scope", "offboard_user", "rotate_credential", "connect_service", "respond_to_leak",
}
RESOURCES = {"unsaid://inventory", "unsaid://audit/recent", "unsaid://policy"}
TEMPLATES = {
    "unsaid://credentials/{id}", "unsaid://consumers/{id}", "unsaid://rotations/{id}", "unsaid://services/{id}", "unsaid://services/{id}/rotation-guide",
}
LAST = "pinned"
# Long enough to be no word of any answer; every answer is searched for it.
VALUE = "value-" + secrets.token_hex(24)

failures = 0
seen: list[str] = []


def check(era: str, what: str, holds: bool, told: object = "") -> None:
    global failures
    failures += not holds
    print(f"{'ok  ' if holds else 'FAIL'} {era:10} {what}" + ("" if holds else f": {told}"), flush=True)


def unsaid(*args: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **ENV}
    return subprocess.run([BINARY, *args], env=env, input=stdin or "", capture_output=True, text=True, timeout=60)


class Driven:
    """One connection: what it called, and what its person answers to forms."""

    def __init__(self, era: str, client: Client):
        self.era, self.client = era, client
        self.called: set[str] = set()
        self.answers: list[types.ElicitResult] = []
        self.forms: list[types.ElicitRequestFormParams] = []

    async def form(self, _context: object, params: types.ElicitRequestParams) -> types.ElicitResult:
        if isinstance(params, types.ElicitRequestURLParams):
            # A page to open: over_http.py fills them in; here the person puts it off.
            return types.ElicitResult(action="cancel")
        self.forms.append(params)
        return self.answers.pop(0)

    async def call(self, tool: str, **arguments: object) -> types.CallToolResult:
        self.called.add(tool)
        result = await self.client.call_tool(tool, arguments)
        seen.append(result.model_dump_json())
        return result

    async def works(self, what: str, tool: str, holds=lambda told: True, **arguments: object) -> dict:
        result = await self.call(tool, **arguments)
        told = result.structured_content or {}
        same = bool(result.content) and json.loads(result.content[0].text) == told
        check(self.era, f"{tool}: {what}", not result.is_error and same and bool(holds(told)), result)
        return told

    async def fails(self, what: str, code: str, tool: str, **arguments: object) -> dict:
        result = await self.call(tool, **arguments)
        # As text alone: some clients hold structured content against the tool's output schema.
        told = json.loads(result.content[0].text)
        whole = {"code", "message", "next"} <= told.keys() and result.structured_content is None
        check(self.era, f"{tool}: {what} is {code}", result.is_error and whole and told["code"] == code, result)
        return told

    async def refused(self, what: str, codes: set[int], request) -> None:
        try:
            answer = await request
            check(self.era, what, False, answer)
        except MCPError as e:
            seen.append(str(e))
            check(self.era, what, e.error.code in codes, e)


async def connected(era: str, mode: str, drive) -> None:
    async def form(context: object, params: types.ElicitRequestParams) -> types.ElicitResult:
        return await driven.form(context, params)

    server = StdioServerParameters(command=BINARY, args=["serve"], env=ENV)
    client = Client(server, mode=mode, elicitation_callback=form, read_timeout_seconds=30, cache=None)
    driven = Driven(era, client)
    async with client:
        await drive(driven)


async def before_init(d: Driven) -> None:
    tools = (await d.client.list_tools()).tools
    check(d.era, "before init every tool is listed", {t.name for t in tools} == TOOLS, [t.name for t in tools])
    for tool in sorted(TOOLS):
        told = await d.fails("before init", "not_initialised", tool)
        check(d.era, f"{tool}: names the command", "unsaid init" in told.get("next", ""), told)
    made = unsaid(*INIT)
    check(d.era, "unsaid init", made.returncode == 0, made.stderr)
    await d.works("works after init without a restart", "whoami", lambda me: me["role"] == "admin")


async def tools(d: Driven) -> None:
    listed = (await d.client.list_tools()).tools
    check(d.era, "tools/list has every tool", {t.name for t in listed} == TOOLS, [t.name for t in listed])
    told = all(t.title and t.description and t.output_schema and t.annotations for t in listed)
    check(d.era, "every tool has title, description, output schema and hints", told)
    size = sum(len(t.name) + len(t.description or "") + len(json.dumps(t.input_schema, separators=(",", ":"))) for t in listed)
    check(d.era, f"names, texts and input schemas are {size} bytes", size < 24_000)


async def credentials(d: Driven) -> None:
    name = "KEY_" + secrets.token_hex(3).upper()
    made = await d.works(
        "makes one without a value", "create_credential", lambda c: "unsaid set" in c["next"],
        name=name, scope="org", service="github", description="for the tests", tags=["tests"],
    )
    key = made.get("id", name)
    await d.fails("twice", "already_exists", "create_credential", name=name, scope="org", service="github")
    told = await d.works("names the command", "set_credential_value", credential=key)
    command = re.search(r"unsaid (set [^`\"]+)", json.dumps(told, ensure_ascii=False))
    check(d.era, "the same command as create_credential", command and command[0] in made.get("next", ""), told)
    entered = unsaid(*shlex.split(command[1]), stdin=VALUE + "\n")
    check(d.era, f"{command[0].replace(name, 'NAME')}, from standard input", entered.returncode == 0, entered.stderr)
    await d.works("by id", "get_credential", lambda c: c["status"]["status"] == "active", credential=key)
    await d.works("by name", "get_credential", lambda c: c["id"] == key, credential=name)
    await d.works("all", "list_credentials", lambda p: any(c["id"] == key for c in p["credentials"]), limit=100)
    mine = {"type": "api_key", "status": "active", "scope": "org", "service": "github", "tag": "tests", "text": name}
    only = lambda p: [c["id"] for c in p["credentials"]] == [key]
    await d.works("filtered", "list_credentials", only, **mine)
    await d.works("filtered to nothing", "list_credentials", lambda p: not p["credentials"], text=name, scope="personal")
    await d.works("counted", "list_credentials", lambda p: p["visible"] >= 1, count=True)
    await d.works("changes the description", "update_credential", credential=key, description="for more tests")
    await d.works("shows the change", "get_credential", lambda c: c["configuration"]["description"] == "for more tests", credential=key)
    await d.works("says who gets which", "explain_resolution", lambda r: key in json.dumps(r), name=name)
    await d.fails("of a grant that is not there", "grant_not_found", "unshare_credential", credential=key, grant="01ARZ3NDEKTSV4RRFFQ69G5FAV")
    await d.works("counts uses", "get_usage", lambda u: u["uses"] == 0, credential=key)
    await d.works("guides a rotation", "get_rotation_guide", lambda g: g["steps"], credential=key)
    await forms(d, key)


async def forms(d: Driven, key: str) -> None:
    deleting = {"credential": key, "reason": "the tests are done"}
    accept = types.ElicitResult(action="accept", content={"confirm": True})
    d.answers = [types.ElicitResult(action="decline")]
    await d.fails("declined in the form", "declined", "delete_credential", **deleting)
    d.answers = [types.ElicitResult(action="accept", content={"confirm": False})]
    await d.fails("not ticked", "declined", "delete_credential", **deleting)
    d.answers = [types.ElicitResult(action="cancel")]
    waiting = await d.fails("form closed", "approval_required", "delete_credential", **deleting)
    check(d.era, "an approval has an id", bool(waiting.get("approval_id")), waiting)
    await d.works("shows the open request", "whoami", lambda me: waiting["approval_id"] in json.dumps(me["approvals"]))
    form = d.forms[-1]
    fields = form.requested_schema["properties"]
    check(d.era, "the form asks for one tick without a default",
          list(fields) == ["confirm"] and fields["confirm"]["type"] == "boolean" and "default" not in fields["confirm"], form)
    d.answers = [accept]
    await d.works("ticked in the form", "delete_credential", lambda c: c["id"] == key, **deleting)
    await d.works("is in the bin", "get_credential", lambda c: c["status"]["status"] == "deleted", credential=key)
    await d.works("brings it back", "restore_credential", lambda c: c["id"] == key, credential=key)
    asked, login = len(d.forms), (await d.call("whoami")).structured_content["login"]
    sharing = {"credential": key, "user": login, "level": "use", "reason": "tests"}
    await d.fails("needs a person", "approval_required", "share_credential", **sharing)
    check(d.era, "share_credential: no form is asked", len(d.forms) == asked)




async def connections(d: Driven) -> None:
    """One that nobody has connected; connecting.py connects some."""
    name = "github-" + secrets.token_hex(3)
    await d.works("another one", "create_oauth_provider", service="github", client_id="Iv1.example", name=name)
    bound = "GRANT_" + secrets.token_hex(3).upper()
    made = await d.works("binds a connection", "create_credential", lambda c: "unsaid connect" in c["next"] or c.get("entry"),
                         name=bound, type="oauth", provider=name)
    check(d.era, "it waits to be connected", made.get("status", {}).get("reasons") == ["reauth_required"], made)
    told = await d.works("tells how", "connect_credential", lambda c: not c["connected"], credential=bound)
    check(d.era, "with the command for a terminal", told.get("command") == f"unsaid connect {bound}", told)
    await d.fails("what is not connected", "reauth_required", "refresh_credential", credential=bound)
    await d.fails("what is not connected", "reauth_required", "test_credential", credential=bound)
    # By then this assistant has removed five things (below).
    ended = "quota_exceeded" if d.era == LAST else "nothing_to_do"
    await d.fails("what is not connected", ended, "disconnect_credential", credential=bound, reason="the tests")


async def consumers(d: Driven) -> None:
    """One that is bound to nothing: binding takes a person, as consuming.py shows."""
    name = "bot-" + secrets.token_hex(3)
    await d.works("an empty one", "register_consumer", lambda c: c["consumer"]["name"] == name, name=name, kind="agent")
    await d.fails("a binding", "approval_required", "register_consumer", name="asked-bot", bindings=[{"variable": "A_KEY"}])
    await d.works("has it", "list_consumers", lambda c: any(one["name"] == name for one in c["consumers"]), text=name)
    await d.works("gets nothing", "get_consumer", lambda c: c["checks"] == [], consumer=name)
    await d.works("its description", "update_consumer", lambda c: c["consumer"]["description"] == "ours", consumer=name,
                  description="ours")
    await d.fails("what is not there", "consumer_not_found", "remove_consumer", consumer="no-such-consumer")


async def hygiene(d: Driven) -> None:
    """Reports, and rotations of what has no value: those that replace one take a person."""
    name = "TURNED_" + secrets.token_hex(3).upper()
    await d.works("one without a value", "create_credential", name=name, scope="personal")
    await d.works("makes a report", "audit_credentials", lambda a: "findings" in a)
    await d.works("recommends a place", "recommend_scope", lambda r: r["scope"] and len(r["trade_offs"]) == 3, name=name, purpose="a test")
    await d.fails("who is not there", "user_not_found", "plan_offboarding", user="nobody-at-all")
    await d.fails("what has no value", "value_missing", "start_rotation", credential=name)
    await d.works("is empty", "list_rotations", lambda r: r["rotations"] == [])
    await d.fails("what is not there", "credential_not_found", "get_rotation", rotation="NO_SUCH_THING")
    await d.fails("what was never begun", "nothing_to_do", "advance_rotation", rotation=name)
    await d.fails("what was never begun", "nothing_to_do", "abort_rotation", rotation=name)
    await d.works("of one", "set_rotation_policy", credential=name, days=30)


async def administration(d: Driven) -> None:
    await d.works("shows events", "search_audit_log", lambda log: len(log["events"]) > 3)
    await d.works("filters", "search_audit_log", lambda log: log["events"], operation="create_credential", outcome="ok")
    await d.works("is whole", "verify_audit_log", lambda v: v["intact"])
    await d.works("lists the catalogue", "list_services", lambda s: s["total"] > 100)
    await d.works("finds by word", "list_services", lambda s: any(x["id"] == "github" for x in s["services"]), text="github")
    await d.works("knows github", "get_service", lambda s: s["id"] == "github", service="github")
    await d.works("of a service", "get_rotation_guide", lambda g: g["guide"], service="github")
    name = "github-" + secrets.token_hex(3)
    made = await d.works("from a preset", "create_oauth_provider", service="github", client_id="Iv1.example", name=name)
    provider = made.get("id") or made.get("provider", {}).get("id", name)
    await d.works("lists it", "list_oauth_providers", lambda p: provider in json.dumps(p))
    await d.works("renames it", "update_oauth_provider", provider=provider, new_name=name + "-b")
    await connections(d)
    await consumers(d)
    d.answers = [types.ElicitResult(action="accept", content={"confirm": True})]
    removing = {"provider": provider, "reason": "the tests are done"}
    if d.era == LAST:
        # Two a connection so far: an assistant removes five things in ten minutes, and no more.
        await d.fails("a sixth removal", "quota_exceeded", "delete_oauth_provider", **removing)
    else:
        await d.works("removes it", "delete_oauth_provider", lambda p: p["id"] == provider, **removing)
    endpoints = {"authorization_url": "https://login.example.org/authorize", "token_url": "https://login.example.org/token"}
    await d.fails("with own endpoints", "approval_required", "create_oauth_provider",
                  name="own-" + secrets.token_hex(3), client_id="abc", endpoints=endpoints, reason="tests")


async def errors(d: Driven) -> None:
    # Built here, so that nothing in the repository looks like a key.
    token = "ghp_" + "".join(secrets.choice("abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789") for _ in range(36))
    await d.fails("unknown", "credential_not_found", "get_credential", credential="NOT_THERE")
    await d.fails("a number for text", "invalid_input", "get_credential", credential=5)
    await d.fails("nothing given", "invalid_input", "get_credential")
    await d.fails("an unknown argument", "invalid_input", "get_credential", credential="X", colour="y")
    await d.fails("a value", "secret_in_argument", "get_credential", credential="X", value="y")
    told = await d.fails("a key in the description", "secret_in_argument", "create_credential", name="A_KEY", description=token)
    check(d.era, "a refused secret is not repeated", token not in json.dumps(told), told)
    await d.fails("unknown", "service_not_found", "get_service", service="no-such-service")
    await d.fails("unknown", "provider_not_found", "update_oauth_provider", provider="no-such-provider", new_name="x")
    await d.refused("an unknown tool is a protocol error", {-32602}, d.client.call_tool("no_such_tool", {}))
    await d.refused("what people alone do is no tool", {-32602}, d.client.call_tool("purge_credential", {}))


async def reading(d: Driven) -> None:
    listed = (await d.client.list_resources()).resources
    check(d.era, "resources/list", {str(r.uri) for r in listed} == RESOURCES, listed)
    templates = (await d.client.list_resource_templates()).resource_templates
    check(d.era, "resources/templates/list", {t.uri_template for t in templates} == TEMPLATES, templates)
    rows = (await d.call("list_credentials", limit=1)).structured_content["credentials"]
    name, key = rows[0]["name"], rows[0]["id"]
    uris = [*sorted(RESOURCES), f"unsaid://credentials/{key}", f"unsaid://credentials/{name}",
            "unsaid://services/github", "unsaid://services/github/rotation-guide"]
    for uri in uris:
        content = (await d.client.read_resource(uri)).contents[0]
        seen.append(content.text)
        check(d.era, f"reads {uri.replace(key, 'ID').replace(name, 'NAME')}", isinstance(json.loads(content.text), dict))
    missing = {-32602} if d.era != "handshake" else {-32002}
    for uri in ["unsaid://credentials/NOT_THERE", "unsaid://services/nothing", "unsaid://nothing"]:
        await d.refused(f"{uri} is not found", missing, d.client.read_resource(uri))

    prompts = (await d.client.list_prompts()).prompts
    check(d.era, "prompts/list", {p.name for p in prompts} == PROMPTS and all(p.description for p in prompts), prompts)
    for prompt, arguments in [
        ("audit_credentials", {}), ("audit_credentials", {"scope": "org", "service": "github"}),
        ("recommend_scope", {"credential": name}), ("rotate_credential", {"credential": key}), ("respond_to_leak", {"credential": key}),
    ]:
        got = await d.client.get_prompt(prompt, arguments)
        text = got.messages[0].content.text
        seen.append(text)
        check(d.era, f"prompt {prompt} {sorted(arguments)}", len(text) > 500 and ("credential" not in arguments or key in text))
    await d.refused("a prompt without its argument", {-32602}, d.client.get_prompt("rotate_credential", {}))
    await d.refused("a prompt for nothing", {-32602}, d.client.get_prompt("rotate_credential", {"credential": "NOT_THERE"}))
    await d.refused("an unknown prompt", {-32602}, d.client.get_prompt("no_such_prompt", {}))

    for ref, argument, typed, expected in [
        (types.PromptReference(name="rotate_credential"), "credential", name[:5].lower(), name),
        (types.PromptReference(name="audit_credentials"), "service", "githu", "github"),
        (types.PromptReference(name="audit_credentials"), "scope", "", "personal"),
        (types.ResourceTemplateReference(uri="unsaid://credentials/{id}"), "id", name[:5], name),
        (types.ResourceTemplateReference(uri="unsaid://services/{id}"), "id", "stri", "stripe"),
        (types.ResourceTemplateReference(uri="unsaid://services/{id}/rotation-guide"), "id", "openai", "openai"),
    ]:
        completed = await d.client.complete(ref, {"name": argument, "value": typed})
        values = completed.completion.values
        check(d.era, f"completes {argument} of {getattr(ref, 'name', None) or ref.uri}", expected in values, values)
    teams = await d.client.complete(types.PromptReference(name="audit_credentials"), {"name": "team", "value": ""})
    check(d.era, "completes team", isinstance(teams.completion.values, list))
    unknown = types.PromptReference(name="no_such_prompt")
    await d.refused("no completion for nothing", {-32602}, d.client.complete(unknown, {"name": "x", "value": ""}))


async def everything(d: Driven) -> None:
    expected = {"handshake": "2025-11-25"}.get(d.era, "2026-07-28")
    check(d.era, f"speaks {expected}", d.client.session.protocol_version == expected, d.client.session.protocol_version)
    if d.era != LAST:
        info = d.client.session.server_info
        check(d.era, "says who it is", info is not None and info.name == "unsaid", info)
        check(d.era, "says how to work with it", "unsaid set" in (d.client.session.instructions or ""))
    for part in (tools, credentials, hygiene, administration, errors, reading):
        await part(d)
    at_once = await asyncio.gather(*(d.call("list_credentials", limit=5) for _ in range(200)))
    check(d.era, "200 calls at once are all answered", all(not r.is_error for r in at_once))
    check(d.era, "every tool was called", d.called >= TOOLS, TOOLS - d.called)


LIST = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {}}}}) + "\n"


def raw(what: str, kind: str, text: str, signals: int = 0) -> None:
    """Starts the server on standard streams of this kind, and looks at every byte it writes and how it ends."""
    env, err = {**os.environ, **ENV}, subprocess.DEVNULL
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as taken:
        if kind == "file":
            given.write(text.encode())
            given.seek(0)
            server = subprocess.Popen([BINARY, "serve"], env=env, stdin=given, stdout=taken, stderr=err)
            status = server.wait(10)
            taken.seek(0)
            out = taken.read()
        elif kind == "socket":
            (our_in, their_in), (our_out, their_out) = socket.socketpair(), socket.socketpair()
            server = subprocess.Popen([BINARY, "serve"], env=env, stdin=their_in, stdout=their_out, stderr=err)
            their_in.close(), their_out.close()
            our_in.sendall(text.encode())
            out, status = ended(server, our_out.makefile("rb"), lambda: our_in.shutdown(socket.SHUT_WR), signals, text)
        else:
            server = subprocess.Popen([BINARY, "serve"], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err)
            server.stdin.write(text.encode())
            server.stdin.flush()
            out, status = ended(server, server.stdout, server.stdin.close, signals, text)
    lines = out.decode().splitlines()
    clean = all(json.loads(line).get("jsonrpc") == "2.0" for line in lines)
    answered = LIST not in text or any("tools" in json.loads(line).get("result", {}) for line in lines)
    check("raw", f"{kind}: {what}", clean and answered and status == 0, (status, out[:300]))


def ended(server, out, close, signals: int, text: str) -> tuple[bytes, int]:
    read = out.readline() if LIST in text else b""
    began = time.monotonic()
    server.send_signal(signals) if signals else close()
    read += out.read()
    status = server.wait(10)
    return read, status if time.monotonic() - began < 1 else -1


def streams() -> None:
    for kind in ("pipe", "socket", "file"):
        raw("a request and the end", kind, LIST)
        raw("nothing at all", kind, "")
        raw("garbage, then a request", kind, "garbage {\n" * 2000 + "\x00\x01\n" + LIST)
    for kind in ("pipe", "socket"):
        raw("SIGTERM ends it at once", kind, LIST, signal.SIGTERM)
        raw("SIGINT ends it at once", kind, LIST, signal.SIGINT)


async def main() -> int:
    await connected("before", "auto", before_init)
    await connected("handshake", "legacy", everything)
    await connected("request", "auto", everything)
    await connected(LAST, "2026-07-28", everything)
    streams()
    leaks = sum(VALUE in text or VALUE[6:] in text for text in seen)
    check("all", f"the entered value is in none of {len(seen)} answers", leaks == 0, leaks)
    print(f"{failures} failed")
    return int(failures > 0)


sys.exit(asyncio.run(main()))
