"""The app as a process: what a user sees of a wrong setting, and that the policy checks are at work."""

from pathlib import Path

import pytest

from tests.stacks.conftest import Synthesis, run_app

UNACKNOWLEDGED = """
import app, stacks.policies, stacks.prep
stacks.policies.acknowledge = lambda *_: None
stacks.prep.acknowledge = lambda *_: None
app.main()
"""


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"work_volume_gb": "500"},
            "setting work_volume_gb=500: there is no such setting; the most similar one is work_volume_gib",
        ),
        (
            {"training_instance_type": "p3.2xlarge"},
            "setting training_instance_type=p3.2xlarge: the driver in the GPU image does not support "
            "its old GPU; use G4dn, G5, G6, G6e, P4, P5 or P6",
        ),
        (
            {"dataset": "imagenet"},
            "setting dataset=imagenet: no such description; "
            "use one of ilsvrc2012, or the path of a .toml file",
        ),
    ],
)
def test_a_wrong_setting_is_one_line(tmp_path: Path, settings: dict[str, str], said: str) -> None:
    result = run_app(tmp_path / "out", settings)
    assert (result.returncode, result.stdout, result.stderr) == (2, "", f"{said}\n")
    assert not list(tmp_path.glob("out/*.template.json"))


def test_synthesis_warns_of_nothing(defaults: Synthesis, custom: Synthesis, extras: Synthesis) -> None:
    assert (defaults.stderr, custom.stderr, extras.stderr) == ("", "", "")


def test_a_finding_without_a_reason_fails_synthesis(tmp_path: Path) -> None:
    result = run_app(tmp_path, {}, UNACKNOWLEDGED)
    assert result.returncode != 0
    assert "AwsSolutions-IAM5" in result.stdout + result.stderr
    assert "AwsSolutions-EC29" in result.stdout + result.stderr
