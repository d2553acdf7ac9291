"""What a check found: one line, with the remedy."""

from dataclasses import dataclass
from enum import StrEnum

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from prep.aws.errors import DENIED

# What a call raises that was refused, not answered, or answered by something other than AWS.
CALL_FAILURES = (BotoCoreError, ClientError, ResponseParserError)


class Verdict(StrEnum):
    """Whether the deployment can succeed, as far as a check can tell."""

    OK = "ok"
    WARNING = "warning"  # something to know, or a check that was not possible
    FAILS = "fails"  # the deployment would fail, or the prep service right after it


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    check: str
    verdict: Verdict
    found: str
    remedy: str = ""


def ok(check: str, found: str) -> Finding:
    """Nothing to do."""
    return Finding(check, Verdict.OK, found)


def warning(check: str, found: str, remedy: str = "") -> Finding:
    """The deployment can succeed all the same."""
    return Finding(check, Verdict.WARNING, found, remedy)


def fails(check: str, found: str, remedy: str = "") -> Finding:
    """The deployment would fail."""
    return Finding(check, Verdict.FAILS, found, remedy)


def not_checked(check: str, error: Exception) -> Finding:
    """The finding about a call that was refused or failed. It names the action that the caller lacks."""
    if isinstance(error, ClientError) and is_denied(error):
        action = error.response["Error"].get("Action", error.operation_name)
        return warning(check, f"not checked: you may not call {action}", f"allow {action}")
    return warning(check, f"not checked: {reason(error)}", "run preflight again")


def reason(error: Exception) -> str:
    """Why a call failed, in a few words: what answers for AWS may send a whole page."""
    if isinstance(error, ResponseParserError):
        return "the answer is not one of AWS"
    if not isinstance(error, ClientError):
        return str(error).rstrip(".")
    facts = error.response["Error"]
    message = (facts.get("Message", "").splitlines() or [""])[0][:200].rstrip(".")
    return f"{error.operation_name}: {facts.get('Code', '')}: {message}"


def is_denied(error: ClientError) -> bool:
    """Whether a call failed because the caller may not make it."""
    return error.response["Error"].get("Code") in DENIED
