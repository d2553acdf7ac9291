"""A place in S3: a bucket, and a prefix of the keys in it. Names are what follows the prefix."""

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import IO, TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

from prep.aws import clients
from prep.aws.clients import silent
from prep.aws.errors import aws_errors
from prep.aws.multipart import MISSING
from prep.aws.objects import read_body, read_into
from prep.errors import AwsError, DescriptionError, IntegrityError
from prep.state.files import json_text
from prep.state.memory_file import MemoryFile

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

AT_ONCE = 16  # small objects read at the same time: what they wait for is S3, not this machine
MOST_REMOVED = 1000  # keys in one call, as S3 allows
_MAKING = Lock()


def client() -> "S3Client":
    """The client of this process. Threads share it, but boto3 can't make it in several at a time.

    https://docs.aws.amazon.com/boto3/latest/guide/session.html
    """
    with _MAKING:
        return _client()


@cache
def _client() -> "S3Client":
    return clients.s3()


@dataclass(frozen=True)
class Place:
    """`prefix` ends with a slash, or is empty."""

    bucket: str
    prefix: str

    @classmethod
    def parse(cls, address: str) -> "Place":
        """The place that an address such as s3://bucket/prefix names.

        Raises:
            DescriptionError: it is no such address.
        """
        if "@" in address:  # left out of the message, as it may hold credentials
            raise DescriptionError("the address of a place in S3 must hold no @: leave out what is before it")
        scheme, _, rest = address.partition("://")
        bucket, _, prefix = rest.partition("/")
        if scheme != "s3" or not bucket:
            raise DescriptionError(f"{address}: must be an address like s3://bucket/prefix")
        return cls(bucket, prefix if not prefix or prefix.endswith("/") else prefix + "/")

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"

    def url(self, name: str) -> str:
        """The address of an object."""
        return f"{self}{name}"

    def key(self, name: str) -> str:
        """The key of an object."""
        return self.prefix + name

    def get(self, name: str) -> bytes:
        """An object.

        Raises:
            IntegrityError: it does not exist.
            AwsError: S3 refuses or fails.
        """
        found = self.find(name)
        if found is None:
            raise IntegrityError(f"{self.url(name)}: does not exist: run pack")
        return found

    def find(self, name: str) -> bytes | None:
        """An object, or None if it does not exist.

        Raises:
            AwsError: S3 refuses or fails.
        """
        try:
            operation = f"read {self.url(name)}"
            with aws_errors(operation):
                return read_body(self._getting(name, {}), operation, silent)
        except AwsError as error:
            cause = error.__cause__
            if isinstance(cause, ClientError) and cause.response["Error"].get("Code") in MISSING:
                return None
            raise

    def get_range(self, name: str, offset: int, size: int) -> bytes:
        """`size` bytes of an object from `offset` on.

        Raises:
            IntegrityError: the object has fewer bytes.
            AwsError: it does not exist, or S3 refuses or fails.
        """
        data = bytearray(size)
        self.read_into(name, offset, memoryview(data))
        return bytes(data)

    def read_into(self, name: str, offset: int, target: memoryview) -> None:
        """Fill `target` with the bytes of an object from `offset` on.

        Raises:
            IntegrityError: the object has fewer bytes.
            AwsError: it does not exist, or S3 refuses or fails.
        """
        if not target:
            return
        end = offset + len(target)
        operation = f"read {self.url(name)}"
        with aws_errors(operation):
            get = self._getting(name, {"Range": f"bytes={offset}-{end - 1}"})
            filled = read_into(get, target, operation, silent)
        if filled < len(target):
            raise IntegrityError(f"{self.url(name)}: ends before byte {end}: run pack again")

    def _getting(self, name: str, more: dict[str, Any]) -> "Callable[[], GetObjectOutputTypeDef]":
        return lambda: client().get_object(Bucket=self.bucket, Key=self.key(name), **more)

    def put(self, name: str, data: bytes | memoryview) -> None:
        """Write an object; it appears as a whole.

        Raises:
            AwsError: S3 refuses or fails.
        """
        with aws_errors(f"write {self.url(name)}"):
            body = cast(IO[bytes], MemoryFile(memoryview(data)))
            client().put_object(Bucket=self.bucket, Key=self.key(name), Body=body)

    def put_json(self, name: str, value: object) -> None:
        """Write a value as JSON, in the form of the files on a volume."""
        self.put(name, json_text(value))

    def find_json(self, name: str) -> Any:
        """The value of a JSON object, or None if there is none, or none that can be read."""
        text = self.find(name)
        try:
            return None if text is None else json.loads(text)
        except ValueError:
            return None

    def find_all_json(
        self, names: Iterable[str], convert: Callable[[Any], Any] = lambda found: found
    ) -> list[Any]:
        """`find_json` of many names, in their order; each value that there is is converted at once."""

        def find(name: str) -> Any:
            found = self.find_json(name)
            return None if found is None else convert(found)

        with ThreadPoolExecutor(AT_ONCE, "journal") as pool:
            return list(pool.map(find, names))

    def list(self, under: str) -> dict[str, int]:
        """The size in bytes of each object whose name begins with `under`.

        Raises:
            AwsError: S3 refuses or fails.
        """
        with aws_errors(f"list {self.url(under)}"):
            pages = client().get_paginator("list_objects_v2")
            found = pages.paginate(Bucket=self.bucket, Prefix=self.key(under))
            objects = [each for page in found for each in page.get("Contents", [])]
        return {each["Key"].removeprefix(self.prefix): each["Size"] for each in objects}

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects; those that do not exist count as removed.

        Raises:
            AwsError: S3 refuses or fails.
        """
        left = [*names]
        with aws_errors(f"remove objects from {self}"):
            while left:
                some, left = left[:MOST_REMOVED], left[MOST_REMOVED:]
                answer = client().delete_objects(
                    Bucket=self.bucket,
                    Delete={"Objects": [{"Key": self.key(name)} for name in some], "Quiet": True},
                )
                if errors := answer.get("Errors"):
                    raise AwsError(
                        f"remove {errors[0].get('Key')} from {self}: {errors[0].get('Code')}: allow this "
                        "role to call DeleteObject"
                    )
