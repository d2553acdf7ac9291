"""The requests to S3 of `pack --on ray`, by kind, and what they cost."""

from dataclasses import dataclass
from math import ceil

from bench.scale.design import Cut
from bench.scale.facts import GET_PRICE, PUT_PRICE

LISTED = 1000  # objects in an answer of LIST, and in a call of DeleteObjects
HEADER_READS = 3  # small GETs for a unit, to find its boundaries: as counted by `bench cluster`
SPLIT_GETS = 3  # of a driver that finds no journal: units, two digests


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


def requests(cut: Cut, digest_known: bool) -> Requests:
    """The requests of a job without interruptions.

    `digest_known`: that of the archives; else each step of its chain is noted too.
    """
    splits, units, ranges, files = cut.data.splits, cut.units, cut.ranges, cut.files
    noted = ranges + (0 if digest_known else units)
    dealt, merged = 2 * (units + cut.combines), 2 * (units + cut.combines) + 3 * ranges
    return Requests(
        archive_gets=splits * (units * (cut.unit_reads + HEADER_READS) + 1),
        slice_gets=splits * cut.slices,
        other_gets=splits * (2 * ranges + SPLIT_GETS) + 2,
        entry_puts=splits * (units + cut.combines),
        piece_puts=splits * 3 * ranges,
        journal_puts=splits * (units + cut.combines + ranges + noted + 1 + 3 * files) + 5,
        parts=splits * ranges,
        posts=splits * 2 * files,
        lists=splits * (ceil(dealt / LISTED) + ceil(merged / LISTED)) + 2,
        deletes=splits * ceil(merged / LISTED),
    )
