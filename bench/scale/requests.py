"""The requests to S3 of `pack --on ray`, by kind, and what they cost."""

from dataclasses import dataclass
from math import ceil

from bench.scale.design import Cut
from bench.scale.facts import GET_PRICE, PUT_PRICE

LISTED = 1000  # objects in an answer of LIST, and in a call of DeleteObjects
HEADER_READS = 1  # small GETs for a unit, to find its boundary; `bench cluster` counts them
SPLIT_GETS = 4  # of a driver that finds no journal: units, digest, upload; and the archive's HEAD


@dataclass(frozen=True)
class Requests:
    """Numbers of requests of a job, all splits.

    `slice_gets` are the shuffle's, `entry_puts` its objects, `piece_puts` pieces of index, list and
    inventory, `parts` UploadPart; `posts` begin and end uploads.
    """

    archive_gets: int
    slice_gets: int
    other_gets: int
    entry_puts: int
    piece_puts: int
    journal_puts: int
    parts: int
    posts: int
    lists: int
    deletes: int

    @property
    def gets(self) -> int:
        """GET and HEAD."""
        return self.archive_gets + self.slice_gets + self.other_gets

    @property
    def puts(self) -> int:
        """PUT, POST and LIST, which have the same price."""
        uploads = self.parts + self.posts + self.lists
        return self.entry_puts + self.piece_puts + self.journal_puts + uploads

    @property
    def all(self) -> int:
        """All, those that cost nothing included."""
        return self.gets + self.puts + self.deletes

    @property
    def dollars(self) -> float:
        """What they cost."""
        return self.gets * GET_PRICE + self.puts * PUT_PRICE


@dataclass(frozen=True)
class Counts:
    """What a split is cut into. `unit_reads`: GETs of a unit; `combines`: objects of a second round."""

    units: int
    unit_reads: int
    combines: int
    ranges: int
    slices: int
    files: int


def requests(cut: Cut, digest_known: bool) -> Requests:
    """The requests of a job without interruptions.

    `digest_known`: that of the archives; else each step of its chain is noted too.
    """
    counts = Counts(cut.units, cut.unit_reads, cut.combines, cut.ranges, cut.slices, cut.files)
    return of_splits(counts, cut.data.splits, digest_known)


def of_splits(counts: Counts, splits: int, digest_known: bool) -> Requests:
    """The requests of so many splits that are cut in this way."""
    units, ranges, files = counts.units, counts.ranges, counts.files
    objects = units + counts.combines
    noted = ranges + (0 if digest_known else units)
    dealt, merged = 2 * objects, 2 * objects + 3 * ranges
    return Requests(
        archive_gets=splits * (units * (counts.unit_reads + HEADER_READS) + 1),
        slice_gets=splits * counts.slices,
        other_gets=splits * (2 * ranges + SPLIT_GETS) + 2,
        entry_puts=splits * objects,
        piece_puts=splits * 3 * ranges,
        journal_puts=splits * (objects + ranges + noted + 1 + 3 * files) + 5,
        parts=splits * ranges,
        posts=splits * 2 * files,
        lists=splits * (ceil(dealt / LISTED) + ceil(merged / LISTED)) + 2,
        deletes=splits * ceil(merged / LISTED),
    )
