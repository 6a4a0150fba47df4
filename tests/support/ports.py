"""Ports for servers that a test starts later."""

import random
import socket

# None is given twice by one process.
GIVEN: set[int] = set()


def free_port() -> int:
    """A port on loopback that nothing listens at. It lies below those that the system gives out by itself, so that no other
    server of the test gets it before the one that it is for has begun."""
    while True:
        port = random.randrange(20_000, 32_000)
        if port in GIVEN:
            continue
        with socket.socket() as there:
            try:
                there.bind(("127.0.0.1", port))
            except OSError:
                continue
        GIVEN.add(port)
        return port
