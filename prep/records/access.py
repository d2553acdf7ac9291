"""Random access to packed images: what a trainer reads. Needs NumPy; to decode, OpenCV and PyTurboJPEG too.

from prep import Records
train = Records("/data", "train")
image, label, name = train[0]
"""

import os
import weakref
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self, overload

import numpy as np
import numpy.typing as npt

from prep.errors import DescriptionError, IntegrityError
from prep.records import manifest
from prep.records.manifest import Manifest
from prep.records.recordio import FRAME, HEADER, image_of
from prep.state.layout import Layout

Integers = npt.NDArray[np.int64]
Order = range | Integers
"""The numbers of the records that a view has, in its order."""

READ_TOGETHER = 64  # samples that an iteration reads at once: 7 MB of ImageNet
TAB, LINE_END, ZERO = b"\t\n0"
DAMAGED = "compare the file with its SHA-256 in MANIFEST.json, and restore it"


class Sample(NamedTuple):
    """An image, its label (the rank of its class), and its name (`<class>/<file>`).

    image: the bytes of the JPEG file; or an RGB array of shape (height, width, 3) of uint8, if decoded.
    """

    image: Any
    label: int
    name: str


class ImageClass(NamedTuple):
    """The class of a label: its wnid, and the words that describe it."""

    wnid: str
    words: str


