"""Parts that grow: a reader gets what is on disk, waits for the rest, and neither side outlives the other."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path

import pytest

from prep.errors import IntegrityError, SpaceError
from prep.records.growth import EMPTY, GrowingPart, Growth, partial_of
from prep.records.manifest import Manifest
from prep.state.layout import Layout

LONGEST = 20.0  # seconds; what a test waits for comes in a fraction of one
A_WHILE = 0.2  # seconds in which nothing may happen
DRAFT = Manifest("tiny", "0" * 64, {}, 2, {}, {})
FACTS = {f"train.{kind}": {"bytes": size, "sha256": kind * 4} for kind, size in
         (("rec", 70), ("idx", 7), ("lst", 9))}  # fmt: skip


@pytest.fixture
def growth() -> Growth:
    return Growth(followed=True)


@pytest.fixture
def part(growth: Growth, tmp_path: Path) -> GrowingPart:
    """A part that begins."""
    return growth.begin_part(Layout(tmp_path, tmp_path), "train", "train", 100, EMPTY)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as made:
        yield made


def not_yet(future: "Future[object]") -> bool:
    return not wait([future], A_WHILE).done


def test_reader_waits_for_what_it_asks_for(
    growth: Growth, part: GrowingPart, pool: ThreadPoolExecutor
) -> None:
    wanted = pool.submit(part.wait_for, "rec", 40)
    growth.change(partial(part.sizes.update, {"rec": 30}))
    assert not_yet(wanted)
    growth.change(partial(part.sizes.update, {"rec": 50}))
    assert wanted.result(LONGEST) == 50
    assert part.asked == 40


def test_whole_part_is_given_as_far_as_it_goes(
    growth: Growth, part: GrowingPart, pool: ThreadPoolExecutor
) -> None:
    wanted, digest = pool.submit(part.wait_for, "rec", 1000), pool.submit(part.sha256, "idx")
    assert not_yet(wanted)
    assert not_yet(digest)
    growth.change(partial(part.end, FACTS))
    assert wanted.result(LONGEST) == 70
    assert digest.result(LONGEST) == "idxidxidxidx"
    assert (part.wait_for("lst", 9), part.expected_bytes()) == (9, 100)


def test_parts_come_as_they_begin(growth: Growth, part: GrowingPart, pool: ThreadPoolExecutor) -> None:
    parts = growth.parts("train")
    assert next(parts) is part
    second = pool.submit(next, parts, None)
    assert not_yet(second)
    other = growth.begin_part(Layout(Path(), Path()), "train", "train-00001", 5, EMPTY)
    assert second.result(LONGEST) is other
    last = pool.submit(next, parts, None)
    assert not_yet(last)
    growth.end_split("train")
    assert last.result(LONGEST) is None


def test_draft_and_end(growth: Growth, pool: ThreadPoolExecutor) -> None:
    draft, end = pool.submit(growth.draft), pool.submit(growth.wait_for_end)
    assert not_yet(draft)
    growth.begin(DRAFT, 70)
    assert draft.result(LONGEST) == (DRAFT, 70)
    assert not_yet(end)
    growth.end()
    end.result(LONGEST)


def test_opened_under_the_name_that_it_has(part: GrowingPart) -> None:
    path = part.paths["rec"]
    with pytest.raises(IntegrityError, match=r"train\.rec: No such file"):
        part.open("rec")
    partial_of(path).write_bytes(b"abc")
    with part.open("rec") as file:
        partial_of(path).rename(path)
        assert file.read() == b"abc"
    with part.open("rec") as file:
        assert file.read() == b"abc"


Wait = Callable[[Growth, GrowingPart], object]
WAITS: dict[str, Wait] = {
    "bytes": lambda _, part: part.wait_for("idx", 1),
    "digest": lambda _, part: part.sha256("rec"),
    "draft": lambda growth, _: growth.draft(),
    "parts": lambda growth, _: list(growth.parts("validation")),
    "end": lambda growth, _: growth.wait_for_end(),
}


@pytest.mark.parametrize("waits", WAITS.values(), ids=WAITS)
def test_failure_of_the_merge_reaches_the_reader(
    growth: Growth,
    part: GrowingPart,
    pool: ThreadPoolExecutor,
    waits: Wait,
) -> None:
    waiting = pool.submit(waits, growth, part)
    assert not_yet(waiting)
    growth.fail(SpaceError("full"))
    with pytest.raises(SpaceError, match="full"):
        waiting.result(LONGEST)


def test_failure_of_the_reader_reaches_the_merge(
    growth: Growth, part: GrowingPart, pool: ThreadPoolExecutor
) -> None:
    growth.change(partial(part.sizes.update, {"rec": 50}))
    pace = pool.submit(growth.keep_pace, part, 10)
    assert not_yet(pace)
    growth.fail(IntegrityError("label"))
    growth.fail(SpaceError("what comes of it"))
    with pytest.raises(IntegrityError, match="label"):
        pace.result(LONGEST)
    with pytest.raises(IntegrityError, match="label"):
        growth.change(partial(part.sizes.update, {"rec": 60}))
    assert part.sizes["rec"] == 50


def test_merge_keeps_pace_with_its_reader(
    growth: Growth, part: GrowingPart, pool: ThreadPoolExecutor
) -> None:
    growth.change(partial(part.sizes.update, {"rec": 50}))
    growth.keep_pace(part, 50)
    pace = pool.submit(growth.keep_pace, part, 20)
    assert not_yet(pace)
    assert part.wait_for("rec", 29) == 50
    assert not_yet(pace)
    assert part.wait_for("rec", 30) == 50
    pace.result(LONGEST)


def test_merge_that_nobody_follows_waits_for_nobody(tmp_path: Path) -> None:
    growth = Growth()
    part = growth.begin_part(Layout(tmp_path, tmp_path), "train", "train", 100, EMPTY | {"rec": 1000})
    growth.keep_pace(part, 0)
