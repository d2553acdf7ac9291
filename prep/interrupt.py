"""Whether the user has asked to stop.

Ctrl-C and SIGTERM end a pass between two units. Code that waits inside a unit, for example for a service that
doesn't answer, waits on the event `stopping`, so that it does not delay the end.
"""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

stopping = threading.Event()


@contextmanager
def importing() -> Iterator[None]:
    """While the packages of a program are imported: Ctrl-C, or a missing one, ends it without a trace.

    There is nothing to clean up yet, so the signal may end the process.
    """
    heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heeded:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        sys.exit(
            f"error: the Python package {package} is missing: run `source .venv/bin/activate` where make has "
            "made it, or `pip install -r prep/requirements.txt`"
        )
    if heeded:
        signal.signal(signal.SIGINT, signal.default_int_handler)
