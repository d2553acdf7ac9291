"""Reading objects in S3."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from botocore.exceptions import IncompleteReadError, ReadTimeoutError, ResponseStreamingError

from prep.aws.retries import Note, Repeats

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

BROKEN = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)


def read_body(get: Callable[[], "GetObjectOutputTypeDef"], operation: str, note: Note) -> bytes:
    """The body of the object that `get` asks for. If its connection breaks, `get` is called again.

    `retries` repeats calls, but not the reading of their bodies.
    """
    repeats = Repeats(operation, note)
    while True:
        try:
            with get()["Body"] as body:
                return body.read()
        except BROKEN as error:
            if not repeats.wait(str(error).rstrip(".")):
                raise
