"""The least time that a link and two volumes allow a run, as a formula with its numbers."""

from dataclasses import dataclass

from bench.rigs.disks import MIB, Kind


@dataclass(frozen=True)
class Term:
    """Bytes that have to pass at a rate."""

    name: str
    amount: int
    rate: int
    unit: str = "MiB/s"

    @property
    def seconds(self) -> float:
        """How long that takes at least."""
        return self.amount / self.rate

    @property
    def text(self) -> str:
        """With its numbers."""
        rate = self.rate / (MIB if self.unit == "MiB/s" else 10**6)
        return f"{self.name} {self.amount / 1e6:,.1f} MB / {rate:g} {self.unit} = {self.seconds:.1f} s"


@dataclass(frozen=True)
class Floor:
    """The terms of `together` pass at the same time, so the longest counts; `tail` comes after them."""

    together: tuple[Term, ...]
    tail: Term

    @property
    def seconds(self) -> float:
        """The least time."""
        return max(term.seconds for term in self.together) + self.tail.seconds

    @property
    def text(self) -> str:
        """The formula, with its numbers."""
        terms = ", ".join(term.text for term in self.together)
        return f"max({terms}) + {self.tail.text}; in all {self.seconds:.1f} s"


@dataclass(frozen=True)
class Load:
    """Bytes that a run has to move: archives, the images in them, and packed files.

    `images` is 0 where no loose images are written.
    """

    archives: int
    images: int
    packed: int


def floor(load: Load, work: Kind, dataset: Kind, link: int | None, counted_together: bool = False) -> Floor:
    """The floor of a run; `link` is bytes a second, None where the source holds nobody up.

    While the archives arrive, archives and loose images are written once to the work volume, and the packed
    bytes once, in buckets, to the dataset volume. The tail is merge and verify: merge reads the buckets and
    writes the packed files, verify reads these. A volume's rate holds for reads and for writes each or, with
    `counted_together`, for their sum.
    """
    written = Term("work volume", load.archives + load.images, work.bytes_per_second)
    dealt = Term("dealing", load.packed, dataset.bytes_per_second)
    arriving = (Term("link", load.archives, link, "MB/s"),) if link else ()
    reads, writes = 2 * load.packed, load.packed
    last = reads + writes if counted_together else max(reads, writes)
    return Floor((*arriving, written, dealt), Term("tail", last, dataset.bytes_per_second))
