"""Plans: costs that grow with the bytes, choices, warnings, and what is refused."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from prep import contract, prices
from prep.datasets import description
from prep.datasets.description import Description, Split
from prep.errors import DescriptionError
from prep.plan import machines
from prep.plan.choices import choices
from prep.plan.plan import make
from prep.plan.sizes import by_quality, packed_bytes, sizes
from prep.plan.wish import Wish

IMAGENET = description.load("ilsvrc2012")
PRICES = prices.shipped()


def of_bytes(archives: dict[str, int]) -> Description:
    """ImageNet with archives of other sizes."""
    changed = {
        archive.file: replace(archive, bytes=archives.get(archive.file, archive.bytes or 0))
        for archive in IMAGENET.archives
    }
    splits = tuple(replace(split, archive=changed[split.archive.file]) for split in IMAGENET.splits)
    return replace(IMAGENET, archives=tuple(changed.values()), splits=splits)


def wish_at_random(chance: random.Random) -> Wish:
    def volume() -> tuple[str, int]:
        return chance.choice(machines.VOLUME_TYPES), chance.randint(125, 16000)

    (work, work_gib), (dataset, dataset_gib) = volume(), volume()
    return Wish(
        prep_instance_type=chance.choice(sorted(machines.instance_types())),
        work_volume_type=work,
        work_volume_gib=work_gib,
        dataset_volume_type=dataset,
        dataset_volume_gib=dataset_gib,
        dataset_volume_throughput=chance.choice([None, 250, 500]) if dataset == "gp3" else None,
        resize=chance.choice([0, 224, 256, 480]),
        quality=chance.randint(1, 100),
        link_mb=chance.uniform(1, 500),
        organize=chance.random() < 0.5,
        backup=chance.random() < 0.5,
        snapshot_of=chance.choice(["packed", "work"]),
    )


def test_more_bytes_never_cost_less_and_never_take_less_time() -> None:
    chance = random.Random(10)  # noqa: S311 - no secret
    for _ in range(1000):
        wish = wish_at_random(chance)
        split: Split = chance.choice(IMAGENET.splits)
        size = round(10 ** chance.uniform(7, 13))
        more = round(size * chance.uniform(1, 4)) + 1
        small, large = (make(wish, of_bytes({split.archive.file: each}), PRICES) for each in (size, more))
        assert large.seconds >= small.seconds, wish
        assert large.dollars >= small.dollars * (1 - 1e-9), wish
        assert sum(large.month.values()) >= sum(small.month.values()), wish
        assert sum(large.month_if_kept.values()) >= sum(small.month_if_kept.values()), wish


def test_packed_bytes_grow_with_side_and_quality_up_to_the_archives() -> None:
    sides = [packed_bytes(10**9, 10**4, side, 90) for side in (1, 64, 224, 256, 374, 375, 480)]
    assert sides == sorted(sides)
    assert sides[-1] == packed_bytes(10**9, 10**4, 0, 90) == pytest.approx(0.905e9, rel=0.01)
    qualities = [by_quality(quality) for quality in range(1, 101)]
    assert qualities == sorted(qualities)
    assert (by_quality(90), by_quality(95)) == (1.0, 1.51)
    assert by_quality(94) == pytest.approx(1.37)
    assert sizes(IMAGENET, 256, 90).packed == pytest.approx(35e9, rel=0.001)
    assert sizes(IMAGENET, 256, 90).measured
    assert not sizes(IMAGENET, 224, 90).measured


def test_cpu_credits_cost_only_what_is_not_earned() -> None:
    fast = Wish(link_mb=500, organize=False, work_volume_type="st1", dataset_volume_throughput=750)
    plan = make(replace(fast, resize=256), IMAGENET, PRICES)
    assert plan.cpu_credits
    surplus = plan.cpu_credits.used - plan.cpu_credits.earned
    assert surplus > 30
    assert plan.cpu_credits.dollars == pytest.approx(surplus / 60 * 0.05)
    assert make(replace(fast, prep_instance_type="m7i.large"), IMAGENET, PRICES).cpu_credits is None


def test_credit_of_the_work_volume_may_run_out() -> None:
    large = of_bytes({"ILSVRC2012_img_train.tar": 1_500_000_000_000})
    wish = Wish(work_volume_gib=3500, link_mb=1000)
    lasts, out = (make(replace(wish, work_volume_gib=gib), large, PRICES) for gib in (4000, 2000))
    assert lasts.volume_credit is not None
    assert out.volume_credit is not None
    assert lasts.volume_credit > 0 == out.volume_credit
    assert out.seconds > lasts.seconds
    assert make(replace(wish, work_volume_type="gp3"), large, PRICES).volume_credit is None


def test_interface_is_told_only_where_it_is_shared() -> None:
    shared, own = (make(Wish(prep_instance_type=t), IMAGENET, PRICES) for t in ("t2.large", "m7i.large"))
    assert own.interface is None
    assert shared.interface
    assert shared.interface.seconds_at_base > shared.run.seconds
    slow = make(Wish(link_mb=1), IMAGENET, PRICES)
    assert slow.interface
    assert slow.interface.seconds_at_base == slow.run.seconds


def test_choices_are_other_than_the_plan() -> None:
    plan = make(Wish(), IMAGENET, PRICES)
    found = {tuple(choice.settings): choice for choice in choices(plan, IMAGENET, PRICES)}
    small = found["resize", "quality", "dataset_volume_gib"]
    assert small.seconds < -1800
    assert small.month < -7
    faster = found[("dataset_volume_throughput",)]
    other = make(Wish(dataset_volume_throughput=500), IMAGENET, PRICES)
    assert faster.seconds == pytest.approx(other.seconds - plan.seconds)
    assert faster.dollars == pytest.approx(other.dollars - plan.dollars)
    assert [choice.settings for choice in choices(other, IMAGENET, PRICES)].count({}) == 0
    assert ("dataset_volume_throughput",) not in {
        tuple(choice.settings) for choice in choices(other, IMAGENET, PRICES)
    }


def test_choices_that_ebs_refuses_are_left_out() -> None:
    little = make(
        Wish(work_volume_type="gp3", work_volume_gib=20, dataset_volume_iops=30000), IMAGENET, PRICES
    )
    found = [choice.settings for choice in choices(little, IMAGENET, PRICES)]
    assert {"dataset_volume_throughput": 500} in found
    # st1 has at least 125 GiB, and 50 GiB of gp3 have at most 25,000 IOPS.
    assert not any({"work_volume_type", "dataset_volume_gib"} & settings.keys() for settings in found)


def test_volumes_that_are_too_small_are_told() -> None:
    plan = make(Wish(work_volume_gib=200, dataset_volume_gib=100), IMAGENET, PRICES)
    assert plan.warnings == (
        "200 GiB of the work volume are too few: it needs about 303 GiB",
        "100 GiB of the dataset volume are too few: it needs about 137 GiB",
    )
    assert make(Wish(), IMAGENET, PRICES).warnings == ()


def test_every_default_is_known() -> None:
    assert contract.PREP_INSTANCE_TYPE in machines.instance_types()
    assert set(machines.instance_types()) <= set(PRICES.instance_hour)
    assert {contract.WORK_VOLUME_TYPE, contract.DATASET_VOLUME_TYPE} <= set(PRICES.volume_gib_month)
    assert contract.TRAINING_INSTANCE_TYPE in PRICES.instance_hour


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (Wish(prep_instance_type="x1.large"), "no rates are known: use one of t2.large"),
        (Wish(work_volume_type="io1"), "volume type io1: plan has no rates for it: use one of gp3"),
        (
            Wish(dataset_volume_throughput=2000),
            "volume gp3 200 GiB 2000 MiB/s: correct its throughput: 3000 IOPS allow at most 750 MiB/s",
        ),
        (Wish(dataset_volume_type="gp2", dataset_volume_throughput=500), "gp2 volume has no setting for thr"),
        (Wish(dataset_volume_type="st1", dataset_volume_iops=3000), "st1 volume has no setting for IOPS"),
        (Wish(work_volume_gib=100), "volume sc1 100 GiB: correct its gib: a sc1 volume has 125 to 16384 GiB"),
    ],
)
def test_what_is_not_known_is_refused(wish: Wish, said: str) -> None:
    with pytest.raises(DescriptionError, match=said):
        make(wish, IMAGENET, PRICES)


def test_sizes_of_archives_must_be_known(tmp_path: Path) -> None:
    path = tmp_path / "set.toml"
    text = (description.SHIPPED / "ilsvrc2012.toml").read_text().replace("bytes = 6744924160\n", "")
    path.write_text(text)
    with pytest.raises(DescriptionError, match=r"ILSVRC2012_img_val.tar has no size: add `bytes` to it"):
        make(Wish(), description.load(str(path)), PRICES)
