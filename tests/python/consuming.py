"""Agents and MCP servers get what they are bound to, and nothing else: real servers, real clients, a real API.

consuming.py BINARY --node NODE --servers FOLDER [--only parts]

FOLDER holds the packages of ../servers. A line is printed for each check; the status is 1 if one failed. Where the system
lets a process have a network of its own, everything runs in one that has loopback and nothing else.
"""

import argparse
import asyncio
import contextlib
import ctypes
import fcntl
import hashlib
import json
import logging
import os
import re
import signal
import socket
import socketserver
import ssl
import struct
import subprocess
import sys
import threading
import time
import traceback
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

HERE = Path(__file__).resolve().parent
for folder in ("providers", "servers", "support"):
    sys.path.insert(0, str(HERE.parent / folder))
sys.dont_write_bytecode = True

import certificate  # noqa: E402
import running  # noqa: E402
from api import Api  # noqa: E402
from ports import free_port  # noqa: E402
from vault import TEMPORARY, VALUES, Vault, given_away, scrubbed, secret  # noqa: E402

options = argparse.ArgumentParser()
options.add_argument("binary")
options.add_argument("--node", required=True)
options.add_argument("--servers", required=True)
options.add_argument("--only")
GIVEN = options.parse_args()
BINARY, NODE = os.path.abspath(GIVEN.binary), os.path.abspath(GIVEN.node)
PACKAGES = Path(GIVEN.servers).resolve() / "node_modules"
# Each is started by what stands in a file; the last by our own definition of it.
SERVERS = {
    "gitlab": ("@zereight/mcp-gitlab/build/index.js", "GITLAB_PERSONAL_ACCESS_TOKEN", "GITLAB_API_URL", "/api/v4", "list_projects", {}),
    "notion": ("@notionhq/notion-mcp-server/bin/cli.mjs", "NOTION_TOKEN", "BASE_URL", "", "API-get-self", {}),
    "firecrawl": ("firecrawl-mcp/dist/index.js", "FIRECRAWL_API_KEY", "FIRECRAWL_API_URL", "", "firecrawl_scrape", {"url": "http://127.0.0.1/"}),
}
# The names of the environment, and of each value its SHA-256: a value would be masked.
TELL = (
    "import hashlib,json,os,sys;"
    "sys.stdout.write(json.dumps({n: hashlib.sha256(v.encode()).hexdigest() for n, v in os.environ.items()}))"
)

# The digests of what may be the number of a version.
NUMBERS = {hashlib.sha256(str(n).encode()).hexdigest() for n in range(1, 100)}

failures = 0


def check(part: str, what: str, holds: object, told: object = "") -> None:
    global failures
    failures += not holds
    print(f"{'ok  ' if holds else 'FAIL'} {part:9} {what}" + ("" if holds else f": {scrubbed(told)[:900]}"), flush=True)


def leave_the_network() -> None:
    """For a loopback of its own. Fails with `OSError` where the system does not let it, perhaps halfway."""
    new_user, new_network, libc = 0x10000000, 0x40000000, ctypes.CDLL(None, use_errno=True)
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(new_network) != 0:
        if libc.unshare(new_user | new_network) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    with socket.socket() as s:
        up, set_flags = 0x1 | 0x8 | 0x40, 0x8914
        fcntl.ioctl(s, set_flags, struct.pack("16sh", b"lo", up))


