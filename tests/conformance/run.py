"""The official conformance suite of the protocol against our HTTP door, in both eras.

run.py NODE SUITE EXAMPLE BINARY

NODE runs SUITE, which is the suite's dist/index.js. It meets EXAMPLE first, examples/conformance_server.rs, which has the
fixtures that the suite asks for: every required scenario must pass. Then it meets BINARY, the program as it ships, behind
a proxy that adds its token: there, exactly the checks of baseline-*.yml fail. A line is printed for each set of scenarios;
the status is 1 if one failed.

Catalogue: M-01, M-02, M-03.
"""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
from contextlib import contextmanager
from pathlib import Path

NODE, SUITE, EXAMPLE, BINARY = (os.path.abspath(path) for path in sys.argv[1:5])
HERE = Path(__file__).parent
REVISIONS = ["2025-11-25", "2026-07-28"]
PATIENCE = 60
HOSTS = ("127.0.0.1", "localhost")
# The suite's folder for one scenario: its name, and when it ran.
RESULTS = re.compile(r"server-(.+)-\d{4}-\d\d-\d\dT")
LISTENING = re.compile(r"listening on http://127\.0\.0\.1:(\d+)[:/]")


@contextmanager
def listening(command: list[str], env: dict[str, str], log: Path):
    """Starts a server and stops it in the end; it yields the port, which the server says once it is ready."""
    with log.open("wb") as said:
        server = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
    try:
        yield port_of(server, log)
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            server.kill()
            raise


def port_of(server: subprocess.Popen, log: Path) -> int:
    for _ in range(PATIENCE * 20):
        if said := LISTENING.search(log.read_text()):
            return int(said[1])
        try:
            server.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        break
    raise SystemExit(f"{server.args[0]} does not listen: {log.read_text()[-2000:]}")


