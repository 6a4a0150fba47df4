"""A throw-away authority and its certificate for loopback, made when they are needed, with the `openssl` program.

certificate.py FOLDER   writes ca.pem, certificate.pem and key.pem there.

Nothing here is for more than a test: the authority signs once, and its key is gone afterwards.
"""

import os
import secrets
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

DAYS = 30
SETTINGS = """
[req]
prompt = no
distinguished_name = name
[name]
CN = {name}
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = DNS:localhost, DNS:other.localhost, DNS:acme.service.example, IP:127.0.0.1, IP:::1
"""


@dataclass(frozen=True)
class Certificate:
    """Paths of PEM files."""

    ca: str
    certificate: str
    key: str


def make(folder: str | Path) -> Certificate:
    """A new authority, and a certificate for localhost, other.localhost, acme.service.example, 127.0.0.1 and ::1.

    Raises `RuntimeError` if there is no openssl, or if it fails.
    """
    folder = Path(folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("authority", "server"):
        (folder / f"{name}.cnf").write_text(SETTINGS.format(name=f"unsaid test {name}"))
        _openssl(folder, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.key")
        os.chmod(folder / f"{name}.key", 0o600)
    ca = f"req -x509 -new -sha256 -days {DAYS} -key authority.key -config authority.cnf -extensions authority -out ca.pem"
    _openssl(folder, *ca.split())
    _openssl(folder, *"req -new -sha256 -key server.key -config server.cnf -out server.csr".split())
    signed = f"x509 -req -sha256 -days {DAYS} -in server.csr -CA ca.pem -CAkey authority.key -set_serial {secrets.randbits(63)}"
    _openssl(folder, *signed.split(), *"-extfile server.cnf -extensions server -out certificate.pem".split())
    (folder / "server.key").rename(folder / "key.pem")
    for name in ("authority.key", "authority.cnf", "server.cnf", "server.csr"):
        (folder / name).unlink()
    return Certificate(*(str(folder / name) for name in ("ca.pem", "certificate.pem", "key.pem")))


def _openssl(folder: Path, *arguments: str) -> None:
    program = shutil.which("openssl")
    if program is None:
        raise RuntimeError("openssl is missing: install the package of that name")
    done = subprocess.run([program, *arguments], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {arguments[0]} ended with {done.returncode}: {done.stderr.strip()}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(make(sys.argv[1]))