class Records(Sequence[Sample]):
    """The images of one split, in the order of its `.rec` files; several parts are one sequence.

    It is a map-style data set as PyTorch's DataLoader takes it. `records[a:b:c]`, `shard` and `epoch` give
    views, which share the index. Threads may share an object. Forked processes may, too; a spawned process
    opens the files anew, as pickle carries only folder, split and order.

    Args:
        folder: where the packed files are, such as /data on a training instance; or one `.rec` file, whose
            `.idx` and `.lst` are beside it.
        split: such as "train". One file needs none.
        decode: whether images are RGB arrays instead of the bytes of JPEG files.

    Raises:
        DescriptionError: the folder has no packed files, or no such split; or there is no such file.
        IntegrityError: a file is damaged or missing.
    """

    def __init__(self, folder: str | os.PathLike[str], split: str = "train", *, decode: bool = False) -> None:
        self._folder, self._split, self._decode = Path(folder).absolute(), split, decode
        self._files = _Files(self._folder, split)
        self._order: Order = range(len(self._files.labels))

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self._folder, self._split, self._decode, self._order)

    def __len__(self) -> int:
        return len(self._order)

    @overload
    def __getitem__(self, place: int) -> Sample: ...
    @overload
    def __getitem__(self, place: slice) -> Self: ...
    def __getitem__(self, place: int | slice) -> Sample | Self:
        """A sample, or a view of several.

        Raises:
            IndexError: there is no such sample.
            IntegrityError: it is damaged.
        """
        if isinstance(place, slice):
            return self._view(self._order[place])
        return self.__getitems__([place])[0]

    def __getitems__(self, places: Sequence[int]) -> list[Sample]:
        """Samples; neighbours in the file are read with one request. PyTorch 2 fetches batches with it."""
        numbers = [int(self._order[place]) for place in places]
        found: dict[int, Sample] = {}
        for run in _runs(sorted(set(numbers))):
            found |= zip(run, self._files.read(run, self._decode), strict=True)
        return [found[number] for number in numbers]

    def __iter__(self) -> Iterator[Sample]:
        for first in range(0, len(self), READ_TOGETHER):
            yield from self.__getitems__(range(first, min(first + READ_TOGETHER, len(self))))

    @property
    def labels(self) -> Integers:
        """The label of every sample of this view, without reading images."""
        labels: Integers = self._files.labels[self._numbers()]
        return labels

    def name(self, place: int) -> str:
        """The name of a sample, without reading its image."""
        return self._files.name(int(self._order[place]))

    def stored_bytes(self) -> Integers:
        """The bytes that every sample of this view takes in its `.rec` file, headers included."""
        sizes: Integers = self._files.sizes[self._numbers()]
        return sizes

    def files(self) -> list[tuple[Path, Integers]]:
        """The `.rec` files of the split: path; where each record begins and, last, the size, in bytes."""
        return [(part.path, part.offsets) for part in self._files.parts]

    @property
    def classes(self) -> tuple[ImageClass, ...]:
        """The classes of the data set, by label."""
        return _read_classes(self._files.classes)

    def shard(self, rank: int, world: int) -> Self:
        """Every `world`-th sample, from `rank` on: each sample is in the shard of exactly one rank.

        Shards differ in length by one at most: what evaluation needs.

        Raises:
            ValueError: rank is not one of 0 … world - 1.
        """
        _check_rank(rank, world)
        return self[rank::world]

    def epoch(self, number: int, *, seed: int = 0, rank: int = 0, world: int = 1, block: int = 1) -> Self:
        """The share of `rank` in the shuffled order of an epoch, which depends on (seed, number) alone.

        All shares have the same length, so that no rank waits for another: up to `world` - 1 samples are
        in none of them, other ones in each epoch. With `block`, so many neighbours in the file stay together,
        and a batch takes fewer, larger requests; the file itself is shuffled.

        Raises:
            ValueError: rank is not one of 0 … world - 1, or block is less than 1.
        """
        _check_rank(rank, world)
        if block < 1:
            raise ValueError(f"block is {block}: give 1 or more")
        # NumPy promises that these bits stay the same in all versions; it does not for `permutation`.
        # https://numpy.org/doc/stable/reference/random/compatibility.html
        keys = np.random.Philox(key=[seed, number]).random_raw(-(-len(self) // block))
        order = np.argsort(np.repeat(keys, block)[: len(self)], kind="stable")
        share = len(self) // world
        return self._view(self._numbers()[order[rank * share : (rank + 1) * share]])

    def _numbers(self) -> Integers:
        order = self._order
        return np.arange(order.start, order.stop, order.step) if isinstance(order, range) else order

    def _view(self, order: Order) -> Self:
        view = type(self).__new__(type(self))
        view.__dict__ |= self.__dict__ | {"_order": order}
        return view


def _reopened(folder: Path, split: str, decode: bool, order: Order) -> Records:
    return Records(folder, split, decode=decode)._view(order)


def _check_rank(rank: int, world: int) -> None:
    if not 0 <= rank < world:
        raise ValueError(f"rank {rank} of {world}: give a rank from 0 to world - 1")


def _runs(numbers: Sequence[int]) -> Iterator[range]:
    """Ascending numbers as runs of consecutive ones."""
    first = 0
    for place, number in enumerate(numbers, 1):
        if place == len(numbers) or numbers[place] != number + 1:
            yield range(numbers[first], number + 1)
            first = place


@dataclass(frozen=True)
class _Part:
    """One `.rec` file: where its records begin and, last, its size; and its list of names."""

    path: Path
    descriptor: int
    first: int  # number of its first record in the split
    offsets: Integers
    lines: npt.NDArray[np.uint8]
    names: Integers  # of shape (records, 2): where each name begins and ends in `lines`


class _Files:
    """The parts of one split. `labels` and `sizes` (bytes stored) are by the number of the record."""

    def __init__(self, folder: Path, split: str) -> None:
        if folder.suffix == ".rec":
            if not folder.is_file():
                raise DescriptionError(f"{folder}: there is no such file: give a folder or a .rec file")
            self._open(Layout(folder.parent, folder.parent), [folder.stem], {})
            return
        layout = Layout(folder, folder)
        packed = read_manifest(layout)
        if split not in packed.splits:
            raise DescriptionError(
                f"{folder}: has no split {split!r}: give one of {', '.join(packed.splits)}"
            )
        sizes = {name: facts["bytes"] for name, facts in packed.files.items()}
        self._open(layout, packed.splits[split]["parts"], sizes)

    def _open(self, layout: Layout, parts: Sequence[str], sizes: Mapping[str, int]) -> None:
        """Open the parts; `sizes` gives the bytes that files must have, by name."""
        self.classes = layout.classes
        self.parts = []
        labels = []
        for name in parts:
            part, of_part = _open(layout.part(name), sizes)
            self.parts.append(part)
            weakref.finalize(self, os.close, part.descriptor).atexit = False
            labels.append(of_part)
        self._firsts = np.cumsum([0, *map(len, labels)])[:-1].tolist()
        begins = zip(self.parts, self._firsts, strict=True)
        if sizes and any(part.first != first for part, first in begins if len(part.names)):
            raise IntegrityError(f"{layout.packed}: the numbers of the parts don't follow: {DAMAGED}")
        self.labels = np.concatenate([np.empty(0, np.int64), *labels])
        self.sizes = np.concatenate([np.empty(0, np.int64), *(np.diff(part.offsets) for part in self.parts)])

    def name(self, number: int) -> str:
        part, place = self._at(number)
        begin, end = part.names[place]
        try:
            return part.lines[begin:end].tobytes().decode()
        except UnicodeDecodeError as error:
            lst = part.path.with_suffix(".lst")
            raise IntegrityError(f"{lst}: line {place + 1} is not UTF-8: {DAMAGED}") from error

    def read(self, run: range, decode: bool) -> Iterator[Sample]:
        """The samples of consecutive records, read with one request for each part."""
        while run:
            part, place = self._at(run[0])
            count = min(len(run), len(part.names) - place)
            offsets = part.offsets[place : place + count + 1].tolist()
            begin = offsets[0]
            data = memoryview(_pread(part, begin, offsets[-1] - begin))
            for number, start, end in zip(run, offsets, offsets[1:], strict=False):
                name = self.name(number)
                identity = part.first + place + number - run[0]
                image = _payload(data[start - begin : end - begin], identity, self.labels[number], part, name)
                pixels = _decoded(image, part, name) if decode else image.tobytes()
                yield Sample(pixels, int(self.labels[number]), name)
            run = run[count:]

    def _at(self, number: int) -> tuple[_Part, int]:
        which = bisect_right(self._firsts, number) - 1
        return self.parts[which], number - self._firsts[which]


def _pread(part: _Part, offset: int, size: int) -> bytes:
    pieces = []
    while size:  # Linux reads 2 GiB at most at a time
        piece = os.pread(part.descriptor, size, offset)
        if not piece:
            raise IntegrityError(f"{part.path}: cut short at byte {offset}: {DAMAGED}")
        pieces.append(piece)
        offset, size = offset + len(piece), size - len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _payload(record: memoryview, number: int, label: int, part: _Part, name: str) -> memoryview:
    """The image file in a record, after a check that the record is the one that the index and list mean."""
    found, identity, image = image_of(record, f"{part.path} ({name})")
    if (found, identity) != (label, number):
        raise IntegrityError(f"{part.path}: record {number} ({name}) is not what the index says: {DAMAGED}")
    return image


def _decoded(image: memoryview, part: _Part, name: str) -> npt.NDArray[np.uint8]:
    # Who reads only the bytes of JPEG files needs no OpenCV.
    from prep.images.crop import decode_rgb
    from prep.images.prepare import UnreadableImageError

    try:
        return decode_rgb(image)
    except UnreadableImageError as error:
        raise IntegrityError(f"{part.path}: image {name} can't be decoded: {DAMAGED}") from error


def read_manifest(layout: Layout) -> Manifest:
    """The manifest of the packed files.

    Raises:
        DescriptionError: the folder has none.
        IntegrityError: it is damaged.
    """
    if not layout.manifest.exists():
        raise DescriptionError(
            f"{layout.packed}: has no MANIFEST.json: give the folder of the packed files, "
            "such as /data on a training instance"
        )
    return manifest.read(layout)


def _open(paths: Mapping[str, Path], sizes: Mapping[str, int]) -> tuple[_Part, Integers]:
    """A part and the label of each of its records."""
    for path in paths.values():
        found = path.stat().st_size if path.exists() else None
        expected = sizes.get(path.name, found)
        if found is None or found != expected:
            state = "is missing" if found is None else f"has {found} bytes, MANIFEST.json says {expected}"
            raise IntegrityError(f"{path}: {state}: {DAMAGED}")
    keys, offsets = _columns(paths["idx"])
    lines = _mapped(paths["lst"])
    tabs, ends = np.flatnonzero(lines == TAB), np.flatnonzero(lines == LINE_END)
    if not len(tabs) == 2 * len(ends) == 2 * len(offsets):
        raise IntegrityError(f"{paths['lst']}: has not as many lines as the index: {DAMAGED}")
    names = np.stack([tabs[1::2] + 1, ends], axis=1)
    labels = _integers(lines, tabs[::2] + 1, tabs[1::2], paths["lst"])
    offsets = np.append(offsets, paths["rec"].stat().st_size)
    if offsets[0] != 0 or np.any(np.diff(offsets) < FRAME.size + HEADER.size):
        raise IntegrityError(f"{paths['idx']}: its offsets don't ascend to the size of the .rec: {DAMAGED}")
    first = int(keys[0]) if len(keys) else 0
    if np.any(np.diff(keys) != 1):
        raise IntegrityError(f"{paths['idx']}: its numbers don't ascend by one: {DAMAGED}")
    return _Part(paths["rec"], os.open(paths["rec"], os.O_RDONLY), first, offsets, lines, names), labels


def _mapped(path: Path) -> npt.NDArray[np.uint8]:
    """The bytes of a file. All processes share them: they are those of the page cache."""
    return np.memmap(path, np.uint8, "r") if path.stat().st_size else np.empty(0, np.uint8)


def _columns(path: Path) -> tuple[Integers, Integers]:
    """The two numbers of every line of an index."""
    text = np.fromfile(path, np.uint8)
    tabs, ends = np.flatnonzero(text == TAB), np.flatnonzero(text == LINE_END)
    if len(tabs) != len(ends):
        raise IntegrityError(f"{path}: is not an index: {DAMAGED}")
    begins = np.append(0, ends[:-1] + 1) if len(ends) else ends
    return _integers(text, begins, tabs, path), _integers(text, tabs + 1, ends, path)


def _integers(text: npt.NDArray[np.uint8], begins: Integers, ends: Integers, path: Path) -> Integers:
    """The decimal numbers that stand at these places, digit by digit for all of them at once."""
    values = np.zeros(len(begins), np.int64)
    places = begins.copy()
    while len(rest := np.flatnonzero(places < ends)):
        digits = text[places[rest]] - np.uint8(ZERO)  # anything below "0" becomes more than 9, too
        if digits.max() > 9:
            raise IntegrityError(f"{path}: has something other than whole numbers: {DAMAGED}")
        values[rest] = values[rest] * 10 + digits
        places[rest] += 1
    return values


def _read_classes(path: Path) -> tuple[ImageClass, ...]:
    try:
        rows = [line.split("\t", 2) for line in path.read_text(encoding="utf-8").splitlines()]
        return tuple(ImageClass(wnid, words) for _, wnid, words in rows)
    except (OSError, ValueError) as error:
        raise IntegrityError(f"{path}: missing or damaged: {DAMAGED}") from error
