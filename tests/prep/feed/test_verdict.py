"""The verdict follows from the numbers: what is short is named, and the setting that mends it."""

import re
from dataclasses import replace

import pytest

from prep.feed import verdict
from prep.feed.gpus import Wanted
from prep.feed.loaders import Rate
from prep.feed.verdict import MIB, Measured, Smaller, accelerators, epochs, judge
from prep.feed.volume import Reading

IMAGE = 114_660


def mib(rate: float) -> Reading:
    """A second at so many MiB/s, in requests of 256 KiB."""
    return Reading(int(rate * MIB), int(rate * MIB / IMAGE), 1.0, int(rate * 4))


def rate(images: float, processes: int = 8) -> Rate:
    return Rate(processes, int(images), 1.0)


# A machine that has plenty of everything: 8 cores that decode 4,000 images/s.
PLENTY = Measured(
    images=1_281_167,
    size=1_281_167 * IMAGE,
    fits=True,
    cores=8,
    loaders=8,
    first_stream=mib(1000),
    first_records=mib(900),
    later_stream=mib(1000),
    later_records=mib(900),
    requests=Reading(0, 16_000, 1.0),
    memory_records=mib(4000),
    decoding={1: rate(500, 1), 8: rate(4000)},
    first_batches=rate(3900),
    later_batches=rate(3900),
    smaller=Smaller(0.25, 2.0),
)
WANTED = Wanted(3000.0, "a test")


def remedies(found: Measured, wanted: Wanted = WANTED) -> tuple[str, str]:
    first, later = judge(found, wanted)
    return " / ".join(first.remedies), " / ".join(later.remedies)


def test_plenty_feeds() -> None:
    assert [answer.starves for answer in judge(PLENTY, WANTED)] == [False, False]
    assert remedies(PLENTY) == ("", "")


def test_lazy_loading_starves_the_first_epoch_only() -> None:
    found = replace(PLENTY, first_stream=mib(60), first_batches=rate(540))
    first, later = judge(found, WANTED)
    assert (first.starves, later.starves) == (True, False)
    assert first.epoch.limit == verdict.LOADING
    assert first.remedies[0].startswith(
        'make deploy STACKS=Training SETTINGS="initialization_rate=300" with your other settings, then new'
    )
    assert "restored_volume" not in remedies(found)[0]  # blocks that are there come fast enough


def test_a_second_setting_keeps_the_first() -> None:
    """A deployment without it would undo it."""
    found = replace(PLENTY, fits=False, first_stream=mib(50), later_stream=mib(125), first_batches=rate(400))
    first, _ = judge(found, WANTED)
    assert '"initialization_rate=300"' in first.remedies[0]
    assert '"initialization_rate=300 restored_volume_throughput=361 restored_' in first.remedies[1]


def test_a_slow_volume_names_throughput_and_the_iops_that_it_needs() -> None:
    found = replace(
        PLENTY, fits=False, first_stream=mib(125), later_stream=mib(125),
        requests=Reading(0, 3000, 1.0), first_batches=rate(1100), later_batches=rate(1100),
    )  # fmt: skip
    first, later = judge(found, WANTED)
    assert first.epoch.limit == later.epoch.limit == verdict.THROUGHPUT
    # 3,000 images of 114,660 bytes and a tenth more are 361 MiB; gp3 wants 4 IOPS for each.
    for text in remedies(found):
        settings = "restored_volume_throughput=361 restored_volume_iops=3000"
        assert f'make deploy STACKS=Training SETTINGS="{settings}" with your other' in text
        assert "--resize 256 --quality 90" in text


def test_what_gp3_gives_by_default_is_no_setting() -> None:
    found = replace(PLENTY, first_stream=mib(20), later_stream=mib(20), first_batches=rate(180))
    text, _ = remedies(found, Wanted(300.0, "a few"))
    assert "37 MiB/s are needed, and gp3 gives 125 by default: look at the volume's type" in text
    assert "SETTINGS" not in text


