"""`python -m prep`, and the command `prep` of an installed package."""

import signal
import sys
from typing import NoReturn


def start() -> NoReturn:
    """Run the command line in this process, to its end.

    While the packages are imported there is nothing to clean up: Ctrl-C ends the process without a trace.
    """
    heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heeded:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from prep import command_line
        from prep.cli import main
    except ModuleNotFoundError as error:
        sys.exit(
            f"error: the Python package {error.name} is missing: run `source .venv/bin/activate` (make makes "
            "it), or `pip install -r prep/requirements.txt`"
        )
    if heeded:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    command_line.end(main())


if __name__ == "__main__":
    start()
