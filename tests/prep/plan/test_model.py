"""The model: flows with credit, volumes with requests, and that more never takes less time."""

import random
from dataclasses import fields, replace

import pytest

from prep.plan.machines import MEASURED, Disk, instance_type
from prep.plan.model import MIB, Flow, Machine, Rates, Volume, Work, predict, shared

KIB = 1 << 10
GIB = 1 << 30


def test_a_flow_bursts_while_it_has_credit() -> None:
    flow = Flow(burst=100, base=10, credit=900)  # ten seconds, then the base
    assert flow.seconds(500) == 5
    assert flow.seconds(1000) == 10
    assert flow.seconds(1010) == 11
    assert flow.spent(500, 5) == 450
    assert flow.spent(500, 50) == 0
    assert flow.after(500, 5) == Flow(100, 10, 450)
    assert Flow.steady(10).seconds(1010) == 101


def test_small_requests_cost_a_cold_disk_whole_ones() -> None:
    cold = Disk("sc1", 1024).volume()
    assert (cold.flow.burst, cold.flow.base, cold.flow.credit) == (80 * MIB, 12 * MIB, 1024 * GIB)
    assert cold.counted(100 * MIB, MIB) == 100 * MIB
    assert cold.counted(100 * MIB, MIB // 2) == 200 * MIB
    assert cold.counted(100 * MIB, 4 * MIB) == 100 * MIB  # the kernel cuts them
    assert cold.count(100 * MIB, MIB // 2) == 200


def test_requests_limit_other_volumes_by_their_number_only() -> None:
    volume = Volume("gp3", Flow.steady(125 * MIB), 3000, 256 * KIB)
    assert volume.counted(MIB, 256 * KIB) == MIB
    # 3,000 requests of 4 KiB are 11.7 MiB/s.
    assert volume.flow.seconds(volume.counted(3000 * 4 * KIB, 4 * KIB)) == pytest.approx(1)


def test_sizes_of_volumes_limit_their_rates() -> None:
    assert Disk("sc1", 16384).volume().flow.burst == 250 * MIB
    assert Disk("st1", 16384).volume().flow.base == 500 * MIB
    assert Disk("gp2", 100).volume().flow.burst == 128 * MIB
    assert Disk("gp3", 100, 4000, 500).volume() == Volume("gp3", Flow.steady(500 * MIB), 4000, 256 * KIB)


def test_cores_and_a_device_share_a_part() -> None:
    assert shared(10, 0) == shared(0, 10) == 10
    assert shared(10, 10) == pytest.approx(12.6, abs=0.01)
    assert shared(10, 4) == pytest.approx(10.2, abs=0.02)


def test_bandwidth_of_the_instance_has_a_bucket_for_both_parts() -> None:
    machine = replace(instance_type("t3.large").machine(False), cores=1e9)
    disk = Volume("fast", Flow.steady(1000 * MIB), 1e6, MIB)
    rates = Rates(None, disk, disk, machine=machine)
    run = predict(Work(600 * GIB, 0, 600 * GIB), rates)
    # 1,800 s of 347.5 MB/s, then 86.875 MB/s.
    both = 1200 * GIB
    assert run.arriving.busiest.seconds == pytest.approx(1800 + (both - 1800 * 347.5e6) / 86.875e6)
    assert run.tail.busiest.seconds == pytest.approx(1800 * GIB / 86.875e6)  # no credit is left


def rates_at_random(chance: random.Random) -> Rates:
    def volume() -> Volume:
        kind = chance.choice(["sc1", "st1", "gp3", "gp2"])
        return Disk(kind, chance.randint(125, 16384)).volume()

    network = chance.choice([None, chance.uniform(1e6, 1e10)])
    base = chance.uniform(1e6, 1e9)
    ebs = chance.choice([None, Flow(base * chance.uniform(1, 20), base, chance.uniform(0, 1e12))])
    machine = chance.choice([None, Machine(chance.randint(1, 64), MEASURED, ebs, network)])
    link = chance.choice([None, chance.uniform(1e6, 1e9)])
    return Rates(
        link,
        volume(),
        volume(),
        together=chance.random() < 0.5,
        work_request=chance.uniform(4 * KIB, 2 * MIB),
        dataset_request=chance.uniform(4 * KIB, 2 * MIB),
        unflushed=chance.choice([0, 3 << 29]),
        machine=machine,
        start=chance.uniform(0, 5),
    )


def test_more_work_never_takes_less_time() -> None:
    chance = random.Random(20)  # noqa: S311 - no secret
    grown = [each.name for each in fields(Work) if each.name not in ("backup", "unit")]
    for _ in range(3000):
        archives = round(10 ** chance.uniform(6, 13))
        loose = chance.choice([0, round(archives * chance.uniform(0.5, 1))])
        packed = round(archives * chance.uniform(0.01, 1))
        work = Work(
            archives, loose, packed, chance.randint(1, 10**8), chance.random() < 0.5, archives // 1000
        )
        rates = rates_at_random(chance)
        seconds = predict(work, rates).seconds
        name = chance.choice(grown)
        more = replace(work, **{name: round(getattr(work, name) * chance.uniform(1, 3)) + 1})
        more = replace(more, unit=more.archives // 1000)
        assert predict(more, rates).seconds >= seconds * (1 - 1e-9), (name, work, rates)
        assert predict(replace(work, backup=True), rates).seconds >= seconds * (1 - 1e-9), (work, rates)


def test_a_run_does_not_end_before_the_work_volume_has_all() -> None:
    slow, fast = Volume("slow", Flow.steady(MIB), 1, MIB), Volume("fast", Flow.steady(1000 * MIB), 1e6, MIB)
    work = Work(archives=100 * MIB, loose=100 * MIB, packed=10 * MIB)
    waits = predict(work, Rates(None, slow, fast))
    late = predict(work, Rates(None, slow, fast, unflushed=1 << 40))
    assert waits.arriving.seconds == 200
    assert late.arriving.seconds == 100  # class folders may be late, archives may not
    assert waits.seconds == pytest.approx(200.03)
    assert late.seconds == 200
