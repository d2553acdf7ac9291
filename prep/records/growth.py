"""Parts of the packed form as they grow: who merges them says what is on disk, who reads them waits for it.

So `verify` can follow `merge` one bucket behind. Only what has been flushed to disk is handed on.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Any

from prep.errors import IntegrityError
from prep.records.manifest import Manifest
from prep.state.layout import Layout

EMPTY = {"rec": 0, "idx": 0, "lst": 0}


class WholePart:
    """A part that is whole; the manifest has the SHA-256 of its files."""

    def __init__(self, layout: Layout, name: str, facts: Manifest) -> None:
        self.name = name
        self.paths = layout.part(name)
        self._files = facts.files

    def open(self, kind: str) -> FileIO:
        """Open one of its files for reading.

        Raises:
            IntegrityError: it is not there.
        """
        with self._errors(kind):
            return self.paths[kind].open("rb", buffering=0)

    def wait_for(self, kind: str, _end: int) -> int:
        """How many bytes of the file can be read: all."""
        with self._errors(kind):
            return self.paths[kind].stat().st_size

    @contextmanager
    def _errors(self, kind: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise IntegrityError(f"{self.paths[kind]}: {error.strerror}: run pack") from error

    def sha256(self, kind: str) -> str | None:
        """The SHA-256 that the manifest has."""
        digest: str | None = self._files.get(self.paths[kind].name, {}).get("sha256")
        return digest

    def expected_bytes(self) -> int:
        """About how large its `.rec` file will be."""
        return self.wait_for("rec", 0)


class GrowingPart(WholePart):
    """A part that is being merged."""

    def __init__(
        self, growth: "Growth", layout: Layout, name: str, expected: int, sizes: Mapping[str, int]
    ) -> None:
        self.name = name
        self.paths = layout.part(name)
        self.sizes = dict(sizes)  # bytes on disk
        self.whole = False
        self.asked = 0  # bytes of the `.rec` file that the reader has asked for
        self._growth = growth
        self._expected = expected
        self._files = {}

    def open(self, kind: str) -> FileIO:
        """Open one of its files for reading, under the name that it has at the moment."""
        with suppress(FileNotFoundError):
            return partial_of(self.paths[kind]).open("rb", buffering=0)
        return super().open(kind)

    def wait_for(self, kind: str, end: int) -> int:
        """Wait until `end` bytes of the file can be read, or it is whole; returns how many can be read.

        Raises:
            PrepError: the merge has failed.
        """
        if kind == "rec":
            self._growth.ask(self, end)
        self._growth.wait(lambda: self.whole or self.sizes[kind] >= end)
        return self.sizes[kind]

    def sha256(self, kind: str) -> str | None:
        """The SHA-256 that was computed while it was written, once it is whole."""
        self._growth.wait(lambda: self.whole)
        return super().sha256(kind)

    def expected_bytes(self) -> int:
        """About how large its `.rec` file will be; never less than it is."""
        return self._expected

    def end(self, files: Mapping[str, Mapping[str, Any]]) -> None:
        """It is whole; these are the facts of its files, as the manifest will have them."""
        self._files = {name: dict(facts) for name, facts in files.items()}
        self.sizes = {kind: files[path.name]["bytes"] for kind, path in self.paths.items()}
        self.whole = True


class Growth:
    """What is being merged: the parts of every split, in order."""

    def __init__(self, followed: bool = False) -> None:
        """`followed` says whether somebody reads behind the merge."""
        self._followed = followed
        self._changed = threading.Condition()
        self._draft: tuple[Manifest, int] | None = None
        self._parts: dict[str, list[GrowingPart]] = {}
        self._whole_splits: set[str] = set()
        self._done = False
        self._failure: BaseException | None = None

    # Those who merge

    def begin(self, draft: Manifest, expected: int) -> None:
        """All but the files is known now: settings, counts of the splits, and about how many bytes it is."""
        self.change(lambda: setattr(self, "_draft", (draft, expected)))

    def begin_part(
        self, layout: Layout, split: str, name: str, expected: int, sizes: Mapping[str, int]
    ) -> GrowingPart:
        """A part begins; so much of its files is there, under their partial names or their own."""
        part = GrowingPart(self, layout, name, expected, sizes)
        self.change(lambda: self._parts.setdefault(split, []).append(part))
        return part

    def end_split(self, split: str) -> None:
        """The split has no more parts."""
        self.change(lambda: self._whole_splits.add(split))

    def end(self) -> None:
        """The manifest is written."""
        self.change(lambda: setattr(self, "_done", True))

    def fail(self, error: BaseException) -> None:
        """One side has failed; the other raises this too, at the next occasion."""
        with self._changed:
            self._failure = self._failure or error
            self._changed.notify_all()

    def change(self, make: Callable[[], object]) -> None:
        """Make a change that others wait for.

        Raises:
            PrepError: those who read have failed.
        """
        with self._changed:
            if self._failure:
                raise self._failure
            make()
            self._changed.notify_all()

    def keep_pace(self, part: GrowingPart, ahead: int) -> None:
        """Wait while the reader, if there is one, is more than `ahead` bytes behind what is on disk.

        Both read from one disk: a merge that runs away leaves the disk idle at its end, while verify, which
        needs the cores, catches up.

        Raises:
            PrepError: the reader has failed.
        """
        if self._followed:
            self.wait(lambda: part.sizes["rec"] - part.asked <= ahead)

    # Those who read

    def ask(self, part: GrowingPart, end: int) -> None:
        """The reader asks for the bytes up to `end`: it has worked on most of what lies before them."""
        with self._changed:
            part.asked = end
            self._changed.notify_all()

    def wait(self, until: Callable[[], bool]) -> None:
        """Wait for a change.

        Raises:
            PrepError: those who merge have failed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._failure or until())
            if self._failure:
                raise self._failure

    def draft(self) -> tuple[Manifest, int]:
        """The manifest as far as it is known before the merge, and about how many bytes will be merged.

        Of the files it names just `classes.tsv`.
        """
        self.wait(lambda: self._draft is not None)
        assert self._draft is not None  # noqa: S101 - waited for
        return self._draft

    def parts(self, split: str) -> Iterator[GrowingPart]:
        """The parts of a split, each as soon as it has begun."""
        number = 0
        while part := self._part(split, number):
            yield part
            number += 1

    def _part(self, split: str, number: int) -> GrowingPart | None:
        begun = self._parts.setdefault(split, [])
        self.wait(lambda: len(begun) > number or split in self._whole_splits)
        return begun[number] if number < len(begun) else None

    def wait_for_end(self) -> None:
        """Wait until the manifest is written."""
        self.wait(lambda: self._done)


def partial_of(path: Path) -> Path:
    """The name that a file has until it is whole."""
    return path.with_name(path.name + ".partial")
