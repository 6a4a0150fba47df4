"""The conversations that our prompts lead, held by the official client with an org as there are many.

conversing.py BINARY --seeded PROGRAM [--only audit,scope,rotation]

PROGRAM is examples/seeded_org: it makes 200 people, 30 teams, 3,000 credentials and 500 consumers. What the person asks is
a step: it may take three calls at most, and no answer may be larger than 24 kB. What goes wrong is a part of each
conversation: a request that cannot be, a value that does not work, a crash, a service that is gone. A line is printed for
each check; the status is 1 if one failed. Everything is on loopback.
"""

import argparse
import asyncio
import contextlib
import hashlib
import http.server
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path

HERE = Path(__file__).resolve().parent
for folder in ("providers", "support"):
    sys.path.insert(0, str(HERE.parent / folder))
sys.dont_write_bytecode = True

import certificate  # noqa: E402
from vault import TEMPORARY, Vault, given_away, scrubbed, secret  # noqa: E402

options = argparse.ArgumentParser()
options.add_argument("binary")
options.add_argument("--seeded", required=True)
options.add_argument("--only")
GIVEN = options.parse_args()
BINARY = os.path.abspath(GIVEN.binary)
ROOT = Path(TEMPORARY.name)
MOST_CALLS, MOST_BYTES = 3, 24_000

failures = 0


def check(part: str, what: str, holds: object, told: object = "") -> None:
    global failures
    failures += not holds
    print(f"{'ok  ' if holds else 'FAIL'} {part:9} {what}" + ("" if holds else f": {scrubbed(told)[:1500]}"), flush=True)


class Seeded(Vault):
    """The seeded org, as its admin; what a vault of a test can do, it can."""

    def __init__(self, settings: str):
        self.binary = BINARY
        done = subprocess.run([os.path.abspath(GIVEN.seeded)], env={**os.environ, "TMPDIR": str(ROOT)}, capture_output=True, text=True, timeout=300)
        if done.returncode:
            raise RuntimeError(done.stderr)
        self.facts = json.loads(done.stdout)
        self.home = self.facts["home"]
        self.folder = Path(self.home).parent
        self.env = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LC_ALL": "C.UTF-8", "UNSAID_HOME": self.home, "UNSAID_LOG": "debug"}
        self.said: list[str] = []
        [self.config] = Path(self.home).rglob("unsaid.toml")
        with open(self.config, "a") as config:
            config.write(settings)


class Step:
    """What the person asked for, and the calls that it took."""

    def __init__(self, chat: "Chat", what: str):
        self.chat, self.what, self.calls = chat, what, 0

    async def call(self, tool: str, **arguments: object) -> dict:
        """What a call answers; of a failure, its code, message and next step."""
        self.calls += 1
        result = await self.chat.client.call_tool(tool, arguments)
        text = "".join(part.text for part in result.content)
        if "too_many_requests" in text:
            # People do not go on this fast: a service is asked six times a minute.
            await asyncio.sleep(61)
            result = await self.chat.client.call_tool(tool, arguments)
            text = "".join(part.text for part in result.content)
        self.chat.heard.append(text)
        if len(text.encode()) >= MOST_BYTES:
            check(self.chat.part, f"{self.what}: {tool} answers within {MOST_BYTES} bytes", False, len(text))
        answer = json.loads(text) if text.startswith("{") else {"text": text}
        answer["is_error"] = bool(result.is_error)
        return answer

    async def refused(self, tool: str, **arguments: object) -> dict:
        answer = await self.call(tool, **arguments)
        check(self.chat.part, f"{self.what}: {tool} is refused with a code and what to do",
              answer["is_error"] and answer.get("code") and answer.get("next"), answer)
        return answer


