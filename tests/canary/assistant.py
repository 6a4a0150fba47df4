"""What an assistant can do through `unsaid serve`: everything, and every wrong thing, with values where none belongs."""

import json
import os
import signal
import time

from canaries import shaped
from flows import World
from program import Server

USUAL = {
    "credential": "STDIN_ORG", "name": "NEW_ONE", "reason": "for the tests", "level": "use", "provider": "hub", "client_id": "Iv1.example",
    "service": "github", "user": "tester",
}
HANDSHAKE = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "canary", "version": "1"}}


def assisting(w: World) -> None:
    server = Server(w.program)
    server.begin()
    tools = server.ask("tools/list")["result"]["tools"]
    for method in ("prompts/list", "resources/list", "resources/templates/list", "ping", "server/discover", "logging/setLevel"):
        w.count(server.ask(method))
    succeeding(w, server)
    server.look("after calls that succeed")
    for number, tool in enumerate(tools):
        refusing(w, server, tool)
        if number % 7 == 6:
            server.look(f"after refused arguments of {tool['name']} and the six before it")
    server.look("after refused arguments")
    elsewhere(w, server)
    server.look("after values outside of tools")
    server.end()
    w.files()
    for args in (("--read-only",), ("--toolsets", "catalogue")):
        narrow = Server(w.program, *args, label="serve " + " ".join(args))
        narrow.begin()
        for tool in tools:
            w.count(narrow.call(tool["name"], **{k: v for k, v in USUAL.items() if k in tool["inputSchema"]["properties"]}))
        narrow.look("after refusals")
        narrow.end()


def succeeding(w: World, server: Server) -> None:
    ok = lambda tool, **arguments: w.count(server.call(tool, **arguments))
    for tool in ("whoami", "list_credentials", "list_services", "list_oauth_providers", "search_audit_log", "verify_audit_log"):
        ok(tool)
    for name in ("STDIN_ORG", "BASIC_ORG", "FILE_ORG", "CUSTOM_ORG", "STDIN_PERSONAL", "FILE_STDIN", "CUSTOM_PROMPT", "IMP_ONE"):
        ok("get_credential", credential=name)
        ok("get_usage", credential=name)
        ok("explain_resolution", name=name)
    ok("list_credentials", limit=2, text="STDIN")
    ok("get_service", service="github")
    ok("get_rotation_guide", service="github")
    ok("create_credential", name="BY_MODEL", scope="org", description="made by a model")
    ok("set_credential_value", credential="BY_MODEL")
    ok("update_credential", credential="STDIN_ORG", description="changed by a model")
    ok("share_credential", credential="STDIN_ORG", user="ada", level="use", reason="for the tests")
    server.forms = [{"action": "decline"}, {"action": "accept", "content": {"confirm": True}}]
    ok("delete_credential", credential="BASIC_ORG", reason="for the tests")
    ok("delete_credential", credential="BASIC_ORG", reason="for the tests")
    ok("restore_credential", credential="BASIC_ORG")
    ok("create_oauth_provider", name="own", client_id="abc", reason="tests", endpoints={
        "authorization_url": "https://login.example.org/authorize", "token_url": "https://login.example.org/token"})
    ok("update_oauth_provider", provider="hub", new_name="hub")
    for uri in ("unsaid://inventory", "unsaid://audit/recent", "unsaid://policy", "unsaid://credentials/STDIN_ORG", "unsaid://services/github",
                "unsaid://services/github/rotation-guide", "unsaid://nothing"):
        w.count(server.ask("resources/read", {"uri": uri}))
    for name, arguments in (("audit_credentials", {}), ("recommend_scope", {"credential": "STDIN_ORG"}), ("rotate_credential", {"credential": "STDIN_ORG"}), ("none", {})):
        w.count(server.ask("prompts/get", {"name": name, "arguments": arguments}))
    for ref, argument, typed in (({"type": "ref/prompt", "name": "rotate_credential"}, "credential", "STDIN"),
                                 ({"type": "ref/resource", "uri": "unsaid://credentials/{id}"}, "id", "")):
        w.count(server.ask("completion/complete", {"ref": ref, "argument": {"name": argument, "value": typed}}))


def refusing(w: World, server: Server, tool: dict) -> None:
    """A value in every argument, as one that does not exist, and in every wrong shape."""
    name, schema = tool["name"], tool["inputSchema"]
    usual = {k: v for k, v in USUAL.items() if k in schema.get("required", [])}

    def refused(how: str, arguments: dict, canary: bytes) -> None:
        server.forms = []
        answer = server.call(name, **arguments)
        # Our own page marks are not looked at; a wrong one gives the first page, or is refused.
        if w.count(answer) == "ok" and how != "in cursor":
            w.problems.append(f"{name}: a value {how} was taken")
        if canary.decode() in json.dumps(answer):
            w.problems.append(f"{name}: a value {how} was repeated")

    def planted(how: str) -> bytes:
        return w.plant(f"{name}, {how}", "misplaced", shaped())

    value = planted("unknown argument")
    for key in ("value", "secret", "password", value.decode()):
        refused(f"in the unknown argument {key[:8]}", {**usual, key: value.decode()}, value)
    as_text, as_shape = planted("argument"), planted("wrong shape")
    for key in schema["properties"]:
        refused(f"in {key}", {**usual, key: as_text.decode()}, as_text)
        refused(f"inside {key}", {**usual, key: {as_shape.decode(): as_shape.decode()}}, as_shape)
        refused(f"in a list in {key}", {**usual, key: [as_shape.decode(), {"name": as_shape.decode()}]}, as_shape)
        refused(f"deep in {key}", {**usual, key: [[[[[[{"a": [as_shape.decode()]}]]]]]]}, as_shape)


