"""A proxy in front of the embedded AWS: it notes every call, and answers some with an error."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from bench.rigs.relay import Relay, RelayHandler

EC2_ERROR = (
    "<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
    "<RequestID>r</RequestID></Response>"
)
QUERY_ERROR = (
    "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
    "<RequestId>r</RequestId></ErrorResponse>"
)
READING = ("Describe", "Get", "List", "HEAD", "GET")


@dataclass(frozen=True)
class Call:
    """A call: "RunInstances" or, for S3, the HTTP method; its number among calls of that name."""

    name: str
    parameters: dict[str, str]
    number: int


@dataclass(frozen=True)
class Refusal:
    """An error to answer with; `after`: the call is made, and only its answer is lost."""

    code: str
    status: int = 400
    message: str = "because"
    after: bool = False


Plan = Callable[[Call], Refusal | None]


class Proxy(Relay):
    """The proxy. What it refuses is for the plan to say."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint, _Handler)
        self.plan: Plan | None = None
        self.calls: list[Call] = []

    def changes(self) -> list[str]:
        """The names of calls that don't only read."""
        return [call.name for call in self.calls if not call.name.startswith(READING)]

    def named(self, name: str) -> list[Call]:
        """The calls of a name."""
        return [call for call in self.calls if call.name == name]

    def note(self, name: str, parameters: dict[str, str]) -> Call:
        """Put a call in the list."""
        with self.lock:
            call = Call(name, parameters, len(self.named(name)))
            self.calls.append(call)
        return call


class _Handler(RelayHandler):
    def handle_call(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        target = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
        parameters = dict(parse_qsl(body.decode(errors="replace"))) if not target else {}
        name = target or parameters.get("Action") or self.command
        proxy = self.server.proxy
        call = proxy.note(name, parameters)
        refusal = proxy.plan(call) if proxy.plan else None
        if refusal is None:
            self.reply(*self.forward(body))
            return
        if refusal.after:
            self.forward(body)
        if target:
            text = json.dumps({"__type": refusal.code, "message": refusal.message})
        else:
            form = EC2_ERROR if parameters.get("Version") == "2016-11-15" else QUERY_ERROR
            text = form.format(code=refusal.code, message=refusal.message)
        self.reply(refusal.status, {}, text.encode())