class Chat:
    """One chat of one person: a client, and the program that it started."""

    def __init__(self, part: str, vault: Seeded):
        self.part, self.vault, self.heard, self.pid = part, vault, [], 0

    @contextlib.asynccontextmanager
    async def open(self, *args: str):
        from mcp import Client, StdioServerParameters
        from mcp.client.stdio import stdio_client

        noted = self.vault.folder / "pid"
        start = ["-c", 'echo $$ > "$0"; exec "$@"', str(noted), BINARY, "serve", *args]
        with open(self.vault.folder / "serve.log", "a") as log:
            server = StdioServerParameters(command="/bin/sh", args=start, env=self.vault.env)
            async with Client(stdio_client(server, errlog=log)) as client:
                self.client = client
                await client.call_tool("whoami", {})
                self.pid = int(noted.read_text())
                yield self

    @contextlib.asynccontextmanager
    async def step(self, what: str):
        step = Step(self, what)
        yield step
        check(self.part, f"{what}: {step.calls} call{'s' * (step.calls != 1)}", step.calls <= MOST_CALLS)

    async def prompt(self, name: str, **arguments: str) -> str:
        """The prompt's text. Every tool that it names exists."""
        told = await self.client.get_prompt(name, arguments)
        text = told.messages[0].content.text
        tools = {tool.name for tool in (await self.client.list_tools()).tools}
        named = {word for word in re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", text) if re.search(rf"\b(?:call|is|with|then|or) {word}\b", text, re.I)}
        unknown = {word for word in named if word not in tools} - {"next_cursor", "by_severity", "by_kind", "owner_gone", "used_by", "last_uses"}
        check(self.part, f"the prompt {name} names tools that there are", not unknown, unknown)
        return text


def days(n: int) -> str:
    return (datetime.now(UTC) + timedelta(days=n)).strftime("%Y-%m-%d")


# --- What do we have, what is wrong with it, and mend it ---


async def audit(v: Seeded) -> None:
    part = "audit"
    chat = Chat(part, v)
    async with chat.open() as talk:
        async with talk.step("what do we have?") as step:
            me = await step.call("whoami")
            listed = await step.call("list_credentials", limit=20, count=True)
            check(part, "everything that the admin may know is counted", me["credentials"]["total"] > 2000 and me["role"] == "admin", me["credentials"])
            check(part, "and shown in pages", len(listed["credentials"]) == 20 and listed["next_cursor"], list(listed))

        await talk.prompt("audit_credentials")
        async with talk.step("what is wrong?") as step:
            report = await step.call("audit_credentials")
            rows = {kind: report["by_kind"].get(kind) for kind in ("duplicate_value", "live_key_outside_production", "weak_password", "failing_consumer", "missing_credential", "scope_too_narrow", "expired")}
            check(part, "what was planted is found, no more and no less of it",
                  rows == {"duplicate_value": 1, "live_key_outside_production": 1, "weak_password": 2, "failing_consumer": 3, "missing_credential": 6, "scope_too_narrow": 1, "expired": 4}, report["by_kind"])
            check(part, "the worst comes first", report["findings"][0]["severity"] == "high" and sum(report["by_severity"].values()) == report["total"], report["by_severity"])
            again = await step.call("audit_credentials")
            check(part, "and the same is said when it is asked again", again["findings"] == report["findings"])

        double = next(one for one in report["findings"] if one["kind"] == "duplicate_value")
        old = next(one["id"] for one in double["about"] if one["name"] == "STRIPE_OLD_KEY")
        async with talk.step("the same key is in three places: what about the old one?") as step:
            usage = await step.call("get_usage", credential=old)
            check(part, "nobody uses it", not usage["is_error"] and not usage.get("last_used_at"), usage)
            await step.refused("delete_credential", credential=old)

        async with talk.step("one expired: replace it") as step:
            expired = next(one for one in report["findings"] if one["kind"] == "expired")
            entry = await step.call("set_credential_value", credential=expired["about"][0]["id"])
            check(part, "a person gets a link to enter it", "/e/" in json.dumps(entry), entry)
            await step.refused("set_credential_value", credential=expired["about"][0]["id"], value=secret("pasted into the chat"))

        async with talk.step("say what this one is for") as step:
            [vague, *_] = (await step.call("audit_credentials", kind="vague_description"))["findings"]
            check(part, "a vague one is found by its kind", vague["kind"] == "vague_description", vague)

        async with talk.step("leave the reports a minute and ask something wrong") as step:
            await step.refused("audit_credentials", kind="everything")
            await step.refused("audit_credentials", cursor="somewhere")
            await step.refused("audit_credentials", credential="NOT_THERE")

        live = next(one for one in report["findings"] if one["kind"] == "live_key_outside_production")
        v.unsaid("audit", "accept", live["id"], "--reason", "the checkout team tests with it until the sandbox is there", "--until", days(20))
        v.unsaid("rm", old, "--yes", "--as", "user004")
        async with talk.step("what has changed?") as step:
            after = await step.call("audit_credentials")
            check(part, "what was mended is gone, what came of it is new, and what was accepted is not told",
                  after["gone"] >= 2 and after["new"] == 2 and after["accepted"] == 1 and "live_key_outside_production" not in after["by_kind"],
                  {k: after.get(k) for k in ("gone", "new", "accepted", "by_kind")})
            two = next((one for one in after["findings"] if one["kind"] == "duplicate_value"), {})
            check(part, "two places with the same key are left, under a name of their own", len(two.get("about", [])) == 2 and two["id"] != double["id"], two)

    async with Chat(part, v).open("--as", "user000") as talk:
        async with talk.step("and what may somebody of one team know?") as step:
            mine = await step.call("audit_credentials")
            teams = {about.get("owner") for one in mine["findings"] for about in one["about"] if about.get("scope") == "team"}
            check(part, "a lead hears of their own team alone", teams <= {"billing", None} and mine["total"] < report["total"], teams)
            await step.refused("audit_credentials", team="infra")
        chat.heard += talk.heard
    check(part, "no value is in any answer", not given_away("\n".join(chat.heard)))


# --- Who should have it ---


async def scope(v: Seeded) -> None:
    part = "scope"
    chat = Chat(part, v)
    async with chat.open() as talk:
        async with talk.step("who should have OPENAI_API_KEY?") as step:
            doubt = await step.refused("get_credential", credential="OPENAI_API_KEY")
            check(part, "six of the name: it asks which", doubt["code"] == "ambiguous_name", doubt)
            told = await step.call("recommend_scope", name="OPENAI_API_KEY", purpose="summaries of tickets, in several teams")
            check(part, "several teams keep their own: the org's, with reasons and what the others cost",
                  told.get("scope") == "org" and len(told["reasons"]) > 3 and len(told["trade_offs"]) == 3 and len(told["existing"]) == 6, told)

        async with talk.step("then make one of the org") as step:
            made = await step.call("create_credential", name="OPENAI_API_KEY", scope="org", service="openai", description="Summaries of support tickets, one key for all teams")
            check(part, "it is made, without a value", not made["is_error"] and made.get("id"), made)
        v.enter("OPENAI_API_KEY", secret("one key for all"), "--scope", "org")
        async with talk.step("which one does the search team get now?") as step:
            which = await step.call("explain_resolution", name="OPENAI_API_KEY")
            check(part, "the rule that decides is told", not which["is_error"], which)

        wide = (await talk.client.call_tool("audit_credentials", {"kind": "scope_too_wide"})).structured_content["findings"][0]
        name, id = wide["about"][0]["name"], wide["about"][0]["id"]
        await talk.prompt("recommend_scope", credential=id)
        async with talk.step("one person alone uses it: narrow it") as step:
            told = await step.call("recommend_scope", name=name, purpose="a job of one person")
            check(part, "a narrower place is recommended", told.get("scope") in ("personal", "team"), told)

        async with talk.step("give another team the use of it") as step:
            asked = await step.call("share_credential", credential=id, team="infra", level="manage", reason="they are on call")
            approval = asked.get("approval", {}).get("id") or re.search(r"unsaid approve (\w+)", json.dumps(asked))[1]
            check(part, "a person is asked first", "approve" in json.dumps(asked), asked)
            again = await step.call("share_credential", credential=id, team="infra", level="manage", reason="they are on call")
            check(part, "asking again opens nothing new", approval in json.dumps(again), again)
        v.person("approve", approval, "--decline")
        async with talk.step("they said no") as step:
            me = await step.call("whoami")
            check(part, "the no is known", "declined" in json.dumps(me["approvals"]), me["approvals"])
            seen = await step.call("get_credential", credential=id)
            check(part, "and nobody else has it", "infra" not in json.dumps(seen.get("grants", [])), seen)
        async with talk.step("ask once more, for they meant the other team") as step:
            asked = await step.call("share_credential", credential=id, team="search", level="manage", reason="they are on call")
            approval = asked.get("approval", {}).get("id") or re.search(r"unsaid approve (\w+)", json.dumps(asked))[1]
        v.person("approve", approval)
        async with talk.step("who has it now?") as step:
            seen = await step.call("get_credential", credential=id)
            check(part, "the other team has it", "search" in json.dumps(seen), seen)
            await step.refused("share_credential", credential=id, team="nobody-knows", level="use", reason="by mistake")
            await step.refused("recommend_scope", purpose="of what?")
    check(part, "no value is in any answer", not given_away("\n".join(chat.heard)))



# --- Replace it without an outage ---


class Ledger(http.server.ThreadingHTTPServer):
    """A service of our own that knows some keys."""

    allow_reuse_address = True

    def __init__(self, tls: certificate.Certificate, port: int = 0, keys: set[str] | None = None):
        super().__init__(("127.0.0.1", port), Asked)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls.certificate, tls.key)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.tls, self.port, self.keys = tls, self.server_address[1], keys or set()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def die(self) -> None:
        self.shutdown()
        self.server_close()

    def again(self) -> "Ledger":
        return Ledger(self.tls, self.port, self.keys)


