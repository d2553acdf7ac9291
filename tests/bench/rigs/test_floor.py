"""The floor of a run: its formula on round numbers."""

import pytest

from bench.rigs.disks import MIB, Kind
from bench.rigs.floor import floor, rates
from prep.plan.model import Work

WORK = Kind("slow", 100 * MIB, 100, MIB)
DATASET = Kind("less slow", 200 * MIB, 3000, MIB // 4)
LOAD = Work(archives=1000 * MIB, loose=900 * MIB, packed=800 * MIB)
LINK = 50 * MIB


@pytest.mark.parametrize(
    ("load", "link", "seconds"),
    [
        (LOAD, LINK, 20 + 8),  # the link: 1000/50, then two reads of 800 at 200
        (LOAD, LINK // 2, 40 + 8),
        (LOAD, 2 * LINK, 19 + 8),  # the work volume: (1000 + 900)/100
        (LOAD, None, 19 + 8),
        (Work(1000 * MIB, 0, 800 * MIB), None, 10 + 8),
        (Work(1000 * MIB, 0, 3000 * MIB), None, 15 + 30),  # dealing: 3000/200
    ],
)
def test_the_longest_of_what_goes_together_and_the_tail(load: Work, link: int | None, seconds: float) -> None:
    assert floor(load, rates(WORK, DATASET, link)).seconds == pytest.approx(seconds)


def test_reads_and_writes_counted_together_lengthen_the_tail_only() -> None:
    apart, together = (floor(LOAD, rates(WORK, DATASET, LINK, both)) for both in (False, True))
    assert apart.run.arriving == together.run.arriving
    assert together.tail.seconds == pytest.approx(1.5 * apart.tail.seconds)


def test_the_formula_is_told_with_its_numbers() -> None:
    load = Work(archives=640_000_000, loose=0, packed=100 * MIB)
    assert floor(load, rates(WORK, DATASET, 64_000_000)).text == (
        "max(link 640.0 MB / 64 MB/s = 10.0 s, work volume 640.0 MB / 100 MiB/s = 6.1 s, "
        "dealing 104.9 MB / 200 MiB/s = 0.5 s) + tail 209.7 MB / 200 MiB/s = 1.0 s; in all 11.0 s"
    )
