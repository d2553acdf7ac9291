"""`python -m bench.rigs.shuffle …`: move the slices of a shuffle on Ray, and do nothing else.

A task a unit makes a slice for each range; a task a range reads its slice of every unit. The slices go
through objects in S3, one for each unit, read by ranged GETs, or through Ray's object store. Prints one line
of JSON: {"seconds": …, "write": …, "read": …}, without the start of the interpreter and of workers.
"""

import json
import time
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING

import boto3
import click
import ray

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONNECTIONS = 4  # of a task that reads slices


@cache
def _client() -> "S3Client":
    return boto3.client("s3")


def _payload(unit: int, size: int) -> bytes:
    """Bytes that differ from unit to unit, and cost next to nothing."""
    return unit.to_bytes(8, "big") * (size // 8 + 1)


def _slices(unit: int, ranges: int, size: int) -> Iterator[bytes]:
    payload = _payload(unit, size)
    return (payload[:size] for _ in range(ranges))


def write_s3(bucket: str, unit: int, ranges: int, size: int) -> None:
    """Put the slices of a unit into one object."""
    _client().put_object(Bucket=bucket, Key=_key(unit), Body=b"".join(_slices(unit, ranges, size)))


def read_s3(bucket: str, number: int, units: int, size: int) -> int:
    """Get a range's slice of every object; returns a checksum of all."""
    place = f"bytes={number * size}-{(number + 1) * size - 1}"

    def get(unit: int) -> bytes:
        return _client().get_object(Bucket=bucket, Key=_key(unit), Range=place)["Body"].read()

    _client()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return _checksum(list(pool.map(get, range(units))))


def write_store(unit: int, ranges: int, size: int) -> list[bytes]:
    """The slices of a unit, each of which becomes an object of Ray's."""
    return list(_slices(unit, ranges, size))


def read_store(*slices: bytes) -> int:
    """Use a range's slices; returns a checksum of all."""
    return _checksum(slices)


def ready() -> None:
    """Start a worker."""
    _client()
    time.sleep(1)


def _key(unit: int) -> str:
    return f"shuffle/{unit % 16:x}/{unit:05d}"


def _checksum(slices: Sequence[bytes]) -> int:
    found = 0
    for piece in slices:
        found = zlib.crc32(piece, found)
    return found


def through_s3(bucket: str, units: int, ranges: int, size: int) -> tuple[float, float]:
    """Seconds of writing and of reading."""
    begun = time.perf_counter()
    write, read = ray.remote(write_s3), ray.remote(read_s3)
    ray.get([write.remote(bucket, unit, ranges, size) for unit in range(units)])
    written = time.perf_counter()
    found = ray.get([read.remote(bucket, number, units, size) for number in range(ranges)])
    _check(found, units, size)
    return written - begun, time.perf_counter() - written


def through_store(units: int, ranges: int, size: int) -> tuple[float, float]:
    """Seconds of writing and of reading."""
    begun = time.perf_counter()
    write, read = ray.remote(write_store).options(num_returns=ranges), ray.remote(read_store)
    rows = [write.remote(unit, ranges, size) for unit in range(units)]
    rows = [row if ranges > 1 else [row] for row in rows]
    ray.wait([row[-1] for row in rows], num_returns=units, fetch_local=False)
    written = time.perf_counter()
    found = ray.get([read.remote(*(row[number] for row in rows)) for number in range(ranges)])
    _check(found, units, size)
    return written - begun, time.perf_counter() - written


def _check(found: Sequence[int], units: int, size: int) -> None:
    """Every range has had every unit's slice."""
    expected = _checksum([_payload(unit, size)[:size] for unit in range(units)])
    if set(found) != {expected}:
        raise RuntimeError("shuffle: a slice is not what was written")


@click.command()
@click.option("--address", required=True, help="The cluster.")
@click.option("--bucket", help="Through S3, by this bucket; else through Ray's object store.")
@click.option("--units", type=int, required=True)
@click.option("--ranges", type=int, required=True)
@click.option("--slice", "size", type=int, required=True, help="Bytes of a slice.")
def main(address: str, bucket: str | None, units: int, ranges: int, size: int) -> None:
    """Move the slices once."""
    ray.init(address=address, log_to_driver=False)
    cpus = int(ray.cluster_resources()["CPU"])
    ray.get([ray.remote(ready).remote() for _ in range(cpus)])
    write, read = through_s3(bucket, units, ranges, size) if bucket else through_store(units, ranges, size)
    print(json.dumps({"seconds": write + read, "write": write, "read": read}))


if __name__ == "__main__":
    from bench.rigs import shuffle  # so that workers find the tasks by the name of their module

    shuffle.main()
