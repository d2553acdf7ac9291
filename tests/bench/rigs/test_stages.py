"""Stages of which only a part is done: what is scaled up, and what is not."""

import time
from pathlib import Path

import pytest

from bench.rigs import stages
from bench.rigs.disks import GP3, Disk, Traffic
from bench.rigs.stages import Meter


class Counted(Disk):
    """A disk through which more has gone each time it is asked."""

    asked = 0

    def traffic(self) -> Traffic:
        type(self).asked += 1
        return Traffic(*(100 * self.asked,) * 4)


def test_the_start_is_not_scaled_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter((10.0, 14.0))
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(stages, "drop_caches", lambda _disks: None)
    disk = Counted(Path(), GP3, "", "")
    meter = Meter("article", disk, disk)
    with meter.stage("a quarter of it", share=0.25, start=3.0):
        pass
    stage = meter.stages[0]
    assert stage.seconds == 3 + 1 / 0.25
    assert stage.work == Traffic(*(800,) * 4)
