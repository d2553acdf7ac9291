"""A pseudo terminal of a given width, and what a program writes to it."""

import fcntl
import os
import re
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3\d|4\d|9\d)(?:;\d+)*m")


def on_terminal(command: Sequence[str], width: int, env: Mapping[str, str], cwd: str) -> str:
    """All that a program writes to its terminal, with the escapes; it must end with status 0."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    process = subprocess.Popen(  # noqa: S603 - our own program
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=dict(env), cwd=cwd, start_new_session=True
    )
    os.close(theirs)
    written = b""
    try:
        while some := os.read(ours, 1 << 16):
            written += some
    except OSError:  # Linux says EIO when the program has closed its side
        pass
    os.close(ours)
    assert process.wait(60) == 0, written.decode()
    return written.decode()


def lines(written: str) -> list[str]:
    """The lines that were shown, without escapes."""
    return [line for line in re.split(r"[\r\n]+", ESCAPE.sub("", written)) if line]
