"""Checking: the tasks that a worker does with one range of records, and with a whole index or list."""

import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import cv2
import numpy as np

from prep.archives import inventory
from prep.cluster.packed_ranges import PackedRange
from prep.cluster.place import Place
from prep.cluster.transfer import read_blocks, read_parallel
from prep.cluster.work import inventory_name
from prep.errors import IntegrityError
from prep.images.messages import messages_kept
from prep.records.examine import Rules, Tally, check_run, examined
from prep.records.mxnet_sample import Line, read_raw_sample
from prep.records.reader import NamedRecord, check_end, read_run
from prep.state.memory_file import MemoryFile


class Sample(NamedTuple):
    """MXNet reads every `step`-th record of a file; `first` is the index of its first record in the split."""

    first: int
    step: int

    def has(self, number: int) -> bool:
        """Whether MXNet reads the record with this number."""
        return (number - self.first) % self.step == 0


@dataclass(frozen=True)
class Checks:
    """What every task gets: where the packed files are, the rules of each split, the sample of each part."""

    packed: Place
    rules: Mapping[str, Rules]
    samples: Mapping[str, Sample]


class Checked(NamedTuple):
    """What the records of a range have shown, and how many of them MXNet has read."""

    tally: Tally
    read_by_mxnet: int


def check(checks: Checks, range_: PackedRange) -> tuple[Checked, "np.ndarray[Any, np.dtype[np.uint8]]"]:
    """Check the records of a range.

    Returns what they have shown, and their bytes, for the digest of the file.

    Raises:
        IntegrityError: a record or a file is not what it should be; the message names it.
        AwsError: S3 refuses or fails.
    """
    cv2.setNumThreads(1)
    packed, split = checks.packed, range_.split
    piece = inventory_name(split, range_.number)
    originals = inventory.parse(packed.get(piece), split, packed.url(piece))
    (rec, place), idx, lst = (range_.place(kind) for kind in ("rec", "idx", "lst"))
    index, names = (io.BytesIO(packed.get_range(file, *extent)) for file, extent in (idx, lst))
    data = read_parallel(partial(packed.read_into, rec), *place)
    records = MemoryFile(data.data.toreadonly())
    located = read_run(records, index, names, packed.url(rec), range_.first, place.offset)
    sampled: list[tuple[Line, memoryview]] = []
    noting = _noting(located, checks.samples[range_.part], data.data, place.offset, sampled)
    with messages_kept():
        tally = check_run(examined(noting), originals, checks.rules[split])
    check_end(index, packed.url(idx[0]), rec)
    check_end(names, packed.url(lst[0]), rec)
    if tally.records != range_.records:
        raise IntegrityError(
            f"{packed.url(rec)}: {tally.records} records in the {place.size} bytes from byte {place.offset} "
            f"on, should be {range_.records}: run pack again"
        )
    return Checked(tally, read_raw_sample(sampled, packed.url(rec))), data


def _noting(
    records: Iterator[NamedRecord],
    sample: Sample,
    data: memoryview,
    offset: int,
    sampled: list[tuple[Line, memoryview]],
) -> Iterator[NamedRecord]:
    """The records; those in the sample are noted. `data` has their bytes, from `offset` of the file on."""
    for located in records:
        record = located.record
        if sample.has(record.id):
            line = Line(record.id, record.label, located.name)
            sampled.append((line, data[record.offset - offset : record.end - offset]))
        yield located


def digest_object(packed: Place, name: str, size: int) -> str:
    """The SHA-256, hexadecimal, of an object of that many bytes.

    Raises:
        IntegrityError: it has fewer bytes.
        AwsError: S3 refuses or fails.
    """
    digest = hashlib.sha256()
    for block in read_blocks(partial(packed.get_range, name), size):
        digest.update(block)
    return digest.hexdigest()
