"""The requests of the model are those that were counted, by kind."""

from bench.scale.cases import IMAGENET, plan
from bench.scale.facts import GET_PRICE, PUT_PRICE
from bench.scale.model import phases
from bench.scale.requests import Counts, of_splits, requests


def test_they_are_those_that_bench_cluster_counted() -> None:
    """8,800 photographs: 82 units and 5 ranges of train, 3 and 1 of validation (2026-11-29)."""
    train = of_splits(Counts(82, 1, 0, 5, 402, 1), 1, digest_known=False)
    validation = of_splits(Counts(3, 1, 0, 1, 3, 1), 1, digest_known=False)

    def both(name: str) -> int:
        return int(getattr(train, name) + getattr(validation, name))

    # What belongs to the job is in both: two GETs, five PUTs, two LISTs.
    assert both("slice_gets") == 405
    assert abs(both("archive_gets") - 174) <= 3
    assert both("entry_puts") == 85
    assert both("piece_puts") == 18
    assert both("journal_puts") - 5 == 189 + 6  # the journal, and the packed files that are no parts
    assert (both("parts"), both("posts")) == (6, 4)
    assert both("lists") - 2 == 6
    assert both("other_gets") - 2 == 12 + 8 + 2  # pieces, journal, HEAD


def test_a_known_digest_needs_no_journal() -> None:
    cut = plan(IMAGENET).cut
    known, unknown = requests(cut, digest_known=True), requests(cut, digest_known=False)
    assert unknown.journal_puts - known.journal_puts == cut.units
    assert known.dollars < unknown.dollars


def test_the_price_is_that_of_two_kinds() -> None:
    made = requests(plan(IMAGENET).cut, digest_known=True)
    assert made.gets + made.puts + made.deletes == made.all
    assert made.dollars == made.gets * GET_PRICE + made.puts * PUT_PRICE


def test_tasks_make_the_requests_that_are_paid() -> None:
    """A unit: its entries and its journal. A range: its part, three pieces, and its journal."""
    cut = plan(IMAGENET).cut
    made = requests(cut, digest_known=True)
    deal, merge = phases(cut)
    assert deal.tasks * deal.puts == 2 * made.entry_puts
    assert merge.tasks * merge.puts == made.parts + made.piece_puts + cut.ranges
    assert merge.tasks * merge.gets == made.slice_gets
