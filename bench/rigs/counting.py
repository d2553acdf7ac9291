"""A proxy in front of an S3 server that counts: requests and bytes, by kind of request and by key.

It costs processor time, so what runs through it is not timed.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from bench.rigs.relay import Relay, RelayHandler

REFUSED = 400  # HTTP status from which on an answer is an error


@dataclass
class Count:
    """Requests, and bytes of their bodies: `sent` to S3 and `received` from it. `failed` are among them."""

    requests: int = 0
    sent: int = 0
    received: int = 0
    failed: int = 0


def kind_of(method: str, path: str) -> str:
    """The operation of S3's API that a request is."""
    parts = urlsplit(path)
    query = parse_qs(parts.query, keep_blank_values=True)
    key = parts.path.lstrip("/").partition("/")[2]
    if "partNumber" in query and method == "PUT":
        return "UploadPart"
    if "uploadId" in query:
        by_method = {"POST": "CompleteMultipartUpload", "GET": "ListParts"}
        return by_method.get(method, "AbortMultipartUpload")
    if "uploads" in query:
        return "CreateMultipartUpload" if method == "POST" else "ListMultipartUploads"
    if "delete" in query:
        return "DeleteObjects"
    if not key:
        return {"GET": "ListObjectsV2", "HEAD": "HeadBucket", "PUT": "CreateBucket"}.get(method, method)
    by_method = {"GET": "GetObject", "PUT": "PutObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}
    return by_method.get(method, method)


class CountingProxy(Relay):
    """The proxy.

    `purpose` names what a key is for; `counts` has the counts by kind of request and purpose.
    """

    def __init__(self, endpoint: str, purpose: Callable[[str], str]) -> None:
        super().__init__(endpoint, _Handler)
        self.purpose = purpose
        self.counts: dict[tuple[str, str], Count] = defaultdict(Count)

    def note(self, method: str, path: str, sent: int, received: int, status: int) -> None:
        """Count a request."""
        parts = urlsplit(path)
        query = parse_qs(parts.query)
        key = query["prefix"][0] if "prefix" in query else unquote(parts.path).lstrip("/").partition("/")[2]
        with self.lock:
            count = self.counts[kind_of(method, path), self.purpose(key)]
            count.requests += 1
            count.sent += sent
            count.received += received
            count.failed += status >= REFUSED


class _Handler(RelayHandler):
    def handle_call(self) -> None:
        body = self.body()
        answer = self.forward(body)
        self.server.proxy.note(self.command, self.path, len(body), len(answer.body), answer.status)
        self.reply(*answer)
