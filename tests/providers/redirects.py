"""Which addresses a client may be sent back to."""

from urllib.parse import urlsplit

LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def is_known(uri: str, known: list[str]) -> bool:
    """True for one of `known`, letter by letter; on loopback over plain HTTP the port is free (RFC 8252 §7.3)."""
    return uri in known or _without_port(uri) in {_without_port(one) for one in known} - {None}


def _without_port(uri: str) -> str | None:
    parts = urlsplit(uri)
    if parts.scheme != "http" or parts.hostname not in LOOPBACK or parts.username is not None:
        return None
    return f"{parts.hostname}{parts.path}?{parts.query}"
