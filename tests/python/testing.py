"""Tests of credentials, warnings and notices, against real counterparts: HTTPS, PostgreSQL, MariaDB, a mail server.

testing.py BINARY [--only http,postgres,mariadb,mail,keys,notices]

A line is printed for each check; the status is 1 if one failed. Servers of the parts that need a program which is not
there are left out, and that is said. Everything is on loopback.
"""

import argparse
import glob
import hashlib
import hmac
import http.server
import json
import os
import pwd
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path

HERE = Path(__file__).resolve().parent
for folder in ("providers", "support"):
    sys.path.insert(0, str(HERE.parent / folder))
sys.dont_write_bytecode = True

import certificate  # noqa: E402
from ports import free_port  # noqa: E402
from vault import TEMPORARY, Vault, given_away, scrubbed, secret  # noqa: E402

options = argparse.ArgumentParser()
options.add_argument("binary")
options.add_argument("--only")
GIVEN = options.parse_args()
BINARY = os.path.abspath(GIVEN.binary)
ROOT = Path(TEMPORARY.name)
# Servers of other users have to reach their own folders below it.
ROOT.chmod(0o755)
CERTIFICATE = certificate.make(ROOT / "tls")

failures = 0


def check(part: str, what: str, holds: object, told: object = "") -> None:
    global failures
    failures += not holds
    print(f"{'ok  ' if holds else 'FAIL'} {part:9} {what}" + ("" if holds else f": {scrubbed(told)[:900]}"), flush=True)


