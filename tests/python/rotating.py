"""Rotates passwords of a real PostgreSQL and a real MariaDB while 40 programs a second sign in.

rotating.py EXAMPLE BINARY [SERVER…]      EXAMPLE is the built example `rotate_live`; SERVER is postgresql or mariadb

First by the drivers alone, then by `unsaid rotate` end to end. Starts both servers as an unprivileged account, on loopback and in a temporary folder, with every statement in their logs. A server
that is not installed is said to be NOT DONE. Ends with 1 where anything is not as it must be.
"""

import contextlib
import glob
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CERTIFICATE = Path(__file__).parent.parent / "providers" / "certificate.py"
EXAMPLE, BINARY = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])

sys.path.insert(0, str(Path(__file__).parent.parent / "support"))
import rotations  # noqa: E402
from ports import free_port  # noqa: E402


def account(name: str) -> dict:
    """Who runs a server: root may not."""
    if os.getuid() != 0:
        return {}
    found = pwd.getpwnam(name)
    return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}


def program(name: str, *folders: str) -> str | None:
    path = os.pathsep.join([*folders, os.environ.get("PATH", ""), "/usr/sbin", "/usr/bin"])
    return shutil.which(name, path=path)


@contextlib.contextmanager
def folder(who: dict):
    with tempfile.TemporaryDirectory(prefix="rotating-") as name:
        if who:
            os.chown(name, who["user"], who["group"])
        yield Path(name)


@contextlib.contextmanager
def running(args: list[str], who: dict, home: Path, port: int):
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"}
    process = subprocess.Popen(args, env=env, cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **who)
    try:
        for _ in range(300):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if process.poll() is not None:
                raise RuntimeError(f"{args[0]} ended")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(30)


def rotate(which: str, port: int, admin: str, log: Path, ca: str = "") -> bool:
    env = os.environ | {"ROTATE_PORT": str(port), "ROTATE_ADMIN": admin, "ROTATE_LOG": str(log), "ROTATE_CA": ca}
    by_itself = subprocess.run([EXAMPLE, which], env=env, timeout=300).returncode == 0
    kind = "postgres" if which == "postgres" else "mysql"
    return rotations.rotate(kind, BINARY, port, admin, log) and by_itself


def postgres() -> bool | None:
    folders = sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)
    initdb, server = program("initdb", *folders), program("postgres", *folders)
    if not initdb or not server:
        return None
    who, admin, port = account("postgres"), secrets.token_hex(16), free_port()
    with folder(who) as home:
        word = home / "word"
        word.write_text(admin)
        if who:
            os.chown(word, who["user"], who["group"])
        data, log = home / "data", home / "log"
        log.touch()
        log.chmod(0o666)
        subprocess.run(
            [initdb, "-D", data, "-U", "postgres", f"--pwfile={word}", "-A", "scram-sha-256", "--locale=C.UTF-8", "-N"],
            check=True, stdout=subprocess.DEVNULL, cwd=home, env={"PATH": os.environ["PATH"], "HOME": str(home)}, **who,
        )
        subprocess.run([sys.executable, "-B", CERTIFICATE, home / "tls"], check=True, stdout=subprocess.DEVNULL)
        (home / "tls").chmod(0o755)
        key = data / "server.key"
        shutil.copy(home / "tls" / "key.pem", key)
        shutil.copy(home / "tls" / "certificate.pem", data / "server.crt")
        for path in [key, data / "server.crt"]:
            path.chmod(0o600)
            if who:
                os.chown(path, who["user"], who["group"])
        settings = ["-c", "ssl=on", "-c", "log_statement=all", "-c", "logging_collector=on", "-c", f"log_directory={home}",
                    "-c", "log_filename=log", "-c", "log_file_mode=0644"]
        args = [server, "-D", str(data), "-k", str(home), "-h", "127.0.0.1", "-p", str(port), *settings]
        with running(args, who, home, port):
            time.sleep(1)
            return rotate("postgres", port, admin, log, str(home / "tls" / "ca.pem"))


def mariadb() -> bool | None:
    install, server = program("mariadb-install-db"), program("mariadbd")
    if not install or not server:
        return None
    who, admin, port = account("mysql"), secrets.token_hex(16), free_port()
    with folder(who) as home:
        data, log, first = home / "data", home / "log", home / "first.sql"
        first.write_text(f"CREATE USER 'admin'@'127.0.0.1' IDENTIFIED BY '{admin}';\nGRANT ALL ON *.* TO 'admin'@'127.0.0.1' WITH GRANT OPTION;\n")
        first.chmod(0o644)
        subprocess.run(
            [install, "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal", "--skip-test-db"],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=home,
            env={"PATH": os.environ["PATH"], "HOME": str(home)}, **who,
        )
        args = [server, "--no-defaults", f"--datadir={data}", f"--socket={home}/s", f"--port={port}", "--bind-address=127.0.0.1",
                "--skip-name-resolve", f"--init-file={first}", "--general-log=1", f"--general-log-file={log}", f"--pid-file={home}/pid"]
        with running(args, who, home, port):
            time.sleep(2)
            return rotate("mariadb", port, admin, log)


def main() -> int:
    wrong = 0
    for name, rotated in [("PostgreSQL", postgres), ("MariaDB", mariadb)]:
        if len(sys.argv) > 3 and name.lower() not in sys.argv[3:]:
            continue
        print(f"{name}:", flush=True)
        done = rotated()
        if done is None:
            print(f"NOT DONE: {name} is not installed")
        wrong += done is False
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