# Where in a request a value could stand.
MISPLACED = [
    lambda v: (v, {}),
    lambda v: ("tools/call", {"name": v}),
    lambda v: ("tools/call", {"name": "whoami", "arguments": v}),
    lambda v: ("tools/call", {"name": "whoami", "arguments": {}, "_meta": {v: v, "progressToken": v}}),
    lambda v: ("tools/call", {"name": "whoami", "arguments": {}, "requestState": v}),
    lambda v: ("prompts/get", {"name": v}),
    lambda v: ("prompts/get", {"name": "rotate_credential", "arguments": {"credential": v}}),
    lambda v: ("prompts/get", {"name": "rotate_credential", "arguments": {v: v}}),
    lambda v: ("prompts/get", {"name": "audit_credentials", "arguments": {"service": v, "team": v}}),
    lambda v: ("resources/read", {"uri": v}),
    lambda v: ("resources/read", {"uri": "unsaid://credentials/" + v}),
    lambda v: ("resources/read", {"uri": "unsaid://services/" + v}),
    lambda v: ("resources/subscribe", {"uri": v}),
    lambda v: ("logging/setLevel", {"level": v}),
    lambda v: ("tools/list", {"cursor": v}),
    lambda v: ("completion/complete", {"ref": {"type": "ref/prompt", "name": "rotate_credential"}, "argument": {"name": "credential", "value": v}}),
    lambda v: ("completion/complete", {"ref": {"type": "ref/prompt", "name": v}, "argument": {"name": v, "value": v}}),
    lambda v: ("completion/complete", {"ref": {"type": v}, "argument": v}),
    lambda v: ("initialize", {"protocolVersion": v}),
]


def elsewhere(w: World, server: Server) -> None:
    """Values in every other place of a message."""
    n = 0

    def wrong() -> str:
        nonlocal n
        n += 1
        return w.plant(f"in a message, {n}", "misplaced", shaped()).decode()

    for make in MISPLACED:
        method, params = make(wrong())
        w.count(server.ask(method, params))
    for raw in (
        '{"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "77", "reason": "%s"}}', '{"jsonrpc": "2.0", "method": "notifications/%s"}',
        '{"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "%s', '%s', '{"%s": 1}', '["%s"]', '{"jsonrpc": "%s", "id": 5, "method": "ping"}',
        '{"jsonrpc": "2.0", "id": {"a": "%s"}, "method": "ping"}', '{"jsonrpc": "2.0", "id": 901, "result": {"a": "%s"}}', '{"jsonrpc": "2.0", "id": 902, "error": {"code": 1, "message": "%s"}}',
    ):
        server.send((raw % wrong()).encode())
    server.send(b'{"jsonrpc": "2.0", "id": 903, "method": "tools/call", "params": {"name": "whoami", "arguments": {"a": "\xff' + wrong().encode() + b'"}}}')
    server.send(("[" * 3000 + '"' + wrong() + '"' + "]" * 3000).encode())
    server.send(("x" * 5_000_000 + wrong()).encode())
    # A call that is cancelled while its form is open.
    server.ask("ping")
    # A client that calls itself by a value.
    named = Server(w.program, label="serve, a client named by a value")
    value = wrong()
    # The protocol library keeps what a client said of itself for as long as it is connected.
    w.search.canaries[f"in a message, {n}"].allowed.append(("memory", "a client named by a value"))
    named.begin(value)
    w.count(named.call("whoami"))
    w.count(named.call("create_credential", name="BY_A_NAMED_CLIENT"))
    w.count(named.call("search_audit_log"))
    named.look("after calls")
    named.end()


def ending(w: World) -> None:
    """kill -9 and the gentler ends, with a call in flight."""
    for how in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGABRT):
        server = Server(w.program, label=f"serve, ended by {signal.Signals(how).name}", cores=how == signal.SIGABRT, cwd=w.root / "tmp")
        server.begin()
        server.call("create_credential", name=f"KILLED_{how}", scope="org")
        server.send({"jsonrpc": "2.0", "id": "99", "method": "tools/call", "params": {"name": "verify_audit_log", "arguments": {}}})
        server.end(how)
        w.files()
        # H-08: nothing was dumped, although cores were allowed.
        dumped = [p.name for p in (w.root / "tmp").iterdir() if "core" in p.name]
        if dumped:
            w.problems.append(f"H-08: a core was left: {dumped}")
    w.unsaid("doctor", wants=None)
