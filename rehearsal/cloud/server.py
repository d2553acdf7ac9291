"""The embedded AWS: moto's server with bytes, instances and a judge at its door.

`python -m rehearsal.cloud.server FOLDER REGION` serves until SIGTERM or until its parent is gone, and prints
 one line of JSON: where it listens and with what key its operator calls.
"""

import json
import logging
import secrets
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

from rehearsal.cloud import moto_gaps
from rehearsal.cloud.gate import Gate
from rehearsal.cloud.volumes import Volumes
from rehearsal.instance.instances import Guests

ACCOUNT = "123456789012"  # moto's own


class QuietHandler(MotoRequestHandler):
    """moto's handler, without a line on standard error for each request."""

    def log(self, type: str, message: str, *args: Any) -> None:
        if type == "error":
            super().log(type, message, *args)


def serve(folder: Path, region: str) -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    key = "AKIA" + secrets.token_hex(8).upper()
    gate_log = folder / "calls.jsonl"
    volumes = Volumes(folder)
    application = DomainDispatcherApplication(create_backend_app)
    gate = Gate(application, key, gate_log)
    server = make_server("127.0.0.1", 0, gate, threaded=True, request_handler=QuietHandler)
    # moto finds the bucket of a template's URL under this host name only.
    endpoint = f"http://localhost:{server.server_port}"
    guests = Guests(folder, endpoint)
    moto_gaps.install(volumes, guests)

    def end(_number: int, _frame: FrameType | None) -> None:
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    facts = {"endpoint": endpoint, "key": key, "secret": secrets.token_urlsafe(30), "region": region}
    print(json.dumps(facts | {"account": ACCOUNT, "calls": str(gate_log)}), flush=True)
    try:
        server.serve_forever()
    finally:
        guests.close()
        volumes.close()


if __name__ == "__main__":
    serve(Path(sys.argv[1]).resolve(), sys.argv[2])
