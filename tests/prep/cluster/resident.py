"""A driver that stays connected to a cluster: a job takes a second then, instead of ten.

`python -m tests.prep.cluster.resident ADDRESS` reads lines of JSON. {"main": […]} is the command line of
prep, in small sizes; {"call": "module:function", "with": […]} a function, which gets the engine first. The
answer is {"code", "out", "err"} or {"value"}. Ray and its warnings stay out of the process of the tests.
"""

import contextlib
import importlib
import io
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

from bench.rigs.scaled_cluster import scale
from prep.cli import main
from prep.cluster import engine
from prep.cluster.engine import Engine
from prep.images import yuv
from prep.progress import Progress


def command(arguments: list[str]) -> dict[str, Any]:
    """What the command line does with these arguments."""
    out, err = io.StringIO(), io.StringIO()
    sys.argv = ["prep/__main__.py", *arguments]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main()
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}


def with_another_codec(_: Engine, arguments: list[str]) -> dict[str, Any]:
    """`command`, where this machine would reduce pictures in another way than the nodes."""
    own = yuv.codec
    yuv.codec = lambda: "another"
    try:
        return command(arguments)
    finally:
        yuv.codec = own


def serve(connected: Engine) -> None:
    """Do what standard input says until it ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        if "main" in request:
            answer = command(request["main"])
            connected.settle()  # as if it were disconnected
        else:
            module, _, name = request["call"].partition(":")
            answer = {"value": getattr(importlib.import_module(module), name)(connected, *request["with"])}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    scale()
    with engine.connected(sys.argv[1], Progress(shown=False)) as kept:

        @contextlib.contextmanager
        def again(*_: object) -> Iterator[Engine]:
            yield kept

        engine.connected = again
        serve(kept)
