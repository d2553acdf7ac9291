"""`make plan`: the settings of a deployment are checked, and planned for."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from preflight.plan import main, wish_of
from prep.errors import CredentialsError
from prep.plan.wish import Wish
from stacks.settings import Settings

OPTIONS = {"link_mb": 30.0, "organize": True, "backup": True, "instances": 1, "days": 1.0}


@pytest.fixture(autouse=True)
def _no_prices_of_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))


def plan(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_defaults_are_those_of_prep_plan() -> None:
    assert wish_of(Settings(), OPTIONS) == Wish()


@pytest.mark.parametrize(
    ("setting", "environment", "region"),
    [
        (None, {}, "us-west-2"),
        (None, {"AWS_DEFAULT_REGION": "eu-west-1"}, "eu-west-1"),
        (None, {"AWS_DEFAULT_REGION": "eu-west-1", "AWS_REGION": "eu-west-3"}, "eu-west-3"),
        ("ap-south-1", {"AWS_REGION": "eu-west-3"}, "ap-south-1"),
    ],
)
def test_the_region_is_that_of_the_deployment(
    setting: str | None,
    environment: dict[str, str],
    region: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (tmp_path / "config").write_text("[default]\nregion = us-west-2\n")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    done = plan(*(("-c", f"region={setting}") if setting else ()))
    assert f"those of {region} differ" in done.stdout


def test_a_profile_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    done = plan()
    assert done.exit_code == CredentialsError.exit_code
    assert "AWS configuration: The config profile (nobody) could not be found: correct it" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert plan("-c", "region=eu-west-1").exit_code == 0


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
