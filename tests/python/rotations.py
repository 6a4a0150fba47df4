"""Passwords of a real database, rotated by `unsaid rotate` as a person runs it, while a program signs in 40 times a second.

The program is started by `unsaid run --consumer --watch`, knows nothing of rotations, and signs in with the databases' own clients.
"""

import contextlib
import json
import re
import secrets
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
sys.dont_write_bytecode = True

import psycopg  # noqa: E402
import pymysql  # noqa: E402
from at_terminal import at_terminal  # noqa: E402
from vault import Vault, scrubbed, secret  # noqa: E402

POSTGRES = [
    "CREATE ROLE store NOLOGIN",
    "CREATE SCHEMA store AUTHORIZATION store",
    "CREATE TABLE store.orders (id int)",
    "ALTER TABLE store.orders OWNER TO store",
    "CREATE ROLE web_a LOGIN IN ROLE store PASSWORD '{web_a}'",
    "CREATE ROLE web_b LOGIN IN ROLE store",
    "CREATE ROLE web_one LOGIN IN ROLE store PASSWORD '{web_one}'",
    "CREATE ROLE keeper LOGIN CREATEROLE PASSWORD '{keeper}'",
]
MARIADB = [
    "CREATE DATABASE store",
    "CREATE TABLE store.orders (id int)",
    *[f"CREATE USER '{user}'@'%' IDENTIFIED BY '{{{user}}}'" for user in ("web_a", "web_b", "web_one", "keeper")],
    *[f"GRANT SELECT ON store.* TO '{user}'@'%'" for user in ("web_a", "web_b", "web_one")],
    "GRANT SELECT ON mysql.* TO 'keeper'@'%'",
    "GRANT CREATE USER ON *.* TO 'keeper'@'%'",
]

# A login that read the old value before the new one was there has ended by then: a person ends the old one no sooner.
IN_FLIGHT_S = 5


class Database:
    """A server with its roles, and how a test speaks to it."""

    def __init__(self, kind: str, port: int, admin: str):
        self.kind, self.port, self.admin = kind, port, admin
        self.passwords = {user: secret(user) for user in ("web_a", "web_b", "web_one", "keeper")}
        for statement in POSTGRES if kind == "postgres" else MARIADB:
            self.run(statement.format(**self.passwords))

    def run(self, statement: str) -> None:
        if self.kind == "postgres":
            with psycopg.connect(self.url("postgres", self.admin), autocommit=True) as connection:
                connection.execute(statement)
            return
        with pymysql.connect(host="127.0.0.1", port=self.port, user="admin", password=self.admin) as connection:
            with connection.cursor() as cursor:
                cursor.execute(statement)

    def url(self, user: str, password: str = "") -> str:
        scheme, name = ("postgresql", "postgres") if self.kind == "postgres" else ("mysql", "mysql" if user == "keeper" else "store")
        return f"{scheme}://{user}:{password or self.passwords[user]}@127.0.0.1:{self.port}/{name}?sslmode=disable"

    def breaks(self, user: str) -> None:
        """Somebody changes it behind our back."""
        other = secret(f"another of {user}")
        self.run(f"ALTER ROLE {user} PASSWORD '{other}'" if self.kind == "postgres" else f"SET PASSWORD FOR '{user}'@'%' = PASSWORD('{other}')")

    def locks(self, user: str, is_locked: bool) -> None:
        if self.kind == "postgres":
            self.run(f"ALTER ROLE {user} {'NOLOGIN' if is_locked else 'LOGIN'}")
        else:
            self.run(f"ALTER USER '{user}'@'%' ACCOUNT {'LOCK' if is_locked else 'UNLOCK'}")

    def takes(self, user: str, password: str) -> bool:
        try:
            if self.kind == "postgres":
                psycopg.connect(self.url(user, password), connect_timeout=4).close()
            else:
                pymysql.connect(host="127.0.0.1", port=self.port, user=user, password=password).close()
        except (psycopg.Error, pymysql.Error):
            return False
        return True