class Proxy:
    """Hands requests on with a token, and answers as they come, byte by byte.

    Its own names become those of the server. Foreign ones stay as they are: the server is to refuse them.
    """

    def __init__(self, port: int, token: str):
        self.server_port, self.token, self.port = port, token, 0

    async def __aenter__(self) -> "Proxy":
        self.listener = await asyncio.start_server(self.serve, HOSTS[0], 0)
        self.port = self.listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.listener.close()

    def head(self, head: bytes) -> bytes:
        request, *headers = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        kept = [request]
        for header in headers:
            name, _, value = header.partition(":")
            name, value = name.lower(), value.strip()
            if name in ("connection", "authorization"):
                continue
            for host in HOSTS:
                ours, theirs = f"{host}:{self.port}", f"{host}:{self.server_port}"
                if name == "host" and value == ours:
                    value = theirs
                elif name == "origin" and value == "http://" + ours:
                    value = "http://" + theirs
            kept.append(f"{name}: {value}")
        # A connection for each request, so that all that follows its head belongs to it.
        kept += ["connection: close", f"authorization: Bearer {self.token}"]
        return ("\r\n".join(kept) + "\r\n\r\n").encode("latin-1")

    async def serve(self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        server_out = None
        try:
            head = await client_in.readuntil(b"\r\n\r\n")
            server_in, server_out = await asyncio.open_connection(HOSTS[0], self.server_port)
            server_out.write(self.head(head))
            # Either side's end is the end: a client that leaves a stream is gone for the server too.
            ends = [asyncio.ensure_future(hand_on(client_in, server_out)), asyncio.ensure_future(hand_on(server_in, client_out))]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for end in ends:
                end.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
        except (asyncio.IncompleteReadError, OSError):
            # A connection that nobody used, or that broke: the client sees it end.
            pass
        finally:
            client_out.close()
            if server_out:
                server_out.close()


async def hand_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        sink.write(data)
        await sink.drain()


def required(revision: str) -> set[str]:
    """The scenarios that the suite requires of a server, from its own list."""
    text = (Path(SUITE).parent.parent / "requirements" / f"{revision}.yaml").read_text()
    section = re.search(r"^server:\n((?:[ #].*\n|\n)+)", text, re.M)
    return set(re.findall(r"^ +- (\S+)", section[1], re.M)) if section else set()


class Met:
    """One run of the suite: how it ended, what it said, and its checks by scenario."""

    def __init__(self, revision: str, status: int, said: str, results: Path):
        self.status, self.required = status, required(revision)
        self.verdict = re.sub(r"\x1b\[\d*m", "", said).rpartition("=== SUMMARY ===")[2].strip() or said[-2000:]
        self.checks = {RESULTS.match(path.parent.name)[1]: json.loads(path.read_text()) for path in results.glob("*/checks.json")}

    def count(self, status: str) -> int:
        return sum(check["status"] == status for name in self.required & self.checks.keys() for check in self.checks[name])

    def passes(self, name: str) -> bool:
        """Whether nothing failed, and of a required scenario something passed."""
        statuses = {check["status"] for check in self.checks[name]}
        return "FAILURE" not in statuses and ("SUCCESS" in statuses or name not in self.required)

    def passed(self) -> set[str]:
        return {name for name in self.checks if self.passes(name)}


async def meet(port: int, revision: str, *options: str) -> Met:
    with tempfile.TemporaryDirectory() as folder:
        suite = await asyncio.create_subprocess_exec(
            NODE, SUITE, "server", "--url", f"http://{HOSTS[0]}:{port}/mcp", "--requirements", revision, "-o", folder, *options,
            cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )
        try:
            said, _ = await asyncio.wait_for(suite.communicate(), 5 * PATIENCE)
        except asyncio.TimeoutError:
            suite.kill()
            raise
        return Met(revision, suite.returncode, said.decode(errors="replace"), Path(folder))


def tell(holds: bool, what: str, details: str) -> bool:
    print(("ok   " if holds else "FAIL ") + what, flush=True)
    if not holds:
        print(textwrap.indent(details, "     "), flush=True)
    return holds


async def fixtures(port: int, revision: str) -> bool:
    met = await meet(port, revision)
    passed, failing = met.passed(), {name for name in met.checks if not met.passes(name)}
    # Those that nobody is required to pass are held to it too, but for the extension of tasks, which we do not have.
    extensions = {name for name in failing - met.required if name.startswith("tasks-")}
    wrong = (met.required - passed) | (failing - extensions)
    details = [
        f"{name}: {check['id']}: {check['status']}: {check.get('errorMessage')}"
        for name in sorted(wrong & failing) for check in met.checks[name] if check["status"] != "SUCCESS"
    ] + [f"{name}: did not run" for name in sorted(wrong - failing)]
    return tell(
        met.status == 0 and bool(met.required) and not wrong,
        f"fixtures {revision}: {len(met.required & passed)} of {len(met.required)} required scenarios pass, "
        f"with {met.count('SUCCESS')} checks" + (f"; {len(extensions)} of tasks, which we do not have, fail" if extensions else ""),
        "\n".join(details) if met.checks and details else met.verdict,
    )


async def program(port: int, revision: str) -> bool:
    baseline = HERE / f"baseline-{revision}.yml"
    met = await meet(port, revision, "--expected-failures", str(baseline))
    holds = met.status == 0 and bool(met.required) and met.required <= met.checks.keys()
    return tell(
        holds,
        f"program  {revision}: {len(met.required & met.passed())} of {len(met.required)} required scenarios pass, "
        f"with {met.count('SUCCESS')} checks; {met.count('FAILURE') + met.count('WARNING')} checks fail, "
        f"{'as' if holds else 'not as'} {baseline.name} says",
        # After the failures that it expects, the suite lists those that it does not, and what passes and should not.
        met.verdict.rpartition("  ~ ")[2].partition("\n")[2].strip() or met.verdict,
    )


async def main() -> int:
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        env = {**os.environ, "UNSAID_HOME": str(root / "home"), "TMPDIR": folder}
        with listening([EXAMPLE], env, root / "example.log") as port:
            for revision in REVISIONS:
                failed += not await fixtures(port, revision)
        unsaid(env, "init", "--key", "file", "--recovery-file", str(root / "recovery"))
        token = unsaid(env, "token", "create", "conformance").strip()
        with listening([BINARY, "serve", "--http", f"{HOSTS[0]}:0"], env, root / "program.log") as port:
            async with Proxy(port, token) as proxy:
                for revision in REVISIONS:
                    failed += not await program(proxy.port, revision)
    print(f"{failed} failed")
    return int(failed > 0)


def unsaid(env: dict[str, str], *args: str) -> str:
    """Standard output of a command that has to work."""
    ran = subprocess.run([BINARY, *args], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
    if ran.returncode:
        raise SystemExit(f"unsaid {' '.join(args[:2])} fails: {ran.stderr}")
    return ran.stdout


sys.exit(asyncio.run(main()))
