"""Runs a group of commands: every expected failure becomes one line on standard error, and an exit code."""

import os
import signal
import sys
import threading
from typing import NoReturn

import click

from prep.errors import PrepError
from prep.progress import one_line

INTERRUPTED = 130


def run(
    commands: click.Group, name: str, remedy: str = ": check --root and --packed, and their owner"
) -> int:
    """Run the command line and return its exit code. Every expected failure is reported in one line.

    `remedy` ends the line of an error of the operating system.
    """

    def stop(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)  # systemd stops a service this way
    try:
        code = commands.main(standalone_mode=False, prog_name=name)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        _complain(error.format_message())
        return error.exit_code
    except click.Abort:
        click.echo("interrupted: run the same command again; it continues where it stopped", err=True)
        return INTERRUPTED
    except PrepError as error:
        _complain(str(error))
        return error.exit_code
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _complain(f"{where}{error.strerror or error}{remedy}")
        return PrepError.exit_code
    return code if isinstance(code, int) else 0


def _complain(text: str) -> None:
    """Write one line to standard error, without control characters from servers or archives."""
    click.echo(f"error: {one_line(text)}", err=True)


def end(status: int) -> NoReturn:
    """End the process; after a failure at once, even if other threads are still busy.

    One may wait for a silent server, and Python would wait for it. A kill is safe at any time.
    """
    if status and threading.active_count() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