@pytest.mark.parametrize(
    ("loaders", "images", "remedy"),
    [
        (8, 2000, "memory gives 2,195 images/s: use fewer GPUs"),
        (2, 500, "--loaders 8: 2 read 549 images/s from memory"),
    ],
)
def test_memory_that_is_too_slow_is_no_matter_of_the_volume(loaders: int, images: int, remedy: str) -> None:
    found = replace(
        PLENTY, loaders=loaders, memory_records=mib(30), later_batches=rate(images),
        decoding={2: rate(3500, 2), 8: rate(4000)},
    )  # fmt: skip
    _, later = judge(found, WANTED)
    assert later.epoch.limit == verdict.MEMORY
    assert later.remedies[0].startswith(remedy)
    assert not re.search("gp3|SETTINGS|volume", " ".join(later.remedies))


def test_memory_is_read_by_all_loaders_at_once() -> None:
    """One reads 2,744 images/s, less than the 4,000 that eight decode."""
    found = replace(PLENTY, memory_records=mib(300), later_batches=rate(2700))
    assert epochs(found)[1].limit == verdict.CORES
    assert accelerators(found)["memory"] == pytest.approx(8 * 300 / 175.7, rel=0.01)


def test_few_requests_are_told_from_few_bytes() -> None:
    found = replace(PLENTY, first_stream=mib(20), later_stream=mib(20), requests=Reading(0, 80, 1.0))
    found = replace(found, first_batches=rate(180))
    assert epochs(found)[0].limit == verdict.REQUESTS


def test_what_does_not_fit_into_memory_is_read_from_the_volume_again() -> None:
    found = replace(
        PLENTY, fits=False, later_stream=mib(125), first_stream=mib(125), later_batches=rate(1100)
    )
    assert epochs(found)[1].limit == verdict.THROUGHPUT
    assert epochs(PLENTY)[1].limit == verdict.CORES  # memory is faster than the cores


def test_few_loaders_on_many_cores() -> None:
    found = replace(PLENTY, loaders=1, first_batches=rate(480, 1), later_batches=rate(480, 1))
    text = remedies(found)[1]
    assert text.startswith("--loaders 8: decode 4,000")
    assert "larger instance" not in text


def test_few_cores_want_more() -> None:
    found = replace(
        PLENTY, cores=2, loaders=2, decoding={1: rate(300, 1), 2: rate(600, 2)},
        first_batches=rate(580, 2), later_batches=rate(590, 2),
    )  # fmt: skip
    text = remedies(found)[1]
    assert "about 11 such cores" in text  # 3,000 and a tenth, at 300 a core
    assert "about 1,200 images/s" in text  # of 256/90, measured


def test_loaders_that_wait_and_decode_in_turn() -> None:
    found = replace(PLENTY, first_stream=mib(400), later_stream=mib(400), first_batches=rate(1800))
    first, _ = judge(found, WANTED)
    assert first.epoch.limit == verdict.LOADERS
    assert first.remedies[0].startswith("--loaders 16")


def test_no_volume_gives_what_is_too_much() -> None:
    found = replace(PLENTY, fits=False, decoding={8: rate(90_000)}, later_batches=rate(7000))
    assert "no gp3 volume gives" in remedies(found, Wanted(40_000.0, "many"))[1]


@pytest.mark.parametrize(("mib_per_second", "count"), [(352, 2.0), (176, 1.0), (88, 0.5)])
def test_accelerators_of_mlperf_storage(mib_per_second: float, count: float) -> None:
    """One needs 0.9 * 400 / 0.224 samples of 114,660 bytes: 175.7 MiB/s."""
    found = replace(PLENTY, first_stream=mib(mib_per_second))
    assert accelerators(found)["volume, first epoch"] == pytest.approx(count, rel=0.01)
    assert accelerators(PLENTY)["decoding"] == pytest.approx(4000 / 1607.14, rel=0.001)
