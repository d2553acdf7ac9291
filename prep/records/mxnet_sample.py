"""A sample of the packed records is read with MXNet, which shares no code with this package."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from prep.errors import IntegrityError

SAMPLE = 200  # records of each split that MXNet reads; all of ImageNet would take it a day


class Line(NamedTuple):
    """The line of a record in the list: its number, its label and the name of its image."""

    number: int
    label: float
    name: str


def load_mxnet() -> Any:
    """MXNet's module, which takes a second to import."""
    import mxnet  # needs old versions of Python and NumPy, too: imported only here

    return mxnet


def sample_step(records: int, parts: int) -> int:
    """In a part of that many records, of so many parts of its split, MXNet reads every n-th: that n."""
    return max(1, records // (SAMPLE // parts + 1))


def read_sample(rec: Path, idx: Path, wanted: Sequence[Line], where: Path | str) -> int:
    """Read records of a file with MXNet; returns how many. Messages call the file `where`.

    Raises:
        IntegrityError: MXNet reads another label or id, or can't decode the image.
    """
    mx = load_mxnet()
    reader = mx.recordio.MXIndexedRecordIO(str(idx), str(rec), "r")
    try:
        for number, label, name in wanted:
            header, image = mx.recordio.unpack(reader.read_idx(number))
            if (header.id, header.label) != (number, label):
                raise IntegrityError(
                    f"{where}: MXNet reads another id or label in record {number} ({name}): run pack again"
                )
            if mx.image.imdecode(image).ndim != 3:
                raise IntegrityError(f"{where}: MXNet can't decode record {number} ({name}): run pack again")
    finally:
        reader.close()
    return len(wanted)


def read_raw_sample(records: Sequence[tuple[Line, bytes | memoryview]], where: str) -> int:
    """Read records that are in memory, each whole with its frame and padding, with MXNet; returns how many.

    Raises:
        IntegrityError: as `read_sample`.
    """
    if not records:
        return 0
    with tempfile.TemporaryDirectory(prefix="prep-verify-") as folder:
        rec, idx = Path(folder) / "sample.rec", Path(folder) / "sample.idx"
        offset, places = 0, []
        with rec.open("wb") as file:
            for line, record in records:
                places.append(f"{line.number}\t{offset}\n")
                offset += file.write(record)
        idx.write_text("".join(places))
        return read_sample(rec, idx, [line for line, _ in records], where)
