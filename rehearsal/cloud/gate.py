"""The door of the embedded AWS: who calls, may they, and what did they call.

Calls of instances are judged by the policies of the role that was deployed for them. The operator's key
and the roles that the CDK command line assumes may do everything; any other key is refused.

Every judged call is a line of calls.jsonl, with what the judge was asked; policies.jsonl has the policies of
each role, again whenever they have changed. With both, a call can be judged again under other policies.
"""

import hashlib
import io
import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from rehearsal.cloud import calls
from rehearsal.cloud.call import Call
from rehearsal.cloud.callers import Caller, MotoAccount, account_of
from rehearsal.cloud.judge import Check, Policy, UnknownOperatorError, allowed

StartResponse = Callable[..., Any]
Application = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]

# In the user agent of calls that are made to see them refused.
TRIAL = "rehearsal-trial"
HOLD_SECONDS = 300.0  # whoever asks for a call to be held may have to wait for a deployment to end
# Calls that AWS makes once however often they are asked with one token.
_IDEMPOTENT = ("ec2:CopyVolumes", "ec2:CreateVolume", "ec2:RunInstances")


class Gate:
    """WSGI middleware around moto."""

    def __init__(self, application: Application, admin_key: str, log: Path) -> None:
        self._application = application
        self._admin_key = admin_key
        self._log = log
        self._known_policies: dict[str, list[Policy]] = {}
        self._log_lock, self._token_lock = threading.Lock(), threading.Lock()
        self._answers: dict[tuple[str, str, str], tuple[str, list[tuple[str, list[Any], bytes]]]] = {}

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        scope = re.search(r"Credential=([^/]+)/\d+/([^/]+)/", environ.get("HTTP_AUTHORIZATION", ""))
        if scope is None or scope[1] == self._admin_key:
            return self._pass(environ, start_response)
        account = account_of(scope[1], scope[2])
        if account is None:
            return _refuse(environ, start_response, "InvalidClientTokenId", "Unknown access key.")
        caller = account.caller(scope[1])
        call = calls.parse(environ, _body(environ)) if caller else None
        if caller is None or call is None:
            return self._pass(environ, start_response)
        refused = self._judge(account, caller, call, trial=TRIAL in environ.get("HTTP_USER_AGENT", ""))
        if refused is None:
            self._hold(call)
            return self._once(environ, start_response, call)
        why = (
            f"User: {caller.arn} is not authorized to perform: {refused.action} on resource: "
            f"{refused.resource} because no identity-based policy allows the {refused.action} action"
        )
        return _refuse(environ, start_response, _ERROR_CODES.get(call.service, "AccessDenied"), why)

    def _judge(self, account: MotoAccount, caller: Caller, call: Call, *, trial: bool) -> Check | None:
        """The first permission that the caller lacks; None if the call may go on. Every call is logged."""
        policies = account.policies(caller.role)
        common = account.caller_context(caller)
        refused, note = None, ""
        asked = [
            Check(check.action, check.resource, {**common, **check.context})
            for check in calls.checks(call, account)
        ]
        for check in asked:
            try:
                if not allowed(policies, check):
                    refused = check
            except UnknownOperatorError as error:
                refused, note = check, f"the rehearsal does not know the condition operator {error}"
            if refused:
                break
        entry = {
            "time": round(time.time(), 3),
            "instance": caller.instance_id,
            "role": caller.role,
            "call": call.name,
            "allowed": refused is None,
            "trial": trial,
            "checks": [vars(check) for check in asked],
        }
        if refused is not None:
            entry |= {"permission": refused.action, "resource": refused.resource, "note": note}
        self._write(caller.role, policies, entry)
        return refused

    def _hold(self, call: Call) -> None:
        """Keeps a call waiting while the file "hold" names it, so that a stop can come in its middle.

        A part of an upload can be named as such, as in "s3:PutObject KEY part".
        """
        hold = self._log.with_name("hold")
        name = " ".join((call.name, str(call.params.get("key", "")))).strip()
        names = (name, f"{name} part") if "partNumber" in call.params else (name,)
        deadline = time.monotonic() + HOLD_SECONDS
        with suppress(FileNotFoundError):
            while hold.read_text() in names and time.monotonic() < deadline:
                hold.with_name("held").touch()
                time.sleep(0.02)

    def _write(self, role: str, policies: list[Policy], entry: dict[str, Any]) -> None:
        with self._log_lock:
            if self._known_policies.get(role) != policies:
                self._known_policies[role] = policies
                with self._log.with_name("policies.jsonl").open("a") as file:
                    file.write(json.dumps({"role": role, "policies": policies}) + "\n")
            with self._log.open("a") as file:
                file.write(json.dumps(entry) + "\n")

    def _pass(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        return self._application(environ, start_response)

    def _once(self, environ: dict[str, Any], start_response: StartResponse, call: Call) -> Iterable[bytes]:
        """moto knows no client tokens: the second call with a token gets the first one's answer."""
        token = call.params.get("ClientToken")
        if call.name not in _IDEMPOTENT or not token:
            return self._pass(environ, start_response)
        wanted = hashlib.sha256(json.dumps(call.params, sort_keys=True).encode()).hexdigest()
        with self._token_lock:
            key = (call.name, call.region, str(token))
            if key not in self._answers:
                self._answers[key] = (wanted, [_record(self._application, environ)])
            asked, [(status, headers, body)] = self._answers[key]
            if not status.startswith("200"):
                del self._answers[key]
        if asked != wanted:
            return _refuse(
                environ, start_response, "IdempotentParameterMismatch", "Same token, other request"
            )
        start_response(status, headers)
        return [body]


def _record(application: Application, environ: dict[str, Any]) -> tuple[str, list[Any], bytes]:
    answer: list[Any] = []

    def start(status: str, headers: list[Any], *_: Any) -> None:
        answer.extend((status, headers))

    body = b"".join(application(environ, start))
    return answer[0], answer[1], body


def _body(environ: dict[str, Any]) -> bytes:
    """The request's body, put back for moto. Objects' bytes are left alone: nothing in them is judged."""
    if "/s3/" in environ.get("HTTP_AUTHORIZATION", "") and not calls.deletes_objects(environ):
        return b""
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    return body


_ERROR_CODES = {"ec2": "UnauthorizedOperation", "ssm": "AccessDeniedException"}
_ERROR_CODES["secretsmanager"] = "AccessDeniedException"


def _refuse(
    environ: Mapping[str, Any], start_response: StartResponse, code: str, message: str
) -> Iterable[bytes]:
    """An error in the protocol of the request, so that each SDK raises what it would on AWS."""
    # Read what was sent, or the connection breaks before the client reads the answer.
    remaining = int(environ.get("CONTENT_LENGTH") or 0)
    while remaining > 0 and (chunk := environ["wsgi.input"].read(min(remaining, 1 << 20))):
        remaining -= len(chunk)
    if "HTTP_X_AMZ_TARGET" in environ:
        start_response("400 Bad Request", [("Content-Type", "application/x-amz-json-1.1")])
        return [json.dumps({"__type": code, "message": message, "Message": message}).encode()]
    start_response("403 Forbidden", [("Content-Type", "text/xml")])
    error = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    if "/s3/" in environ.get("HTTP_AUTHORIZATION", ""):
        text = error
    elif "/ec2/" in environ.get("HTTP_AUTHORIZATION", ""):
        text = f"<Response><Errors>{error}</Errors><RequestID>rehearsal</RequestID></Response>"
    else:
        text = f"<ErrorResponse>{error}<RequestId>rehearsal</RequestId></ErrorResponse>"
    return [b"" if environ["REQUEST_METHOD"] == "HEAD" else text.encode()]
