"""The door of the embedded AWS: who calls, may they, and what did they call.

Calls of instances are judged by the policies of the role that was deployed for them. The operator's key
and the roles that the CDK command line assumes may do everything; any other key is refused.
"""

import hashlib
import io
import json
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from rehearsal.cloud import calls
from rehearsal.cloud.callers import Caller, MotoAccount
from rehearsal.cloud.judge import Check, UnknownOperatorError, allowed

StartResponse = Callable[..., Any]
Application = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]

# Calls that AWS makes once however often they are asked with one token.
_IDEMPOTENT = ("ec2:CopyVolumes", "ec2:CreateVolume", "ec2:RunInstances")


class Gate:
    """WSGI middleware around moto."""

    def __init__(self, application: Application, account: MotoAccount, admin_key: str, log: Path) -> None:
        self._application = application
        self._account = account
        self._admin_key = admin_key
        self._log = log
        self._log_lock, self._token_lock = threading.Lock(), threading.Lock()
        self._answers: dict[tuple[str, str, str], tuple[str, list[tuple[str, list[Any], bytes]]]] = {}

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        key = re.search(r"Credential=([^/]+)/", environ.get("HTTP_AUTHORIZATION", ""))
        if key is None or key[1] == self._admin_key:
            return self._pass(environ, start_response)
        caller = self._account.caller(key[1])
        if caller is None and self._account.is_temporary_key(key[1]):
            return self._pass(environ, start_response)
        call = calls.parse(environ, _body(environ))
        if call is None or caller is None:
            return _refuse(environ, start_response, "InvalidClientTokenId", "Unknown access key.")
        refused = self._judge(caller, call)
        if refused is None:
            return self._once(environ, start_response, call)
        why = (
            f"User: {caller.arn} is not authorized to perform: {refused.action} on resource: "
            f"{refused.resource} because no identity-based policy allows the {refused.action} action"
        )
        return _refuse(environ, start_response, _ERROR_CODES.get(call.service, "AccessDenied"), why)

    def _judge(self, caller: Caller, call: calls.Call) -> Check | None:
        """The first permission that the caller lacks; None if the call may go on. Every call is logged."""
        policies = self._account.policies(caller.role)
        common = self._account.caller_context(caller)
        refused, note = None, None
        for check in calls.checks(call, self._account):
            whole = Check(check.action, check.resource, {**common, **check.context})
            try:
                if not allowed(policies, whole):
                    refused = check
            except UnknownOperatorError as error:
                refused, note = check, f"the rehearsal does not know the condition operator {error}"
            if refused:
                break
        self._write(caller, call, refused, note)
        return refused

    def _write(self, caller: Caller, call: calls.Call, refused: Check | None, note: str | None) -> None:
        entry = {
            "instance": caller.instance_id,
            "role": caller.role,
            "call": call.name,
            "allowed": refused is None,
        }
        if refused is not None:
            conditions = {key: value for key, value in refused.context.items() if key != "attached-to"}
            entry |= {"permission": refused.action, "resource": refused.resource, "conditions": conditions}
        if note:
            entry["note"] = note
        with self._log_lock, self._log.open("a") as file:
            file.write(json.dumps(entry) + "\n")

    def _pass(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        return self._application(environ, start_response)

    def _once(
        self, environ: dict[str, Any], start_response: StartResponse, call: calls.Call
    ) -> Iterable[bytes]:
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
    if "/s3/" in environ.get("HTTP_AUTHORIZATION", ""):
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