class Journey:
    def __init__(self, binary: str, database: Database):
        self.binary, self.database, self.failures = binary, database, 0
        allow = f'\n[outbound]\nallow = ["127.0.0.1:{database.port}"]\n'
        self.vault = Vault(binary, f"rotating-{database.kind}", allow)

    def check(self, what: str, holds: object, told: object = "") -> None:
        self.failures += not holds
        print(f"{'ok   ' if holds else 'WRONG'} {self.database.kind}: {what}" + ("" if holds else f": {scrubbed(told)[:600]}"), flush=True)

    def figure(self, text: str) -> None:
        print(f"FIGURE unsaid rotate, {self.database.kind}, {text}", flush=True)

    def add(self, name: str, user: str) -> str:
        self.vault.enter(name, self.database.url(user), "--service", "postgres" if self.database.kind == "postgres" else "mysql")
        return re.search(r"[0-9A-HJKMNP-TV-Z]{26}", json.dumps(self.vault.json("show", name)))[0]

    def step(self, name: str, step: str) -> dict:
        return self.vault.json("rotate", name, "--step", step)

    def person(self, *args: str, typed: dict[str, str] | None = None) -> str:
        return self.vault.person(*args, typed=typed)

    def stands(self, name: str) -> dict:
        return self.vault.json("rotate", name, "--status")

    def wait(self, program: "Program", what: str, is_so, seconds: float = 10) -> float:
        began = time.time()
        while time.time() - began < seconds:
            if is_so(program.logins()):
                return time.time() - began
            time.sleep(0.05)
        self.check(f"{what} within {seconds} s", False, program.logins()[-3:])
        return seconds


class Program:
    """What signs in, under `unsaid run`."""

    def __init__(self, journey: Journey, consumer: str, variable: str, reports: bool):
        self.results = journey.vault.folder / f"{consumer}-{secrets.token_hex(3)}.jsonl"
        self.results.touch()
        args = [journey.binary, "run", "--consumer", consumer, "--watch=USR1", "--", sys.executable, "-B", str(HERE / "signing_in.py")]
        self.process = subprocess.Popen(
            [*args, str(self.results), variable, consumer, *([journey.binary] if reports else [])], env=journey.vault.env, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=(journey.vault.folder / f"{consumer}.err").open("w"), start_new_session=True,
        )

    def logins(self) -> list[dict]:
        return [json.loads(line) for line in self.results.read_text().splitlines() if line.endswith("}")]

    def stop(self) -> list[dict]:
        self.process.terminate()
        self.process.wait(30)
        return self.logins()


@contextlib.contextmanager
def signing_in(journey: Journey, consumer: str, variable: str, reports: bool = True):
    program = Program(journey, consumer, variable, reports)
    try:
        journey.wait(program, "the program signs in", lambda logins: len(logins) > 40, 30)
        yield program
    finally:
        if program.process.poll() is None:
            program.stop()


def is_as(user: str, since: float):
    return lambda logins: any(one["as"] == user and one["in"] and one["at"] > since for one in logins)


