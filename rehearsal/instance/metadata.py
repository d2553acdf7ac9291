"""An instance's metadata service: IMDSv2 only, one server on loopback for each instance."""

import json
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# What a path below /latest/ answers, made when asked so that it is never out of date; None is a 404.
Answers = Callable[[str], str | None]

TOKEN_SECONDS = 21600  # the longest life of a token on AWS


class MetadataServer:
    """Serves `answers` to whoever holds a token; listens from construction until close()."""

    def __init__(self, answers: Answers) -> None:
        self._tokens: dict[str, float] = {}
        self._answers = answers
        metadata = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self) -> None:
                seconds = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
                if self.path != "/latest/api/token":
                    self._send(404, "")
                elif not seconds.isdigit() or not 1 <= int(seconds) <= TOKEN_SECONDS:
                    self._send(400, "")
                else:
                    extra = {"X-aws-ec2-metadata-token-ttl-seconds": seconds}
                    self._send(200, metadata.new_token(int(seconds)), extra)

            def do_GET(self) -> None:
                if not metadata.knows(self.headers.get("X-aws-ec2-metadata-token", "")):
                    self._send(401, "")
                    return
                answer = metadata.answer(self.path)
                self._send(404 if answer is None else 200, answer or "")

            def _send(self, status: int, body: str, headers: Mapping[str, str] | None = None) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", str(len(body.encode())))
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, format: str, *args: object) -> None:  # noqa: ARG002
                return  # tokens and credentials belong in no log

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def new_token(self, seconds: int) -> str:
        token = secrets.token_urlsafe(40)
        self._tokens[token] = time.monotonic() + seconds
        return token

    def knows(self, token: str) -> bool:
        return self._tokens.get(token, 0.0) > time.monotonic()

    def answer(self, path: str) -> str | None:
        return self._answers(path.removeprefix("/latest/").rstrip("/"))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def credentials_document(key: str, secret: str, token: str, expiration: str, now: str) -> str:
    """The form in which the metadata service hands out a role's credentials."""
    document = {"Code": "Success", "LastUpdated": now, "Type": "AWS-HMAC", "AccessKeyId": key}
    document |= {"SecretAccessKey": secret, "Token": token, "Expiration": expiration}
    return json.dumps(document)
