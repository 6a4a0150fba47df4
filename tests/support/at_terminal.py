"""Runs a command as a person at a terminal would: types the number that it asks for, and passes on what it prints.

at_terminal.py COMMAND ARGS…   Standard output is the command's own; what it says on its terminal is not shown.
"""

import fcntl
import os
import pty
import re
import select
import subprocess
import sys
import termios


def at_terminal(
    command: list[str], env: dict[str, str] | None = None, typed: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """`typed`: by the words it asks with, what is typed then."""
    ours, theirs = pty.openpty()

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    child = subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, env=env, preexec_fn=take_terminal)
    os.close(theirs)
    said, printed, answered = b"", b"", False
    typed = {ask.encode(): text.encode() for ask, text in (typed or {}).items()}
    sources = [ours, child.stdout.fileno()]
    while sources:
        for source in select.select(sources, [], [], 30)[0]:
            try:
                part = os.read(source, 65536)
            except OSError:
                # The terminal is gone with the last who had it open.
                part = b""
            if not part:
                sources.remove(source)
            elif source == ours:
                said += part
            else:
                printed += part
        asked = re.search(rb"type ((?:\d ?)+)", said)
        if asked and not answered:
            answered = True
            os.write(ours, asked[1].replace(b" ", b"") + b"\n")
        for ask in [ask for ask in typed if ask in said]:
            os.write(ours, typed.pop(ask) + b"\n")
    os.close(ours)
    return subprocess.CompletedProcess(command, child.wait(), printed, said)


if __name__ == "__main__":
    done = at_terminal(sys.argv[1:])
    sys.stdout.buffer.write(done.stdout)
    sys.exit(done.returncode)