def alone() -> bool:
    """Leaves every network but a loopback of its own. False, with nothing changed, where the system does not let it."""
    if sys.platform != "linux":
        return False
    # There is no way back from halfway, so a child goes first.
    child = os.fork()
    if child == 0:
        try:
            leave_the_network()
        except OSError:
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1] != 0:
        return False
    leave_the_network()
    return True


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def soon() -> str:
    """Two hours from now, as the program writes it."""
    return (datetime.now(UTC) + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%SZ")


# --- Clients, and what the machine shows of them ---


class Heard(logging.Handler):
    """What the client found wrong with what it was sent."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@contextlib.asynccontextmanager
async def client(vault: Vault, command: str, args: list[str], env: dict[str, str], heard: Heard | None = None, person=None):
    """The official client, connected; what the program says on standard error is kept as said."""
    from mcp import Client, StdioServerParameters
    from mcp.client.stdio import stdio_client

    log = logging.getLogger("mcp")
    log.propagate = False
    log.handlers = [heard or logging.NullHandler()]
    errors = vault.folder / f"errors-{time.monotonic_ns()}"
    with open(errors, "w") as file:
        server = StdioServerParameters(command=command, args=args, env={"UNSAID_LOG": "debug", **env})
        async with Client(
            stdio_client(server, errlog=file), mode="auto", elicitation_callback=person, read_timeout_seconds=60, cache=None
        ) as connected:
            yield connected
    # It is in the vault's folder, so it is searched with the rest.


def processes() -> dict[int, tuple[bytes, bytes | None]]:
    """Of each process its command line, and its environment where it may be read."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        try:
            environment = (folder / "environ").read_bytes()
        except OSError:
            environment = None
        found[int(folder.name)] = (line, environment)
    return found


def look_at_processes(part: str, keys: list[str]) -> list[int]:
    """The processes that have a key in their environment, and ought to: the servers."""
    if sys.platform != "linux":
        print(f"NOT DONE  {part}: the process list, which takes /proc", flush=True)
        return []
    found = processes()
    told = [pid for pid, (line, _) in found.items() if given_away(line)]
    check(part, "no process has a key on its command line", not told, [found[pid][0] for pid in told])
    launchers = [pid for pid, (line, _) in found.items() if line.split(b"\0")[0] == BINARY.encode()]
    check(part, "unsaid runs beside it", launchers, "no process of the binary")
    told = [pid for pid in launchers if found[pid][1] and given_away(found[pid][1])]
    check(part, "and has no key in its own environment", not told, told)
    has_it = [pid for pid, (_, e) in found.items() if e and any(key.encode() in e for key in keys)]
    check(part, "the server has (so that this search finds what is there)", has_it and not set(has_it) & set(launchers), has_it)
    return has_it


# --- Three servers of the npm registry ---


def three_servers() -> None:
    part = "servers"
    keys = {name: secret(f"key of {name}") for name in SERVERS}
    api = Api(keys)
    vault = Vault(BINARY, "servers")
    project = vault.folder / "project"
    project.mkdir()
    file = project / ".mcp.json"

    def server(name: str, address: bool = True) -> dict:
        package, variable, where, path, *_ = SERVERS[name]
        return {"type": "stdio", "command": NODE, "args": [str(PACKAGES / package)], "env": {variable: keys[name], where: api.base + path}}

    before = json.dumps({"mcpServers": {name: server(name) for name in ("gitlab", "notion")}}, indent=2)
    file.write_text(before)
    told = vault.person("mcp-config", "--wrap", str(file), "--scope", "personal")
    check(part, "the diff that is shown first has no key", not given_away(told) and "+++" in told, told)
    wrapped = file.read_text()
    check(part, "the client's configuration has no key", not given_away(wrapped), wrapped)
    [backup] = project.glob(".mcp.json.unsaid-backup-*")
    kept = backup.stat().st_mode & 0o777
    check(part, "what stood there is kept beside it, for its owner alone", backup.read_text() == before and kept == 0o600, oct(kept))
    vault.unsaid("mcp-config", "--forget", str(file))
    check(part, "until it is wiped", [f.name for f in project.iterdir()] == [".mcp.json"], list(project.iterdir()))

    package, variable, where, path, *_ = SERVERS["firecrawl"]
    vault.enter(variable, keys["firecrawl"])
    told = vault.person(
        "consumer", "add", "firecrawl", "--server", "firecrawl", "--text", f"{where}={api.base}", "--", NODE, str(PACKAGES / package)
    )
    check(part, "a known server is registered by its name, with what it asks for", re.search(rf"{variable}\s+auto.*ready", told), told)
    entries = json.loads(wrapped)["mcpServers"]
    entries["firecrawl"] = {"command": BINARY, "args": ["mcp", "firecrawl"], "env": {"UNSAID_HOME": vault.home}}
    file.write_text(json.dumps({"mcpServers": entries}))
    for name, entry in json.loads(file.read_text())["mcpServers"].items():
        asyncio.run(one_server(part, vault, api, name, entry, keys))
    check(part, "nobody came to the API without the key", not api.turned_away(), api.turned_away())
    leaks = vault.leaks()
    check(part, "no key stands in a file, a log or anything that was printed", not leaks, leaks)
    uses = json.loads(vault.unsaid("log", "--operation", "use", "--json"))["events"]
    check(part, "each start is in the audit log, with its consumer", len(uses) == len(SERVERS), uses)


async def one_server(part: str, vault: Vault, api: Api, name: str, entry: dict, keys: dict[str, str]) -> None:
    *_, tool, arguments = SERVERS[name]
    heard = Heard()
    async with client(vault, entry["command"], entry["args"], entry["env"], heard) as connected:
        tools = {tool.name for tool in (await connected.list_tools()).tools}
        result = await connected.call_tool(tool, arguments)
        answer = result.model_dump_json()
        vault.said.append(answer)
        check(part, f"{name}: its tools are there", tool in tools, tools)
        check(part, f"{name}: its API is shown the key", api.let_in(name) == 1 and not result.is_error, (api.turned_away(), answer))
        check(part, f"{name}: the API repeats it, and the model reads the name in its place", f"[unsaid:{SERVERS[name][1]}]" in answer, answer)
        servers = await asyncio.to_thread(look_at_processes, f"{part}", [keys[name]])
    left = [pid for pid in servers if os.path.exists(f"/proc/{pid}")]
    check(part, f"{name}: when the client goes, the server goes", not left, left)
    check(part, f"{name}: the client understood every message", not heard.lines, heard.lines)


def undone() -> None:
    part, vault = "undo", Vault(BINARY, "undo")
    file = vault.folder / "mcp.json"
    before = json.dumps({"mcpServers": {"mine": {"command": "mine", "env": {"MY_API_KEY": secret("of a file"), "LEVEL": "debug"}}}})
    file.write_text(before)
    vault.unsaid("mcp-config", "--wrap", str(file), "--dry-run")
    check(part, "a look at it changes nothing", file.read_text() == before and not vault.json("consumer", "list")["consumers"])
    without = vault.run("mcp-config", "--wrap", str(file), "--scope", "personal")
    check(part, "nor does a wish without a person", "needs_terminal" in without.stderr and file.read_text() == before, without.stderr)
    vault.person("mcp-config", "--wrap", str(file), "--scope", "personal")
    entry = json.loads(file.read_text())["mcpServers"]["mine"]
    check(part, "plain configuration stays", entry["env"] == {"LEVEL": "debug"}, entry)
    wrapped = file.read_text()
    vault.unsaid("mcp-config", "--undo", str(file))
    check(part, "undone, the file is what it was", file.read_text() == before)
    vault.unsaid("mcp-config", "--undo", str(file))
    check(part, "and undone once more, what stood there until then", file.read_text() == wrapped)
    vault.unsaid("mcp-config", "--forget", str(file))
    check(part, "forgotten, it is alone", len(list(vault.folder.glob("mcp.json*"))) == 1, list(vault.folder.iterdir()))
    told = vault.run("mcp-config", "--undo", str(file))
    check(part, "and there is nothing more to undo", told.returncode == 5 and "no backup" in told.stderr, told.stderr)
    leaks = vault.leaks()
    check(part, "the value stands nowhere", not leaks, leaks)


# --- A server that repeats its key ---


def repeating() -> None:
    part, key = "repeating", secret("repeated", awkward=True)
    vault = Vault(BINARY, "repeating")
    vault.enter("LOUD_KEY", key)
    vault.person("consumer", "add", "loud", "--bind", "LOUD_KEY", "--", sys.executable, str(HERE.parent / "servers/repeating.py"), "LOUD_KEY")
    asyncio.run(repeated(part, vault, key))
    leaks = vault.leaks()
    check(part, "and neither standard error nor anything else has it", not leaks, leaks)


async def repeated(part: str, vault: Vault, key: str) -> None:
    heard, mark = Heard(), "[unsaid:LOUD_KEY]"
    async with client(vault, BINARY, ["mcp", "loud"], {"UNSAID_HOME": vault.home}, heard) as connected:
        result = await connected.call_tool("digest", {})
        check(part, "it has the right key", result.content[0].text == digest(key), result)
        for form in ("plain", "json", "json-ascii", "base64", "base64url", "url", "form", "hex", "basic"):
            result = await connected.call_tool("repeat", {"form": form})
            text = result.content[0].text
            vault.said.append(result.model_dump_json())
            check(part, f"{form}: the model reads the name in its place", mark in text and text.startswith("before ") and text.endswith(" after"), text)
        result = await connected.call_tool("structured", {})
        vault.said.append(result.model_dump_json())
        every = (result.structured_content or {}).values()
        check(part, "as structured content too", len(every) == 9 and all(mark in one for one in every), result)
        result = await connected.call_tool("fail", {})
        vault.said.append(result.model_dump_json())
        check(part, "and in an error", result.is_error and mark in result.content[0].text, result)
    check(part, "the protocol parses all the while", not heard.lines, heard.lines)


# --- Remote servers, for a client that starts local ones ---


@contextlib.contextmanager
def remote_server(how: str, key: str):
    """The address of a server that lets in who shows `key`, and what changes that."""
    port = free_port()
    command = [sys.executable, str(HERE.parent / "servers/remote.py"), str(port), how]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)

    def lets_in(value: str) -> None:
        server.stdin.write(digest(f"Bearer {value}") + "\n")
        server.stdin.flush()
        # What was written is read by a thread of its own.
        time.sleep(0.2)

    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        lets_in(key)
        yield f"http://127.0.0.1:{port}/mcp", lets_in
    finally:
        server.kill()
        server.wait()


