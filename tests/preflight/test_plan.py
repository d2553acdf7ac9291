"""`make plan`: the settings of a deployment are checked, and planned for."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from preflight.plan import main, wish_of
from prep.plan.wish import Wish
from stacks.settings import Settings

OPTIONS = {"link_mb": 30.0, "organize": True, "backup": True, "instances": 1, "days": 1.0}


@pytest.fixture(autouse=True)
def _no_prices_of_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("AWS_REGION", raising=False)


def plan(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_defaults_are_those_of_prep_plan() -> None:
    assert wish_of(Settings(), OPTIONS) == Wish()


def test_settings_and_options() -> None:
    given = ("-c", "resize=256", "-c", "dataset_volume_throughput=500", "-c", "key=new", "--days", "3")
    done = plan(*given, "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    asked = {"resize": 256, "dataset_volume_throughput": 500, "own_key": True, "days": 3.0}
    assert {name: document["settings"][name] for name in asked} == asked
    assert document["month"]["key"] == 1


@pytest.mark.parametrize(
    ("setting", "status", "said"),
    [
        ("quality=0", 2, "setting quality=0: must be 1 to 100"),
        ("resise=1", 2, "the most similar one is resize"),
        ("dataset_volume_throughput=2000", 2, "3000 IOPS allow at most 750 MiB/s"),
        ("prep_instance_type=m6i.large", 2, "no rates are known: use one of t2.large"),
    ],
)
def test_a_wrong_setting_is_one_line(setting: str, status: int, said: str) -> None:
    done = plan("-c", setting)
    assert done.exit_code == status
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
