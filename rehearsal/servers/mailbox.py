"""An HTTP endpoint on this machine that a topic of SNS delivers to, in the place of an e-mail address."""

import json
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


@dataclass(frozen=True)
class Letter:
    """What SNS sends: https://docs.aws.amazon.com/sns/latest/dg/http-notification-json.html"""

    topic: str
    subject: str
    text: str


class Mailbox:
    """Listens for the length of a `with` block; `letters` holds what was delivered, in order."""

    def __init__(self) -> None:
        self.letters: list[Letter] = []
        mailbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
                if body.get("Type") == "Notification":
                    mailbox.letters.append(Letter(body["TopicArn"], body.get("Subject", ""), body["Message"]))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