def two_roles(j: Journey) -> None:
    """There by single steps, and back as a person is led through it, while the program signs in."""
    db, name = j.database, "DATABASE_URL"
    with signing_in(j, "web", name) as program:
        j.check("its driver makes the next one", j.vault.json("rotate", name)["next_step"] == "make")
        staged = j.step(name, "make")
        j.check("made, set and kept", staged["rotation"]["stage"] == "staged", staged)
        verified = j.step(name, "verify")
        j.check("tested: the same account, and the same rights", verified["rotation"]["stage"] == "verified", verified)
        since = time.time()
        j.step(name, "promote")
        j.figure(f"two roles: the running program has the new one after {j.wait(program, 'the new one is used', is_as('web_b', since)):.2f} s")
        j.vault.unsaid("report", "ok", "--consumer", "web")
        j.check("confirmed by what uses it", j.step(name, "confirm")["rotation"]["stage"] == "confirmed")
        refused = j.vault.run("rotate", name, "--step", "revoke_old")
        j.check("the old one is not ended without a person", refused.returncode != 0 and db.takes("web_a", db.passwords["web_a"]), refused.stderr)
        time.sleep(IN_FLIGHT_S)
        j.person("rotate", name, "--step", "revoke_old")
        j.check("the old one is dead at the server", not db.takes("web_a", db.passwords["web_a"]))
        j.check("closed", j.step(name, "close")["rotation"]["stage"] == "closed")
        time.sleep(2)
        since = time.time()
        led = j.person("rotate", name, typed={
            "make the new value now?": "y", "Serve the new value now?": "y", "How do you know that it works?": "", "may it be?": "y",
        })
        if j.stands(name)["stage"] == "promoted":
            j.wait(program, "the one after it is used", is_as("web_a", since))
            j.vault.unsaid("report", "ok", "--consumer", "web")
            time.sleep(IN_FLIGHT_S)
            led += j.person("rotate", name, typed={"may it be?": "y"})
        j.check("and back, led step by step at a terminal", j.stands(name)["stage"] == "closed", led)
        j.wait(program, "the one after it is used", is_as("web_a", since))
        j.check("the password of before is not the one of now", not db.takes("web_a", db.passwords["web_a"]))
        time.sleep(3)
        logins = program.stop()
    failed = sum(one["refused"] for one in logins)
    rate = len(logins) / (logins[-1]["at"] - logins[0]["at"])
    j.figure(f"two roles, there and back: {len(logins)} new connections at {rate:.0f}/s, {failed} failed")
    j.check("no login failed", failed == 0 and len(logins) > 200, [one for one in logins if one["refused"]][:3])


def a_failing_one(j: Journey) -> None:
    """The new password stops working once it is served: the program says so, and has the old one again."""
    db, name = j.database, "DATABASE_URL"
    with signing_in(j, "web", name) as program:
        j.vault.unsaid("rotate", name)
        for step in ("make", "verify"):
            j.step(name, step)
        since = time.time()
        j.step(name, "promote")
        j.wait(program, "the new one is used", is_as("web_b", since))
        before = len(program.logins())
        db.breaks("web_b")
        broken = time.time()
        j.wait(program, "the old one is used again", is_as("web_a", broken))
        first = next(one for one in program.logins() if is_as("web_a", broken)([one]))
        back = first["at"] + first["seconds"] - broken
        j.check("the rotation went back by itself", j.stands(name)["stage"] == "rolled_back", j.stands(name))
        time.sleep(1.5)
        after, logins = time.time(), program.stop()
    late = [one for one in logins if one["refused"] and one["at"] > broken + 5]
    lost = [one for one in logins if not one["in"]]
    waited = [one for one in logins[before:] if one["refused"]]
    longest = max((one["seconds"] for one in waited), default=0)
    j.figure(
        f"a new password that fails: back after {back:.2f} s; of {len(logins)} logins {len(waited)} had to try again, "
        f"the longest for {longest:.2f} s, {len(lost)} lost"
    )
    j.check("back within 5 s, no login lost, none waited longer, none refused after it", back < 5 and longest < 5 and not lost and not late, waited[:3])
    j.check("the old password works as before", is_as("web_a", after - 1.5)(logins))


def one_that_is_not_let_in(j: Journey) -> None:
    """A new one that its test refuses is never served, and the program notices nothing."""
    db, name = j.database, "DATABASE_URL"
    db.locks("web_b", True)
    with signing_in(j, "web", name) as program:
        j.vault.unsaid("rotate", name)
        told = j.step(name, "verify")
        j.check("the one that failed is taken up, and refused by its test", told["rotation"]["tested"] == "refused", told)
        told = j.step(name, "make")
        j.check("another is made in its place", told["rotation"]["tested"] == "untested", told)
        told = j.step(name, "verify")
        j.check("that a new one is not let in says nothing of its password", told["rotation"]["tested"] == "could_not_check", told)
        unasked = j.vault.run("rotate", name, "--step", "promote")
        j.check("and it is not served unless a person says so", unasked.returncode == 3, unasked.stderr)
        j.vault.unsaid("rotate", name, "--abort")
        logins = program.stop()
    db.locks("web_b", False)
    j.check("and nobody was served it", sum(one["refused"] for one in logins) == 0 and {one["as"] for one in logins} == {"web_a"})