class Asked(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        is_known = self.headers.get("Authorization", "").removeprefix("Bearer ") in self.server.keys
        body = json.dumps({"me": "ledger@example.com"} if is_known else {"error": "no such key"}).encode()
        self.send_response(200 if is_known else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


MANIFEST = """
id = "ledger"
name = "Ledger"
category = "internal"
credential_types = ["api_key"]
confidence = "high"
[verify]
method = "GET"
url = "https://localhost:{port}/me"
ok_status = [200]
invalid_status = [401]
account_id_path = "/me"
auth = {{ in = "header", name = "Authorization", format = "Bearer {{token}}" }}
[rotation]
overlap_possible = true
recommended_interval_days = 30
steps = ["Make a second key, switch, delete the first."]
"""
NAME = "LEDGER_API_KEY"
# The SHA-256 of the value: a value would be masked.
TELL = f"import hashlib,os,sys;sys.stdout.write(hashlib.sha256(os.environ['{NAME}'].encode()).hexdigest())"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def handed(v: Seeded, consumer: str) -> str:
    return v.unsaid("run", "--consumer", consumer, "--", sys.executable, "-c", TELL)


async def rotation(v: Seeded) -> None:
    part, service = "rotation", v.service
    old, wrong, new = secret("the old key"), secret("a key that does not work"), secret("the new key")
    service.keys = {old, new}
    v.enter(NAME, old)
    v.unsaid("edit", NAME, "--service", "ledger")
    heard: list[str] = []
    async with Chat(part, v).open() as talk:
        await talk.prompt("rotate_credential", credential=NAME)
        async with talk.step("what will it take, and who will notice?") as step:
            guide = await step.call("get_rotation_guide", credential=NAME)
            check(part, "the guide names who has it, and the tool that leads through it",
                  "bookkeeper" in json.dumps(guide["credential"]["used_by"]) and "start_rotation" in json.dumps(guide["steps"]), guide)
            works = await step.call("test_credential", credential=NAME)
            check(part, "the one in use works", works.get("verdict") == "valid", works)

        async with talk.step("begin") as step:
            begun = await step.call("start_rotation", credential=NAME, reason="due")
            check(part, "it waits for the new one, and a person gets a link",
                  begun["rotation"]["stage"] == "awaiting_value" and "/e/" in json.dumps(begun), begun)
            twice = await step.refused("start_rotation", credential=NAME)
            check(part, "there is one rotation of it", twice["code"] == "rotation_open", twice)
            await step.refused("advance_rotation", rotation=NAME, step="close", reason="be done with it")

        v.enter(NAME, wrong)
        async with talk.step("I entered it") as step:
            told = await step.call("advance_rotation", rotation=NAME)
            check(part, "one that the service refuses goes no further, and that is said", "refused" in json.dumps(told), told)
            await step.refused("advance_rotation", rotation=NAME, step="promote")
        check(part, "the old one is served meanwhile", handed(v, "bookkeeper") == digest(old))

        v.enter(NAME, new)
        async with talk.step("I entered another") as step:
            told = await step.call("advance_rotation", rotation=NAME)
            check(part, "it is tested at the service, as the same account", told["rotation"]["stage"] == "verified", told)
        os.kill(talk.pid, signal.SIGKILL)
        heard += talk.heard
        with contextlib.suppress(Exception):
            await asyncio.wait_for(talk.client.call_tool("whoami", {}), 5)

    async with Chat(part, v).open() as talk:
        async with talk.step("the program was killed; I am back in a new chat") as step:
            all_open = await step.call("list_rotations")
            [row] = [row for row in all_open["rotations"] if NAME in row["credential"]]
            check(part, "it stands where it stood", row["stage"] == "verified", row)
            told = await step.call("advance_rotation", rotation=row["id"])
            check(part, "and goes on: the new one is served", told["rotation"]["stage"] == "promoted", told)
        check(part, "whatever starts now gets the new one", handed(v, "bookkeeper") == digest(new))

        async with talk.step("are we done?") as step:
            await step.refused("advance_rotation", rotation=NAME)
            now = await step.call("get_rotation", rotation=NAME)
            states = {one["consumer"]: one["state"] for one in now["consumers"]}
            check(part, "not while one of two does not have it", states.get("auditor") == "waiting", now["consumers"])
        handed(v, "auditor")
        v.unsaid("report", "ok", "--consumer", "bookkeeper")
        v.unsaid("report", "ok", "--consumer", "auditor")
        async with talk.step("both have it now") as step:
            told = await step.call("advance_rotation", rotation=NAME)
            check(part, "both said that it works: confirmed", told["rotation"]["stage"] == "confirmed", told)

        service.die()
        async with talk.step("end the old one") as step:
            told = await step.call("advance_rotation", rotation=NAME)
            check(part, "the service is gone: whether the old one is dead could not be checked, and nothing is destroyed",
                  told.get("rotation", {}).get("stage", "confirmed") == "confirmed" and "could not" in json.dumps(told), told)
        service = v.service = service.again()
        async with talk.step("the service is back, and I have not deleted it yet") as step:
            told = await step.call("advance_rotation", rotation=NAME)
            check(part, "the old one still works: it has to be ended there", "still" in json.dumps(told), told)
        service.keys = {new}
        async with talk.step("now I have") as step:
            told = await step.call("advance_rotation", rotation=NAME)
            check(part, "the old one is dead", told.get("rotation", {}).get("stage") == "old_revoked", told)
            told = await step.call("advance_rotation", rotation=NAME)
            check(part, "and destroyed", told["rotation"]["stage"] == "closed", told)
            await step.refused("abort_rotation", rotation=told["rotation"]["id"], reason="I have changed my mind")

        third = secret("a third key")
        service.keys = {new, third}
        async with talk.step("once more, for practice") as step:
            await step.call("start_rotation", credential=NAME, reason="practice")
        v.enter(NAME, third)
        async with talk.step("no, leave it") as step:
            told = await step.call("abort_rotation", rotation=NAME, reason="not today")
            check(part, "given up", told["rotation"]["stage"] == "aborted", told)
        check(part, "the one in use is served still", handed(v, "bookkeeper") == digest(new))

        fourth = secret("a fourth key")
        service.keys = {new, fourth}
        async with talk.step("now in earnest") as step:
            await step.call("start_rotation", credential=NAME, reason="in earnest")
        v.enter(NAME, fourth)
        async with talk.step("it is entered: switch") as step:
            await step.call("advance_rotation", rotation=NAME)
            told = await step.call("advance_rotation", rotation=NAME)
            check(part, "promoted", told["rotation"]["stage"] == "promoted", told)
        check(part, "the new one is served", handed(v, "bookkeeper") == digest(fourth))
        v.unsaid("report", "failed", "--consumer", "bookkeeper", "--reason", "login refused")
        check(part, "a consumer that says it fails has the old one back at once", handed(v, "bookkeeper") == digest(new))
        async with talk.step("what happened?") as step:
            told = await step.call("list_rotations", open=False)
            check(part, "it is told that it went back", "rolled_back" in json.dumps(told), told)
        heard += talk.heard
    check(part, "no value is in any answer", not given_away("\n".join(heard)))
    check(part, "no value is in what was printed, logged or kept", not v.leaks(), v.leaks())


PARTS = {"audit": audit, "scope": scope, "rotation": rotation}


def vault(name: str) -> Seeded:
    if name != "rotation":
        return Seeded("")
    tls = certificate.make(ROOT / "tls")
    service = Ledger(tls)
    folder = ROOT / "services"
    folder.mkdir()
    (folder / "ledger.toml").write_text(MANIFEST.format(port=service.port))
    v = Seeded(f'\n[catalogue]\nfolder = "{folder}"\n[outbound]\nallow = ["localhost:{service.port}"]\nca_file = "{tls.ca}"\n')
    v.service = service
    return v


def main() -> None:
    chosen = GIVEN.only.split(",") if GIVEN.only else list(PARTS)
    for name in chosen:
        try:
            asyncio.run(asyncio.wait_for(PARTS[name](vault(name)), 300))
        except Exception as error:
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            check(name, "runs to its end", False, "".join(traceback.format_exception(error))[-1500:])
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
