"""Reading objects in S3."""

from collections.abc import Callable
from contextlib import closing
from typing import IO, TYPE_CHECKING, TypeVar, cast

from botocore.exceptions import IncompleteReadError, ReadTimeoutError, ResponseStreamingError

from prep.aws.retries import Note, Repeats

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

    Get = Callable[[], GetObjectOutputTypeDef]

BROKEN = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)
# Bytes. urllib3 makes an object of what it reads at once, and a large one lies in new memory each time.
PIECE = 256 << 10
Read = TypeVar("Read")


def read_body(get: "Get", operation: str, note: Note) -> bytes:
    """The body of the object that `get` asks for. If its connection breaks, `get` is called again."""
    return _repeated(get, lambda body: body.read(), operation, note)


def read_into(get: "Get", target: memoryview, operation: str, note: Note) -> int:
    """As `read_body`, but into `target`; returns how many bytes of it are filled."""
    return _repeated(get, lambda body: _fill(body, target), operation, note)


def _fill(body: "StreamingBody", target: memoryview) -> int:
    filled = 0
    while filled < len(target) and (count := body.readinto(cast(IO[bytes], target[filled : filled + PIECE]))):
        filled += count
    return filled


def _repeated(get: "Get", read: "Callable[[StreamingBody], Read]", operation: str, note: Note) -> Read:
    """Call `get`, and read its body. `retries` repeats calls, but not the reading of their bodies."""
    repeats = Repeats(operation, note)
    while True:
        try:
            # Its own `with` gives what is below it, of which the errors are others.
            with closing(get()["Body"]) as body:
                return read(body)
        except BROKEN as error:
            if not repeats.wait(str(error).rstrip(".")):
                raise