def one_role(j: Journey) -> None:
    """The old password ends when the new one is set: a person agrees, and the gap is as long as the way to promotion."""
    db, name = j.database, "ONE_URL"
    # In the gap it would be refused with the old one, of which nobody needs to hear.
    with signing_in(j, "one", name, reports=False) as program:
        started = j.vault.json("rotate", name)
        j.check("one role: it is told that there is a gap", started["way"] == "short_gap" and "which a person approves" in started["next"], started)
        refused = j.vault.run("rotate", name, "--step", "make")
        j.check("one role: nothing is set without a person", refused.returncode != 0 and db.takes("web_one", db.passwords["web_one"]), refused.stderr)
        since = time.time()
        j.person("rotate", name, "--step", "make")
        for step in ("verify", "promote"):
            j.step(name, step)
        j.wait(program, "one role: the new one is used", lambda logins: any(one["at"] > since + 1 and one["in"] and not one["refused"] for one in logins))
        time.sleep(1)
        logins = program.stop()
    waited, lost = [one for one in logins if one["refused"]], [one for one in logins if not one["in"]]
    longest = max((one["seconds"] for one in waited), default=0)
    j.figure(f"one role: of {len(logins)} logins {len(waited)} had to try again in the gap, the longest for {longest:.2f} s, {len(lost)} lost")
    j.check("one role: no login was lost", not lost and logins[-1]["refused"] == 0, lost[:3])
    j.check("one role: the old one is dead", not db.takes("web_one", db.passwords["web_one"]))
    j.vault.unsaid("report", "ok", "--consumer", "one")
    if j.stands(name)["stage"] == "promoted":
        j.step(name, "confirm")
    j.check("one role: its end is seen by a test", j.step(name, "revoke_old")["rotation"]["stage"] == "old_revoked")
    j.check("one role: closed", j.step(name, "close")["rotation"]["stage"] == "closed")


def refusals(j: Journey) -> None:
    """What the server says no to is told in words, changes nothing, and blocks nothing."""
    db, name = j.database, "ONE_URL"
    db.breaks("web_one")
    j.vault.unsaid("rotate", name)
    done = at_terminal([j.binary, "rotate", name, "--step", "make"], j.vault.env)
    said = done.stdout.decode() + done.stderr.decode()
    code = "28P01" if db.kind == "postgres" else "1045"
    j.check("who is not let in is told the server's code", done.returncode != 0 and code in said, said)
    told = j.stands(name)
    j.check("and nothing hangs", told["stage"] == "awaiting_value" and not told.get("unknown_calls") and code in told["trouble"], told)


def rotate(kind: str, binary: str, port: int, admin: str, log: Path) -> bool:
    j = Journey(binary, Database(kind, port, admin))
    pair, keeper = j.add("DATABASE_URL", "web_a"), j.add("KEEPER_URL", "keeper")
    j.add("ONE_URL", "web_one")
    with open(j.vault.config, "a") as config:
        config.write(f'\n[rotation.credential.{pair}]\nadmin = "{keeper}"\nroles = ["web_a", "web_b"]\n')
    for consumer, variable in (("web", "DATABASE_URL"), ("one", "ONE_URL")):
        j.person("consumer", "add", consumer, "--kind", "workflow", "--bind", f"{variable}=,delivery=file")
    two_roles(j)
    # From here on the first of the two has a password that nobody but the vault knows.
    a_failing_one(j)
    db = j.database
    one_that_is_not_let_in(j)
    one_role(j)
    refusals(j)
    used = j.vault.unsaid("log", "export")
    j.check("the keeper's uses are in the audit log", '"rotation set"' in used and keeper in used)
    j.check("no value stands in anything that was printed, logged or kept", not j.vault.leaks(), j.vault.leaks())
    text = log.read_text(errors="replace")
    j.check("the server's own log has the statements", ("SCRAM-SHA-256$" if db.kind == "postgres" else "mysql_native_password") in text)
    return j.failures == 0