class Service(http.server.ThreadingHTTPServer):
    """An API that knows one key, and takes notices."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Asked)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(CERTIFICATE.certificate, CERTIFICATE.key)
        self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.port, self.key, self.asked, self.notices = self.server_address[1], "", [], []
        self.failing = 0
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Asked(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def answer(self, status: int, body: dict, **headers: str) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(text)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        self.server.asked.append(self.path)
        shown = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.path == "/limited":
            return self.answer(403, {"error": "scope"})
        if self.path == "/moved":
            return self.answer(302, {}, Location=f"https://localhost:{self.server.port}/whoami")
        if shown != self.server.key:
            return self.answer(401, {"error": "bad", "echo": shown})
        # It repeats the key where the account is meant to be, beside the real one.
        account = shown if self.path == "/echo" else "mia@example.com"
        return self.answer(200, {"me": account, "scopes": ["read", "write"], "ends": "2099-01-01"})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.failing:
            self.server.failing -= 1
            return self.answer(500, {})
        self.server.notices.append((self.headers.get("X-Unsaid-Signature", ""), body))
        return self.answer(200, {})


MANIFEST = """
id = "{id}"
name = "{id}"
category = "internal"
credential_types = ["api_key"]
confidence = "high"
[verify]
method = "GET"
url = "https://localhost:{port}/{path}"
ok_status = [200]
invalid_status = [401]
limited_status = [403]
account_id_path = "/me"
scopes_path = "/scopes"
expires_path = "/ends"
auth = {{ in = "header", name = "Authorization", format = "Bearer {{token}}" }}
[rotation]
overlap_possible = true
recommended_interval_days = 30
steps = ["Make a second key, switch, delete the first."]
"""
SERVICES = {"acme": "whoami", "acme-limited": "limited", "acme-moved": "moved", "acme-echo": "echo"}


def vault(name: str, ports: list[int], more: str = "", service: Service | None = None) -> Vault:
    folder = ROOT / f"services-{name}"
    folder.mkdir()
    for id, path in SERVICES.items() if service else ():
        (folder / f"{id}.toml").write_text(MANIFEST.format(id=id, path=path, port=service.port))
    allow = ", ".join(f'"{host}:{port}"' for port in ports for host in ("localhost", "127.0.0.1"))
    return Vault(
        BINARY, name,
        f'\n[catalogue]\nfolder = "{folder}"\n[outbound]\nallow = [{allow}]\nca_file = "{CERTIFICATE.ca}"\n{more}',
    )


def verdict(v: Vault, name: str) -> str:
    return v.json("test", name)["verdict"]


def http_tests() -> None:
    part, service = "http", Service()
    v = vault(part, [service.port], service=service)
    service.key = v.enter("ACME", secret("acme key", awkward=False), "--service", "acme")
    v.enter("OLD", secret("old key"), "--service", "acme")
    v.enter("LIMITED", service.key, "--service", "acme-limited")
    v.enter("MOVED", service.key, "--service", "acme-moved")
    v.enter("ECHO", service.key, "--service", "acme-echo")
    v.enter("NOWHERE", service.key)

    found = v.json("test", "ACME")
    check(part, "a key that works is valid, with its account, scopes and end",
          (found["verdict"], found["account"], found["scopes"], found["expires_at"][:10])
          == ("valid", "mia@example.com", ["read", "write"], "2099-01-01"), found)
    check(part, "one that the service refuses is refused, and its status says so",
          verdict(v, "OLD") == "refused" and v.json("show", "OLD")["status"]["reasons"] == ["probe_refused"])
    check(part, "one that may not do it is limited", verdict(v, "LIMITED") == "limited")
    asked = len(service.asked)
    check(part, "a redirect is not followed and decides nothing",
          verdict(v, "MOVED") == "could_not_check" and service.asked[asked:] == ["/moved"], service.asked)
    echoed = v.json("test", "ECHO")
    check(part, "a key that is echoed is not shown", echoed["verdict"] == "valid" and "account" not in echoed, echoed)
    asked = len(service.asked)
    check(part, "without a service nothing is sent anywhere",
          verdict(v, "NOWHERE") == "could_not_check" and len(service.asked) == asked)
    for _ in range(5):
        v.run("test", "ACME")
    asked = len(service.asked)
    refused = v.run("test", "ACME")
    check(part, "the seventh test within a minute is refused unasked",
          refused.returncode == 6 and "too_many_requests" in refused.stderr and len(service.asked) == asked, refused.stderr)
    service.shutdown()
    service.server_close()
    check(part, "a service that is not there decides nothing", verdict(v, "LIMITED") == "could_not_check")
    check(part, "no value is in what was printed, logged or kept", not v.leaks(), v.leaks())
    checked = v.run("service", "check")
    (ROOT / f"services-{part}" / "bad.toml").write_text('id = "bad"\n')
    bad = v.run("service", "check")
    check(part, "`service check` tells good files from bad ones", checked.returncode == 0 and bad.returncode == 2
          and "bad.toml" in bad.stdout and "is missing" in bad.stdout, bad.stdout + bad.stderr)


def as_user(user: str) -> dict:
    """How a server is started that does not run as root."""
    if os.geteuid() != 0:
        return {}
    found = pwd.getpwnam(user)
    return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}


def owned(folder: Path, user: str) -> None:
    if os.geteuid() == 0:
        for one in (folder, *folder.rglob("*")):
            shutil.chown(one, user, user)


def postgres_tests() -> None:
    part = "postgres"
    programs = sorted(glob.glob("/usr/lib/postgresql/*/bin")) or [str(Path(found).parent) for found in [shutil.which("initdb")] if found]
    if not programs:
        print("NOT DONE: postgres, for it is not installed")
        return
    programs, port = Path(programs[-1]), free_port()
    folder = ROOT / "pg"
    folder.mkdir()
    (folder / "pw").write_text("rig")
    for name, source in (("server.crt", CERTIFICATE.certificate), ("server.key", CERTIFICATE.key)):
        shutil.copy(source, folder / name)
        (folder / name).chmod(0o600)
    owned(folder, "postgres")
    run = {"cwd": folder, "env": {"PATH": f"{programs}:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}, **as_user("postgres")}
    subprocess.run([programs / "initdb", "-D", folder / "data", "-U", "rig", "--pwfile", folder / "pw", "-A", "scram-sha-256", "-N"],
                   check=True, stdout=subprocess.DEVNULL, **run)
    settings = ["-c", f"port={port}", "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}"]
    tls = ["-c", "ssl=on", "-c", f"ssl_cert_file={folder}/server.crt", "-c", f"ssl_key_file={folder}/server.key"]
    v = vault(part, [port])
    right, wrong = secret("database password"), secret("wrong password")

    def server(*more: str) -> subprocess.Popen:
        started = subprocess.Popen([programs / "postgres", "-D", folder / "data", *settings, *more],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **run)
        for _ in range(100):
            if subprocess.run([programs / "pg_isready", "-h", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL, **run).returncode == 0:
                break
            time.sleep(0.1)
        return started

    running = server(*tls)
    try:
        made = {**run, "env": {**run["env"], "PGPASSWORD": "rig"}}
        sql = f"create role app login password '{right}'; create database app owner app"
        for statement in sql.split("; "):
            subprocess.run([programs / "psql", "-h", "127.0.0.1", "-p", str(port), "-U", "rig", "-d", "postgres", "-qc", statement],
                           check=True, stdout=subprocess.DEVNULL, **made)
        url = f"postgres://app:{{}}@localhost:{port}/{{}}?sslmode=require"
        v.enter("DATABASE_URL", url.format(right, "app"), "--service", "postgres")
        v.enter("WRONG_URL", url.format(wrong, "app"), "--service", "postgres")
        v.enter("OTHER_URL", url.format(right, "nothing"), "--service", "postgres")
        check(part, "a right password is valid, over TLS", verdict(v, "DATABASE_URL") == "valid", v.said[-2:])
        check(part, "a wrong one is refused", verdict(v, "WRONG_URL") == "refused", v.said[-2:])
        check(part, "a right one for a database that is not there is limited", verdict(v, "OTHER_URL") == "limited", v.said[-2:])
        fields = ["--type", "custom", "--service", "postgres"]
        for field in ("SERVER:plain", "PORT:plain", "USERNAME:plain", "PASSWORD"):
            fields += ["--field", field]
        typed = {"SERVER": "localhost", "PORT": str(port), "USERNAME": "app", "PASSWORD": right}
        v.person("set", "PARTS", *fields, typed=typed)
        parts = v.json("test", "PARTS")
        # Its database is named after the user, as everywhere.
        check(part, "in fields of its own too, with the account", (parts["verdict"], parts.get("account")) == ("valid", "app"), parts)
        strict = vault("postgres-private", [])
        strict.enter("DATABASE_URL", url.format(right, "app"), "--service", "postgres")
        check(part, "a private address is not called that nobody allowed", verdict(strict, "DATABASE_URL") == "could_not_check")
        running.terminate()
        running.wait()
        check(part, "one that is not there decides nothing", verdict(v, "DATABASE_URL") == "could_not_check")
        running = server("-c", "ssl=off")
        v.enter("PLAIN_URL", url.format(right, "app").split("?")[0], "--service", "postgres")
        check(part, "without TLS nothing is sent where TLS was asked for", verdict(v, "DATABASE_URL") == "could_not_check")
        check(part, "and something only where an admin allowed the address", verdict(v, "PLAIN_URL") == "valid", v.said[-2:])
    finally:
        running.terminate()
        running.wait()
    check(part, "no value is in what was printed, logged or kept", not v.leaks(), v.leaks())


def mariadb_tests() -> None:
    part, program = "mariadb", shutil.which("mariadbd") or shutil.which("mysqld")
    installer = shutil.which("mariadb-install-db")
    if not program or not installer:
        print("NOT DONE: mariadb, for it is not installed")
        return
    folder, port = ROOT / "maria", free_port()
    folder.mkdir()
    for name, source in (("server.crt", CERTIFICATE.certificate), ("server.key", CERTIFICATE.key)):
        shutil.copy(source, folder / name)
    right = secret("maria password")
    (folder / "init.sql").write_text(
        f"create database app;\ncreate user app@'%' identified by '{right}';\ngrant all on app.* to app@'%';\n"
    )
    user = "mysql" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    owned(folder, user)
    run = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **as_user(user)}
    subprocess.run([installer, "--no-defaults", f"--datadir={folder}/data", "--auth-root-authentication-method=normal", "--skip-test-db"],
                   check=True, **run)
    running = subprocess.Popen(
        [program, "--no-defaults", f"--datadir={folder}/data", f"--port={port}", "--bind-address=127.0.0.1", f"--socket={folder}/s",
         f"--ssl-cert={folder}/server.crt", f"--ssl-key={folder}/server.key", f"--init-file={folder}/init.sql", "--skip-name-resolve"], **run)
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        v = vault(part, [port])
        url = f"mysql://app:{{}}@localhost:{port}/{{}}"
        v.enter("MYSQL_URL", url.format(right, "app"), "--service", "mysql")
        v.enter("WRONG_URL", url.format(secret("wrong"), "app"), "--service", "mysql")
        v.enter("OTHER_URL", url.format(right, "nothing"), "--service", "mysql")
        check(part, "a right password is valid, over TLS", verdict(v, "MYSQL_URL") == "valid", v.said[-2:])
        check(part, "a wrong one is refused", verdict(v, "WRONG_URL") == "refused", v.said[-2:])
        check(part, "a right one for a database that is not there is limited", verdict(v, "OTHER_URL") == "limited", v.said[-2:])
        check(part, "no value is in what was printed, logged or kept", not v.leaks(), v.leaks())
    finally:
        running.terminate()
        running.wait()


class Mailbox:
    """A mail server that takes one password, over TLS alone."""

    def __init__(self, password: str):
        from aiosmtpd.controller import Controller
        from aiosmtpd.smtp import SMTP, AuthResult

        self.mails, self.port = [], free_port()
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(CERTIFICATE.certificate, CERTIFICATE.key)
        box = self

        class Handler:
            async def handle_DATA(self, server, session, envelope):
                box.mails.append(envelope)
                return "250 OK"

        def authenticate(server, session, envelope, mechanism, data):
            return AuthResult(success=data.login == b"unsaid@example.com" and data.password == password.encode(), handled=False)

        class Tls(Controller):
            def factory(self):
                return SMTP(Handler(), tls_context=tls, require_starttls=True, auth_required=True, authenticator=authenticate, hostname="localhost")

        self.controller = Tls(Handler(), hostname="127.0.0.1", port=self.port)
        self.controller.start()


def mail_account(v: Vault, name: str, port: int, password: str, *more: str) -> None:
    fields = ["--type", "custom", "--service", "smtp", *more]
    for field in ("SERVER:plain", "PORT:plain", "USERNAME:plain", "PASSWORD"):
        fields += ["--field", field]
    v.person("set", name, *fields, typed={"SERVER": "localhost", "PORT": str(port), "USERNAME": "unsaid@example.com", "PASSWORD": password})


def mail_tests() -> None:
    part, right = "mail", secret("mail password")
    box = Mailbox(right)
    v = vault(part, [box.port])
    mail_account(v, "BOX", box.port, right)
    mail_account(v, "BOX_WRONG", box.port, secret("wrong mail password"))
    check(part, "a right password is valid, over TLS", verdict(v, "BOX") == "valid", v.said[-2:])
    check(part, "a wrong one is refused", verdict(v, "BOX_WRONG") == "refused", v.said[-2:])
    check(part, "no mail is sent by a test", not box.mails)
    box.controller.stop()
    check(part, "one that is not there decides nothing", verdict(v, "BOX") == "could_not_check")
    check(part, "no value is in what was printed, logged or kept", not v.leaks(), v.leaks())


def key_tests() -> None:
    part = "keys"
    if not shutil.which("ssh-keygen"):
        print("NOT DONE: keys, for ssh-keygen is not installed")
        return
    v = vault(part, [])
    for kind, more, wanted in (("ed25519", [], "valid"), ("rsa", [], "valid"), ("ecdsa", [], "valid"), ("ed25519", ["x" * 9], "limited")):
        name = f"KEY_{kind.upper()}{len(more)}"
        file = v.folder / name
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-f", file, "-N", *(more or [""])], check=True)
        v.unsaid("set", name, "--type", "file", "--file", str(file), "--service", "ssh-key")
        file.unlink()
        check(part, f"a key of kind {kind}{' with a passphrase' if more else ''} is {wanted}", verdict(v, name) == wanted, v.said[-2:])


def notice_tests() -> None:
    part, service, password = "notices", Service(), secret("mail password")
    box = Mailbox(password)
    more = (f'[tests]\nevery_hours = 1\non_entry = true\n[notices]\nwebhook = "https://localhost:{service.port}/notices"\n'
            'webhook_secret = "HOOK"\nmail_to = ["ops@example.com"]\nmail_from = "unsaid@example.com"\nmail_credential = "BOX"\n')
    v = vault(part, [service.port, box.port], more, service)
    signing = v.enter("HOOK", secret("hook secret"), "--scope", "org")
    mail_account(v, "BOX", box.port, password, "--scope", "org")
    service.key = secret("acme key")
    soon = (datetime.now(UTC) + timedelta(days=5)).strftime("%Y-%m-%d")
    v.enter("ENDS_SOON", secret("ending"), "--scope", "org", "--expires", soon)
    v.enter("MINE", secret("mine"), "--expires", soon)
    v.enter("ACME", service.key, "--scope", "org", "--service", "acme")
    v.enter("REFUSED", secret("refused"), "--scope", "org", "--service", "acme")
    serving = subprocess.Popen([BINARY, "serve"], env=v.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}}
    serving.stdin.write(json.dumps(hello).encode() + b"\n")
    serving.stdin.flush()
    try:
        def until(holds, seconds: int = 60) -> bool:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                if holds():
                    return True
                time.sleep(0.5)
            return False

        kinds = lambda: sorted(json.loads(body)["type"] for _, body in service.notices)  # noqa: E731
        check(part, "what was entered is tested by the server that runs", until(lambda: "last_test" in v.json("show", "ACME")["configuration"]))
        until(lambda: kinds() == ["credential.expiring", "credential.refused"] and len(box.mails) == 2)
        check(part, "an end and a refusal are posted, once each, and nothing personal",
              kinds() == ["credential.expiring", "credential.refused"] and not any(b"MINE" in body for _, body in service.notices), service.notices)
        good = []
        for signature, body in service.notices:
            at, mac = (part.split("=", 1)[1] for part in signature.split(","))
            good.append(hmac.compare_digest(mac, hmac.new(signing.encode(), at.encode() + b"." + body, hashlib.sha256).hexdigest()))
        check(part, "each is signed by the credential that the settings name", good and all(good))
        mails = [(m.rcpt_tos, m.content.decode()) for m in box.mails]
        check(part, "and mailed", len(mails) == 2 and all(to == ["ops@example.com"] for to, _ in mails)
              and any("ENDS_SOON ends in" in text for _, text in mails), mails)
        check(part, "no value is in a notice", not given_away(str(service.notices) + str(mails)))
    finally:
        serving.stdin.close()
        serving.wait(30)
        box.controller.stop()
        service.shutdown()
    check(part, "no value is in what was printed, logged or kept", not v.leaks(), v.leaks())
    check(part, "the log is whole", v.run("log", "verify").returncode == 0)


PARTS = {"http": http_tests, "postgres": postgres_tests, "mariadb": mariadb_tests, "mail": mail_tests, "keys": key_tests, "notices": notice_tests}

if __name__ == "__main__":
    wanted = GIVEN.only.split(",") if GIVEN.only else list(PARTS)
    for name in wanted:
        try:
            PARTS[name]()
        except Exception:
            failures += 1
            print(f"FAIL {name:9} {scrubbed(traceback.format_exc())}", flush=True)
    print(f"{failures} failed" if failures else "all passed")
    sys.exit(1 if failures else 0)