def remote() -> None:
    for how in ("events", "json"):
        part, key = "remote", secret(f"of a remote server, {how}")
        vault = Vault(BINARY, f"remote-{how}")
        file = vault.folder / ".mcp.json"
        with remote_server(how, key) as (url, lets_in):
            entry = {"type": "http", "url": url, "headers": {"Authorization": f"Bearer {key}"}}
            before = json.dumps({"mcpServers": {"acme": entry}}, indent=2)
            file.write_text(before)
            told = vault.person("mcp-config", "--wrap", str(file), "--scope", "personal")
            check(part, f"{how}: the diff that is shown first has no key", not given_away(told) and "+++" in told, told)
            vault.unsaid("mcp-config", "--undo", str(file))
            check(part, f"{how}: undone, the file is what it was", file.read_text() == before)
            vault.unsaid("mcp-config", "--undo", str(file))
            vault.unsaid("mcp-config", "--forget", str(file))
            entry = json.loads(file.read_text())["mcpServers"]["acme"]
            check(part, f"{how}: the client starts a command, and holds no key", "url" not in entry and not given_away(file.read_text()), entry)
            asyncio.run(one_remote(part, how, vault, entry, key, lets_in))
        done = vault.run("mcp", "acme", text='{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
        check(part, f"{how}: a server that is gone is told as that", "unreachable" in done.stdout and "127.0.0.1" in done.stdout, done)
        vault.unsaid("rm", "ACME_TOKEN", "--yes")
        done = vault.run("mcp", "acme")
        check(part, f"{how}: without its credential it is not started", done.returncode == 125 and "ACME_TOKEN" in done.stderr, done)
        leaks = vault.leaks()
        check(part, f"{how}: no key stands in a file, a log or anything that was printed", not leaks, leaks)


async def one_remote(part: str, how: str, vault: Vault, entry: dict, key: str, lets_in) -> None:
    heard, mark, steps = Heard(), "[unsaid:ACME_TOKEN]", []

    async def progress(done: float, whole: float | None, _: str | None) -> None:
        steps.append(done)

    async with client(vault, entry["command"], entry["args"], entry.get("env", {}), heard) as connected:
        tools = {tool.name for tool in (await connected.list_tools()).tools}
        check(part, f"{how}: its tools are there", tools == {"repeat", "work"}, tools)
        result = await connected.call_tool("work", {}, progress_callback=progress)
        check(part, f"{how}: it is shown the right key", result.content[0].text == digest(f"Bearer {key}"), result)
        if how == "events":
            check(part, f"{how}: and says how far it is", steps == [0, 1, 2], steps)
        result = await connected.call_tool("repeat", {})
        vault.said.append(result.model_dump_json())
        every = (result.structured_content or {}).values()
        check(part, f"{how}: what it repeats is the name", every and all(mark in one for one in every), result)
        if sys.platform == "linux":
            has_it = [pid for pid, (line, environment) in processes().items() if given_away(line) or given_away(environment or b"")]
            check(part, f"{how}: no process has the key on its command line or in its environment", not has_it, has_it)
        another = secret("another one")
        lets_in(another)
        told = await refusal(connected)
        vault.said.append(told)
        check(part, f"{how}: a key that is refused is told with what to do", "401" in told and "unsaid set ACME_TOKEN" in told, told)
        await asyncio.to_thread(vault.enter, "ACME_TOKEN", another)
        result = await connected.call_tool("work", {})
        check(part, f"{how}: the one that replaces it goes along from then on", result.content[0].text == digest(f"Bearer {another}"), result)
    check(part, f"{how}: the client understood every message", not heard.lines, heard.lines)
    uses = json.loads(vault.unsaid("log", "--operation", "use", "--json"))["events"]
    named = [one for one in uses if one.get("details", {}).get("host", "").startswith("127.0.0.1:")]
    check(part, f"{how}: each use is in the log, with its host", len(named) >= 6, uses[:2])


async def refusal(connected) -> str:
    try:
        return (await connected.call_tool("work", {})).model_dump_json()
    except Exception as e:  # Whatever class it is, its text is what a model reads.
        return str(e)


# --- What is missing, which value it is, and nothing else ---


def told_env(vault: Vault, consumer: str, *before: str) -> dict[str, str]:
    done = vault.run(*before, "run", "--consumer", consumer, "--", sys.executable, "-c", TELL)
    return json.loads(done.stdout) if done.returncode == 0 else {"": done.stderr}


def is_given(vault: Vault, consumer: str, expected: dict[str, str], *before: str) -> tuple[bool, object]:
    """Whether its environment is ours and `expected`, with the version of each binding, and no name more. What differs, if not."""
    got = told_env(vault, consumer, *before)
    for name in [name for name in got if name.startswith("UNSAID_VERSION_")]:
        variable = name.removeprefix("UNSAID_VERSION_")
        is_bound = any(one == variable or one.startswith(f"{variable}_") for one in expected)
        if is_bound and got[name] in NUMBERS:
            del got[name]
    wanted = {name: digest(value) for name, value in {**vault.env, **expected}.items()}
    differs = [name for name in got.keys() | wanted.keys() if got.get(name) != wanted.get(name)]
    return not differs, (differs, got.get(""))


def refused(part: str, vault: Vault, what: str, consumer: str, code: str, *words: str, by=("run", "mcp")) -> None:
    flag = vault.folder / "started"
    for how in by:
        command = ["mcp", consumer] if how == "mcp" else ["run", "--consumer", consumer, "--", "touch", str(flag)]
        done = vault.run(*command)
        named = all(word in done.stderr for word in (f"error[{code}]", *words))
        is_refused = done.returncode == 125 and named and not done.stdout and not flag.exists()
        check(part, f"{what}: `unsaid {how}` does not start it, and says so", is_refused, (done.returncode, done.stderr))


def starting() -> None:
    part, vault = "starting", Vault(BINARY, "starting")
    flag = ["touch", str(vault.folder / "started")]
    vault.unsaid("team", "create", "core")
    vault.unsaid("user", "add", "bob")
    vault.unsaid("user", "add", "eve")
    vault.unsaid("team", "add", "core", "bob")
    for name in ("UNBOUND_KEY", "ANOTHER_KEY"):
        vault.enter(name, secret(name))

    vault.person("consumer", "add", "needy", "--bind", "THERE", "--bind", "NOT_THERE", "--bind", "NICE?", "--", *flag)
    vault.enter("THERE", secret("there"))
    refused(part, vault, "a value is missing", "needy", "unresolved", "NOT_THERE", "unsaid set NOT_THERE")
    shown = vault.json("consumer", "show", "needy")
    states = {one["variable"]: one["state"] for one in shown["checks"]}
    check(part, "asked beforehand it says the same", states == {"THERE": "ready", "NOT_THERE": "missing", "NICE": "missing"} and not shown["ready"], states)
    check(part, "and how to add it", any("unsaid set NOT_THERE" in text for text in shown["next"]), shown["next"])
    missing = secret("not there")
    told = vault.person("consumer", "set", "needy", typed={"NOT_THERE (": missing, "NICE (": ""})
    check(part, "what is missing is asked for, without echo", "needy is ready" in told and not given_away(told), told)
    fits, told = is_given(vault, "needy", {"THERE": value_of("there"), "NOT_THERE": missing})
    check(part, "with it, it gets exactly what it is bound to: no optional one, no unbound one", fits, told)
    nice = vault.enter("NICE", secret("nice"))
    fits, told = is_given(vault, "needy", {"THERE": value_of("there"), "NOT_THERE": missing, "NICE": nice})
    check(part, "an optional one comes when it is there", fits, told)

    vault.unsaid("edit", "NICE", "--expires", "2020-01-01")
    refused(part, vault, "an optional one that has expired", "needy", "credential_expired", "NICE")
    vault.unsaid("rm", "NICE", "--yes")

    # An own value comes before the team's; when it has ended, nothing falls back in silence.
    team = vault.enter("DATABASE_URL", secret("of the team"), "--scope", "team:core")
    vault.person("consumer", "add", "job", "--bind", "DATABASE_URL", "--", *flag)
    fits, told = is_given(vault, "job", {"DATABASE_URL": team})
    check(part, "the team's value where there is no own one", fits, told)
    own = vault.enter("DATABASE_URL", secret("of my own"), "--scope", "personal")
    fits, told = is_given(vault, "job", {"DATABASE_URL": own})
    check(part, "an own value comes first", fits, told)
    vault.unsaid("edit", "personal/DATABASE_URL", "--expires", "2020-01-01")
    refused(part, vault, "an own value that has expired", "job", "credential_expired", "DATABASE_URL")
    vault.unsaid("edit", "personal/DATABASE_URL", "--expires", "")
    new = vault.enter("DATABASE_URL", secret("of my own, rotated"), "--scope", "personal")
    fits, told = is_given(vault, "job", {"DATABASE_URL": new})
    check(part, "a rotated value is what the next start gets", fits, told)

    every_source(part, vault, team, new, flag)
    people(part, vault, team, flag)
    orgs(part, vault, flag)
    leaks = vault.leaks()
    check(part, "no value stands anywhere", not leaks, leaks)


def value_of(name: str) -> str:
    return next(value for key, value in VALUES.items() if key.startswith(f"{name} "))


def every_source(part: str, vault: Vault, team: str, own: str, flag: list[str]) -> None:
    org = vault.enter("DATABASE_URL", secret("of the org"), "--scope", "org")
    for source, value in (("org_secret", org), ("team_secret", team), ("user_secret", own), ("auto", own)):
        name = source.replace("_", "-")
        more = ",team=core" if source == "team_secret" else ""
        vault.person("consumer", "add", name, "--bind", f"DB={source}:DATABASE_URL{more}", "--text", "LEVEL=debug", "--", *flag)
        fits, told = is_given(vault, name, {"DB": value, "LEVEL": "debug"})
        check(part, f"{source}: that one and no other, beside plain text", fits, told)
    word = vault.enter("LOGIN", secret("word of a login"), "--type", "basic", "--username", "app")
    vault.person("consumer", "add", "login", "--bind", "DB=LOGIN", "--bind", "WORD=LOGIN,field=password", "--", *flag)
    fits, told = is_given(vault, "login", {"DB_USERNAME": "app", "DB_PASSWORD": word, "WORD": word})
    check(part, "a credential with several fields: a variable for each, or the one that is named", fits, told)
    vault.person("consumer", "add", "connected", "--bind", "TOKEN=oauth:DATABASE_URL", "--", *flag)
    refused(part, vault, "oauth: what was entered is no connection", "connected", "unresolved", "DATABASE_URL", by=("run",))
    vault.person("consumer", "add", "filed", "--bind", "DB=org_secret:DATABASE_URL,delivery=file", "--", *flag)
    read = "import hashlib,os,sys,stat;p=os.environ['DB'];sys.stdout.write(hashlib.sha256(open(p,'rb').read()).hexdigest()+' '+oct(stat.S_IMODE(os.stat(p).st_mode))+' '+p)"
    told = vault.unsaid("run", "--consumer", "filed", "--", sys.executable, "-c", read).split(" ", 2)
    check(part, "by a file: its path is in the variable, and it is for one alone", told[:2] == [digest(org), "0o600"], told)
    check(part, "and gone when the program is", len(told) == 3 and not os.path.exists(told[2]), told)


def people(part: str, vault: Vault, team: str, flag: list[str]) -> None:
    vault.person("consumer", "add", "nightly", "--kind", "workflow", "--scope", "team:core", "--bind", "DATABASE_URL=team_secret:DATABASE_URL", "--", *flag)
    with vault.as_person("bob"):
        fits, told = is_given(vault, "nightly", {"DATABASE_URL": team})
        check(part, "a member of the team starts the team's", fits, told)
        refused(part, vault, "a member does not know of somebody's own", "job", "consumer_not_found", by=("run",))
        done = vault.run("consumer", "bind", "nightly", "UNBOUND_KEY")
        check(part, "a member does not re-point the team's", done.returncode == 3 and "not_allowed" in done.stderr, done.stderr)
    with vault.as_person("eve"):
        refused(part, vault, "a stranger does not know that there is one", "nightly", "consumer_not_found")
        listed = vault.json("consumer", "list")["consumers"]
        check(part, "and is shown none", not listed, listed)
    # Everybody of the org may start the org's, and gets by it only what they may use themselves.
    vault.person("consumer", "add", "shared", "--scope", "org", "--bind", "DB=team_secret:DATABASE_URL,team=core", "--", *flag)
    with vault.as_person("bob"):
        fits, told = is_given(vault, "shared", {"DB": team})
        check(part, "the org's gives a member of the team the team's value", fits, told)
    with vault.as_person("eve"):
        refused(part, vault, "and a stranger none", "shared", "unresolved", "DATABASE_URL", by=("run",))
    vault.unsaid("consumer", "edit", "shared", "--run-by", "root" if os.geteuid() == 0 else vault.json("user", "list")["users"][0]["login"])
    with vault.as_person("bob"):
        refused(part, vault, "who is not among those that may run it", "shared", "not_allowed", by=("run",))


def orgs(part: str, vault: Vault, flag: list[str]) -> None:
    vault.unsaid("org", "create", "elsewhere")
    there = ("--org", "elsewhere")
    done = vault.run(*there, "run", "--consumer", "job", "--", *flag)
    check(part, "a consumer is not known in another org", done.returncode == 125 and "consumer_not_found" in done.stderr, done.stderr)
    vault.person(*there, "consumer", "add", "job", "--bind", "DATABASE_URL", "--", *flag)
    done = vault.run(*there, "run", "--consumer", "job", "--", *flag)
    check(part, "one of the same name gets nothing of the first org's", done.returncode == 125 and "unresolved" in done.stderr, done.stderr)
    value = secret("of another org")
    vault.unsaid(*there, "set", "DATABASE_URL", "--scope", "org", text=value + "\n")
    fits, told = is_given(vault, "job", {"DATABASE_URL": value}, *there)
    check(part, "and its own org's value when there is one", fits, told)
    check(part, "nothing was started that should not be", not Path(flag[1]).exists())


def connected() -> None:
    """A binding to a connection: the token that the provider gave, fresh."""
    part, folder = "oauth", Path(TEMPORARY.name) / "oauth"
    folder.mkdir()
    given = running.settings(folder, ["http://127.0.0.1/oauth/callback"])
    with running.faulty(given) as provider:
        host = provider.base.split("//")[1]
        vault = Vault(BINARY, "oauth", f"\n[outbound]\nallow = [{json.dumps(host)}]\nca_file = {json.dumps(given.ca)}\n")
        vault.person("provider", "add", "--name", "machine", "--issuer", provider.base, "--client-id", "client-credentials",
                     "--grant", "client_credentials", "--scope", "api:read")
        vault.unsaid("provider", "secret", "machine", "--stdin", text=given.secrets["client-credentials"])
        vault.unsaid("set", "MACHINE", "--type", "oauth", "--provider", "machine")
        vault.person("consumer", "add", "robot", "--bind", "TOKEN=oauth:MACHINE", "--", "touch", str(vault.folder / "started"))
        refused(part, vault, "before it is connected", "robot", "reauth_required", "MACHINE")
        vault.unsaid("connect", "MACHINE")
        first = told_env(vault, "robot").get("TOKEN")
        issued = [digest(token) for token in provider.issued()]
        check(part, "it gets a token that the provider gave", first in issued, first)
        vault.unsaid("refresh", "MACHINE")
        issued = [digest(token) for token in provider.issued()]
        second = told_env(vault, "robot").get("TOKEN")
        check(part, "and the next start the next token", second in issued and second != first, second)


# --- Tokens of consumers, at the broker ---

MANIFEST = """\
id = "acme"
name = "Acme"
category = "internal"
credential_types = ["api_key"]
confidence = "high"
[broker]
base_url = "ADDRESS"
paths = ["/acme/**"]
base_url_env = ["ACME_BASE_URL"]
base_url_suffix = "/acme"
[broker.auth]
in = "header"
name = "Authorization"
format = "Bearer {token}"
[rotation]
overlap_possible = true
recommended_interval_days = 30
steps = ["Make a second key, switch, delete the first."]
"""


class Lent:
    """A vault with an API of our own in its catalogue, and a credential of it."""

    def __init__(self, name: str):
        self.key = secret(f"{name} key", awkward=False)
        folder = Path(TEMPORARY.name) / f"{name}-service"
        folder.mkdir()
        self.api = Api({"acme": self.key}, certificate.make(folder / "certificate"))
        (folder / "acme.toml").write_text(MANIFEST.replace("ADDRESS", self.api.base))
        ca = folder / "certificate/ca.pem"
        self.vault = Vault(BINARY, name, (
            f"\n[catalogue]\nfolder = {json.dumps(str(folder))}\n"
            f"[outbound]\nallow = [{json.dumps(self.api.authority)}]\nca_file = {json.dumps(str(ca))}\n"
        ))
        self.vault.enter("ACME_KEY", self.key, "--service", "acme", "--scope", "org")

    def asked(self, url: str, token: str, method: str = "GET") -> tuple[int, str]:
        request = urllib.request.Request(url, headers={"authorization": f"Bearer {token}"}, method=method)
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
                status, body = answer.status, answer.read().decode()
        except urllib.error.HTTPError as e:
            status, body = e.code, e.read().decode()
        self.vault.said.append(body)
        return status, body

    @contextlib.contextmanager
    def broker(self, *command: str):
        """As a program of its own, or inside `serve --http`."""
        port = free_port()
        command = command or ("broker", "--listen")
        errors = self.vault.folder / f"broker-{port}"
        with open(errors, "w") as file:
            process = subprocess.Popen([BINARY, *command, f"127.0.0.1:{port}"], env=self.vault.env, stdin=subprocess.DEVNULL, stderr=file)
            try:
                deadline = time.monotonic() + 30
                while "listening on" not in errors.read_text():
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise RuntimeError(errors.read_text())
                    time.sleep(0.02)
                yield f"http://127.0.0.1:{port}/b/"
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(30)


def tokens() -> None:
    tokens_at("tokens")
    tokens_at("served", "serve", "--http")


def tokens_at(part: str, *command: str) -> None:
    lent = Lent(part)
    vault, api = lent.vault, lent.api
    vault.unsaid("user", "add", "bob")
    for name in ("bot", "other"):
        vault.person("consumer", "add", name, "--kind", "agent", "--scope", "org", "--bind", "ACME_KEY=org_secret:ACME_KEY,delivery=header,methods=GET,paths=/acme/open/**")
    token = {name: vault.token(name, "create", name, "--consumer", name) for name in ("bot", "other")}
    done = vault.run("token", "create", "bob", "--consumer", "bot", "--user", "bob")
    check(part, "nobody makes a consumer's token for somebody else", done.returncode == 3 and not done.stdout, done.stderr)
    with vault.as_person("bob"):
        bobs = vault.token("bob", "create", "bob", "--consumer", "bot")
    client_token = vault.token("client", "create", "client")
    ends = datetime.now(UTC) + timedelta(seconds=3)
    brief = vault.token("brief", "create", "brief", "--consumer", "bot", "--expires", ends.strftime("%Y-%m-%dT%H:%M:%SZ"))
    with lent.broker(*command) as at:
        def ask(shown: str, path: str = "bot/acme/acme/open/x", method: str = "GET") -> int:
            return lent.asked(at + path, shown, method)[0]

        status, body = lent.asked(at + "bot/acme/acme/open/x", token["bot"])
        check(part, "a consumer's token brings its request to the service, with the key", status == 200 and api.let_in("acme") == 1, (status, body))
        check(part, "and the key that the service repeats is the name in the answer", "[unsaid:ACME_KEY]" in body and json.loads(body), body)
        api.repeats = False
        came = api.seen[-1].shown
        check(part, "the service is not shown the token", token["bot"] not in came, "the token came")
        counted = len(api.seen)
        for what, status in (
            ("another consumer's token", ask(token["other"])),
            ("a client's token", ask(client_token)),
            ("a token that is none", ask(token["bot"][:-3] + "abc")),
            ("no token", ask("")),
            ("a method that is not let through", ask(token["bot"], method="DELETE")),
            ("a path that is not let through", ask(token["bot"], "bot/acme/acme/shut")),
            ("a path that only looks let through", ask(token["bot"], "bot/acme/acme/open/../shut")),
            ("a service that it is not bound to", ask(token["bot"], "bot/github/user")),
        ):
            check(part, f"{what}: refused", 400 <= status < 500, status)
        time.sleep(max(0.0, (ends - datetime.now(UTC)).total_seconds() + 0.1))
        check(part, "a token that has expired: refused", ask(brief) == 401)
        check(part, "and of all these nothing came to the service", len(api.seen) == counted, [one.path for one in api.seen[counted:]])

        check(part, "a token of another person who may run it", ask(bobs) == 200)
        vault.unsaid("user", "disable", "bob")
        check(part, "until that person is disabled", ask(bobs) == 401)
        next_one = vault.token("bot", "rotate", "bot", "--overlap", "1h")
        check(part, "rotated with an overlap, both tokens open", (ask(token["bot"]), ask(next_one)) == (200, 200))
        [live] = [one["id"] for one in vault.json("token", "list")["tokens"] if one["label"] == "bot" and one["expires_at"] > soon()]
        last = vault.token("bot", "rotate", live, "--overlap", "0")
        opens = (ask(next_one), ask(last))
        check(part, "rotated without one, only the new token does", opens == (401, 200), opens)
        vault.unsaid("token", "revoke", "other")
        check(part, "a revoked token opens nothing at once", ask(token["other"], "other/acme/acme/open/x") == 401)
        vault.enter("ACME_KEY", secret(f"{part} rotated"), "--scope", "org")
        api.keys["acme"] = value_of(f"{part} rotated")
        check(part, "a rotated key is what the next request has", ask(last) == 200, api.turned_away())
        api.repeats = True
        opens = [ask(last) for _ in range(4)]
        check(part, "a key that the service repeats three times is not sent a fourth time", opens == [200, 200, 200, 403], opens)
        told = vault.person("broker", "lift", "ACME_KEY")
        api.repeats = False
        check(part, "until a person says so", "is sent to acme again" in told and ask(last) == 200, told)
        told = vault.unsaid("consumer", "rm", "bot", "--yes")
        check(part, "a consumer that is removed takes its tokens with it", ask(last) == 401, told)
    listed = vault.json("token", "list")["tokens"]
    check(part, "and none of its tokens is listed as live", not [one for one in listed if one.get("consumer") == "bot" and one["state"] == "live"], listed)
    leaks = vault.leaks()
    check(part, "no key and no token stands anywhere", not leaks, leaks)


# --- A service that is somewhere else for everybody ---

PLACED = """\
id = "placed"
name = "Placed"
category = "internal"
credential_types = ["custom", "basic"]
confidence = "high"
[[params]]
name = "placed_host"
label = "Host"
example = "api.placed.example"
default = "acme.service.example"
[broker]
base_url = "https://{placed_host}"
paths = ["/acme/**"]
[broker.auth]
in = "basic"
username = "{account}"
password = "{token}"
[rotation]
overlap_possible = true
recommended_interval_days = 30
steps = ["Make a second key, switch, delete the first."]
"""


class Proxy:
    """Connects whatever name it is asked for with one port of this machine, and tells what it was asked for."""

    def __init__(self, port: int):
        self.asked: list[str] = []
        proxy = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += self.request.recv(1)
                proxy.asked.append(head.split()[1].decode())
                self.request.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                with socket.create_connection(("127.0.0.1", port)) as there:
                    back = threading.Thread(target=passed_on, args=(there, self.request), daemon=True)
                    back.start()
                    passed_on(self.request, there)
                    back.join()

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"


def passed_on(here: socket.socket, there: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := here.recv(65536):
            there.sendall(data)
        there.shutdown(socket.SHUT_WR)


def places() -> None:
    part, lent = "places", Lent("places")
    vault, api = lent.vault, lent.api
    (Path(TEMPORARY.name) / "places-service" / "placed.toml").write_text(PLACED)
    proxy = Proxy(api.server.server_port)
    settings = vault.config.read_text()
    vault.config.write_text(settings.replace("[outbound]\n", f"[outbound]\nproxy = {json.dumps(proxy.address)}\n"))
    key = api.keys["acme"] = secret("placed key")
    fields = [word for field in ("SERVER:plain", "ACCOUNT:plain", "TOKEN") for word in ("--field", field)]

    def enter(server: str, *more: str) -> None:
        vault.person("set", "PLACED_KEY", *more, typed={"SERVER": server, "ACCOUNT": api.user, "TOKEN": key})

    enter("acme.service.example", "--type", "custom", *fields, "--service", "placed")
    vault.person("set", "PLACED_LOGIN", "--type", "basic", "--service", "placed", typed={"User name of": api.user, "Password of": key})
    for name, bound in (("bot", "PLACED_KEY"), ("robot", "PLACED_LOGIN")):
        vault.person("consumer", "add", name, "--kind", "agent", "--bind", f"{bound}=user_secret:{bound},delivery=header")
    token = {name: vault.token(name, "create", name, "--consumer", name) for name in ("bot", "robot")}
    with lent.broker() as at:
        for name, bound in (("bot", "PLACED_KEY"), ("robot", "PLACED_LOGIN")):
            before = api.let_in("acme")
            status, body = lent.asked(f"{at}{name}/placed/acme/x", token[name])
            check(part, f"{bound} signs in where it is", status == 200 and api.let_in("acme") == before + 1, (status, body))
            check(part, "by its name", proxy.asked and set(proxy.asked) == {"acme.service.example:443"}, proxy.asked)
            check(part, "and the pair that is repeated is masked", "[unsaid:" in body and not given_away(body), body)
        counted = len(api.seen)
        # The certificate is of another name.
        enter("else.service.example")
        status, body = lent.asked(at + "bot/placed/acme/x", token["bot"])
        check(part, "another place gets nothing without a certificate of its name", status == 502 and len(api.seen) == counted, (status, body))
        check(part, "though it was asked", proxy.asked[-1] == "else.service.example:443", proxy.asked)
        asked = len(proxy.asked)
        for server in ("127.0.0.1", "localhost", f"localhost:{api.server.server_port}", "a@acme.service.example", "acme.service.example/x"):
            enter(server)
            status, body = lent.asked(at + "bot/placed/acme/x", token["bot"])
            check(part, f"{server} is no place", status == 400 and "SERVER" in body, (status, body))
        check(part, "and nobody was asked", (len(api.seen), len(proxy.asked)) == (counted, asked), proxy.asked)
    hosts = {one["details"].get("host") for one in vault.json("log", "--operation", "use")["events"] if one["outcome"] == "ok" and "ended" not in one["details"]}
    check(part, "the log says where each use went", hosts == {"acme.service.example", "else.service.example"}, hosts)
    leaks = vault.leaks()
    check(part, "no key and no token stands anywhere", not leaks, leaks)


# --- The broker of one program ---

# Asks for what it was pointed at, tells how it went, and waits until its standard input closes.
LENT = """
import json, os, sys, urllib.error, urllib.request
def ask(path, token):
    request = urllib.request.Request(os.environ["ACME_BASE_URL"] + path, headers={"authorization": "Bearer " + token})
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as a:
            return [a.status, a.read().decode()]
    except urllib.error.HTTPError as e:
        return [e.code, e.read().decode()]
names = sorted(set(os.environ) - set(json.loads(sys.argv[1])))
told = {"names": names, "base": os.environ["ACME_BASE_URL"], "right": ask("/x", os.environ["ACME_KEY"]), "wrong": ask("/x", "none")}
open(sys.argv[2], "w").write(json.dumps({**told, "token": os.environ["ACME_KEY"]}))
"""


def lent_to_one() -> None:
    part, lent = "lent", Lent("lent")
    vault, api = lent.vault, lent.api
    vault.person("consumer", "add", "worker", "--kind", "workflow", "--bind", "ACME_KEY=org_secret:ACME_KEY,delivery=header")
    file = vault.folder / "told"
    names = json.dumps([*vault.env, "PWD", "_", "SHLVL"])
    done = vault.run("run", "--consumer", "worker", "--", sys.executable, "-c", LENT, names, str(file))
    if not file.exists():
        return check(part, "the program runs", False, done.stderr)
    told = json.loads(file.read_text())
    file.unlink()
    token = told.pop("token")
    expected = ["ACME_BASE_URL", "ACME_KEY", "BROKER_URL_ACME"]
    check(part, "the program gets the service's address and a token, and no more", told["names"] == expected, told["names"])
    check(part, "the address is the broker's", re.fullmatch(r"http://127\.0\.0\.1:\d+/b/worker/acme/acme", told["base"]), told["base"])
    check(part, "the token is not the key", token and not given_away(token) and token != lent.key)
    status, body = told["right"]
    check(part, "its request arrives with the key", status == 200 and api.let_in("acme") == 1, told)
    check(part, "and what the service repeats comes back with the name in its place", "[unsaid:ACME_KEY]" in body and json.loads(body), body)
    api.repeats = False
    check(part, "another token opens nothing", told["wrong"][0] == 401 and len(api.seen) == 1, told["wrong"])
    VALUES["token of a program"] = token
    try:
        after: object = lent.asked(told["base"] + "/x", token)
    except OSError as e:
        after = e
    check(part, "after the program has ended nobody listens there", isinstance(after, OSError), after)
    with lent.broker() as at:
        status, _ = lent.asked(at + "worker/acme/acme/x", token)
        check(part, "and at another broker its token opens nothing", status == 401 and len(api.seen) == 1, status)
    events = vault.json("log", "--operation", "use")["events"]
    [used] = [one for one in events if one["outcome"] == "ok" and "ended" not in one["details"]]
    identity, details = vault.json("consumer", "show", "worker")["id"], used["details"]
    told = (details.get("operation"), details.get("host"), used["consumer"], used["object"]["version"])
    check(part, "the use is on record: method and path template, host, consumer, version", told == ("GET /acme/x", "localhost", identity, 1), told)
    while_it_runs(part, lent)
    vault.person("consumer", "add", "worker", "--kind", "workflow", "--bind", "ACME_KEY=org_secret:ACME_KEY,delivery=header")
    vault.unsaid("rm", "ACME_KEY", "--yes")
    refused(part, vault, "the lent key is gone", "worker", "unresolved", "ACME_KEY", by=("run",))
    leaks = vault.leaks()
    check(part, "no key and no token stands anywhere", not leaks, leaks)


# Asks once for every line of standard input, and tells how it went.
ASKING = """
import os, sys, urllib.error, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
for _ in sys.stdin:
    request = urllib.request.Request(os.environ["ACME_BASE_URL"] + "/x", headers={"authorization": "Bearer " + os.environ["ACME_KEY"]})
    try:
        with opener.open(request, timeout=30) as answer:
            print(answer.status, flush=True)
    except urllib.error.HTTPError as e:
        print(e.code, flush=True)
"""


def while_it_runs(part: str, lent: Lent) -> None:
    """What is changed in the vault counts for the next request of a program that runs already."""
    vault, api = lent.vault, lent.api
    errors = open(vault.folder / "asking", "w")
    process = subprocess.Popen(
        [BINARY, "run", "--consumer", "worker", "--", sys.executable, "-c", ASKING], env=vault.env, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=errors, text=True,
    )

    def ask() -> int:
        process.stdin.write("again\n")
        process.stdin.flush()
        return int(process.stdout.readline())

    check(part, "a program that goes on asking is let in", ask() == 200)
    lent.key = vault.enter("ACME_KEY", secret("lent and rotated"), "--scope", "org")
    api.keys["acme"] = lent.key
    check(part, "a rotated key is in its next request", ask() == 200)
    vault.person("consumer", "bind", "worker", "ACME_KEY=org_secret:ACME_KEY,delivery=header,methods=POST")
    counted = len(api.seen)
    check(part, "a method that its binding has no more is refused", ask() == 403 and len(api.seen) == counted)
    vault.unsaid("consumer", "rm", "worker", "--yes")
    status = ask()
    check(part, "once the consumer is removed it opens nothing", 400 <= status < 500 and len(api.seen) == counted, status)
    process.stdin.close()
    check(part, "and the program ends as it would", process.wait(30) == 0)
    errors.close()


# --- The tools ---


def tools() -> None:
    asyncio.run(by_tools("tools", Lent("tools")))


async def by_tools(part: str, lent: Lent) -> None:
    import mcp_types as types

    vault, forms = lent.vault, []

    async def person(_context: object, params: types.ElicitRequestParams) -> types.ElicitResult:
        if isinstance(params, types.ElicitRequestURLParams):
            # A page to enter a value on; the person does it at the terminal.
            return types.ElicitResult(action="cancel")
        forms.append(params)
        return types.ElicitResult(action="accept", content={"confirm": True})

    async with client(vault, BINARY, ["serve"], {"UNSAID_HOME": vault.home}, person=person) as model:
        async def call(tool: str, **arguments: object) -> dict:
            result = await model.call_tool(tool, arguments)
            vault.said.append(result.model_dump_json())
            return json.loads(result.content[0].text)

        def approve(told: dict) -> None:
            vault.person("approve", told["approval_id"])

        binding = {"variable": "ACME_KEY", "source": "org_secret"}
        told = await call("register_consumer", name="agent", kind="agent", bindings=[binding], reason="a test")
        check(part, "register_consumer with a binding: a form's yes is not enough", told.get("code") == "approval_required", told)
        check(part, "and no form is asked", not forms, forms)
        check(part, "nothing is registered yet", not (await call("list_consumers"))["consumers"])
        again = await call("register_consumer", name="agent", kind="agent", bindings=[binding], reason="a test")
        check(part, "asking again is no yes", again.get("approval_id") == told["approval_id"], again)
        # By a person without a terminal it is none either.
        done = vault.run("approve", told["approval_id"])
        check(part, "approve takes a terminal", done.returncode != 0 and not (await call("list_consumers"))["consumers"], done.stderr)
        await asyncio.to_thread(approve, told)
        shown = await call("get_consumer", consumer="agent")
        check(part, "a person's yes at a terminal registers and binds it", shown["ready"] and shown["checks"][0]["state"] == "ready", shown)
        fits, differs = await asyncio.to_thread(is_given, vault, "agent", {"ACME_KEY": lent.key})
        check(part, "and it gets what it is bound to", fits, differs)

        await call("create_credential", name="EMPTY_KEY")
        told = await call("register_consumer", name="waiting", bindings=[{"variable": "EMPTY_KEY"}], reason="a test")
        await asyncio.to_thread(approve, told)
        shown = await call("get_consumer", consumer="waiting")
        check(part, "a credential that was made without a value is told as that", [one["state"] for one in shown["checks"]] == ["value_missing"], shown)
        entered = secret("entered later")
        await asyncio.to_thread(vault.person, "consumer", "set", "waiting", typed={"EMPTY_KEY (": entered})
        fits, differs = await asyncio.to_thread(is_given, vault, "waiting", {"EMPTY_KEY": entered})
        check(part, "and a person's value goes into it", fits, differs)
        listed = (await call("list_credentials", text="EMPTY_KEY"))["credentials"]
        check(part, "not into another beside it", [one["scope"] for one in listed] == ["personal"], listed)
        told = await call("update_consumer", consumer="agent", set_bindings=[{"variable": "OTHER", "credential": "ACME_KEY"}], reason="a test")
        check(part, "update_consumer with a binding waits for a person", told.get("code") == "approval_required", told)
        vault.unsaid("approve", told["approval_id"], "--decline")
        fits, differs = await asyncio.to_thread(is_given, vault, "agent", {"ACME_KEY": lent.key})
        check(part, "whose no leaves it as it is", fits, differs)
        told = await call("update_consumer", consumer="agent", command=["sh", "-c", "env"], reason="a test")
        check(part, "another command waits for a person", told.get("code") == "approval_required", told)
        told = await call("update_consumer", consumer="agent", description="of a test")
        check(part, "a description does not", told.get("consumer", {}).get("description") == "of a test", told)
        pasted = "gh" + "p_" + "Ab1" * 12
        VALUES["pasted"] = pasted
        told = await call("register_consumer", name="pasted", bindings=[{"variable": "A_KEY", "text": pasted}], reason="a test")
        check(part, "a secret as plain text is refused, and not repeated", told.get("code") == "secret_in_argument" and pasted not in json.dumps(told), told)
        VALUES.pop("pasted")
        told = await call("register_consumer", name="loader", bindings=[{"variable": "LD_PRELOAD", "credential": "ACME_KEY"}], reason="a test")
        check(part, "a variable that changes how programs run is refused", told.get("code") == "reserved_name", told)
        await paging(part, call)
        await usage(part, lent, call)
        token = await asyncio.to_thread(vault.token, "agent", "create", "agent", "--consumer", "agent")
        told = await call("remove_consumer", consumer="agent", reason="the test is over")
        check(part, "remove_consumer asks by a form, and ends its tokens", len(forms) == 1 and told.get("tokens") == 1, (told, len(forms)))
        told = await call("get_consumer", consumer="agent")
        check(part, "it is gone", told.get("code") == "consumer_not_found", told)
    refused(part, vault, "and is not started any more", "agent", "consumer_not_found")
    with lent.broker() as at:
        check(part, "and its token opens nothing", lent.asked(at + "agent/acme/acme/x", token)[0] == 401)
    leaks = vault.leaks()
    check(part, "no key stands anywhere", not leaks, leaks)


async def paging(part: str, call) -> None:
    names = {f"many-{n:03}" for n in range(118)} | {"agent", "waiting"}
    for name in sorted(names - {"agent", "waiting"}):
        await call("register_consumer", name=name, kind="integration", description="one of many " + "x" * 60)
    seen: list[str] = []
    pages, largest, cursor = 0, 0, {}
    while True:
        page = await call("list_consumers", **cursor)
        seen += [one["name"] for one in page["consumers"]]
        pages, largest = pages + 1, max(largest, len(json.dumps(page)))
        if "next_cursor" not in page or pages > 200:
            break
        cursor = {"cursor": page["next_cursor"]}
    check(part, f"list_consumers: 120 of them, each once, on {pages} pages", sorted(seen) == sorted(names), (len(seen), len(set(seen))))
    check(part, f"the largest page is {largest} bytes", largest < 24_000 and pages > 2)
    told = await call("list_consumers", kind="agent")
    check(part, "a filter goes through all pages", [one["name"] for one in told["consumers"]] == ["agent"], told)
    told = await call("list_consumers", cursor="nonsense")
    check(part, "a cursor that is none is refused", told.get("code") == "invalid_input", told)


async def usage(part: str, lent: Lent, call) -> None:
    vault = lent.vault
    await asyncio.to_thread(vault.person, "consumer", "add", "second", "--bind", "ACME_KEY=org_secret:ACME_KEY,delivery=header")
    token = await asyncio.to_thread(vault.token, "second", "create", "second", "--consumer", "second")

    def ask() -> None:
        lent.api.repeats = False
        with lent.broker() as at:
            for _ in range(3):
                lent.asked(at + "second/acme/acme/x", token)
            right, lent.api.keys["acme"] = lent.api.keys["acme"], "another"
            # The service refuses it now: that is told as a failure of the use.
            lent.asked(at + "second/acme/acme/x", token)
            lent.api.keys["acme"] = right

    await asyncio.to_thread(ask)
    told = await call("get_usage", credential="ACME_KEY")
    by = {one.get("consumer", ""): one for one in told["by_user"]}
    counted = {name: (one["uses"], one["failures"]) for name, one in by.items()}
    check(part, "get_usage names the consumers", set(by) == {"agent", "second"}, told)
    check(part, "with their uses and failures", counted == {"agent": (2, 0), "second": (4, 1)}, counted)
    check(part, "first and last", all(one["first_at"] <= one["last_at"] for one in by.values())
          and told["first_at"] == by["agent"]["first_at"] and told["last_at"] >= by["second"]["first_at"], told)
    days = [(day["uses"], day["failures"]) for day in told["by_day"]]
    check(part, "and by day", sum(uses for uses, _ in days) == 6 and sum(failed for _, failed in days) == 1, days)
    check(part, "in all", (told["uses"], told["failures"]) == (6, 1), told)


PARTS = {
    "servers": three_servers, "undo": undone, "repeating": repeating, "remote": remote, "starting": starting, "oauth": connected,
    "tokens": tokens, "places": places, "lent": lent_to_one, "tools": tools,
}


if __name__ == "__main__":
    print("ok   alone     there is no network but loopback" if alone() else "NOT DONE  a network without anything but loopback", flush=True)
    for name, one_part in PARTS.items():
        if not GIVEN.only or name in GIVEN.only.split(","):
            try:
                one_part()
            except Exception as e:  # A part that breaks off is a failure, and the others run all the same.
                print(scrubbed("".join(traceback.format_exception(e))), file=sys.stderr)
                check(name, "ran to its end", False, e)
    TEMPORARY.cleanup()
    sys.exit(bool(failures))
