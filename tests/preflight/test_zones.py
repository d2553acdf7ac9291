"""Which zone is chosen, and that it stays."""

import pytest

from preflight import zones
from preflight.account import Account
from preflight.findings import Verdict


@pytest.mark.parametrize(
    ("offered", "wanted", "present", "zone", "verdict", "words"),
    [
        (["us-east-1b", "us-east-1c"], None, None, "us-east-1b", Verdict.OK, "the first"),
        (["us-east-1b", "us-east-1c"], "us-east-1c", None, "us-east-1c", Verdict.OK, "as prep_zone says"),
        (["us-east-1b"], "us-east-1a", None, None, Verdict.FAILS, "us-east-1b"),
        ([], None, None, None, Verdict.FAILS, "no zone of this Region offers t2.large"),
        (["us-east-1b", "us-east-1c"], None, "us-east-1c", "us-east-1c", Verdict.OK, "volumes are there"),
        (
            ["us-east-1b", "us-east-1c"],
            "us-east-1b",
            "us-east-1c",
            "us-east-1c",
            Verdict.WARNING,
            "no effect",
        ),
        (["us-east-1b"], None, "us-east-1a", None, Verdict.FAILS, "does not offer t2.large"),
    ],
)
def test_choice(
    offered: list[str],
    wanted: str | None,
    present: str | None,
    zone: str | None,
    verdict: Verdict,
    words: str,
) -> None:
    chosen, finding = zones.choose("t2.large", offered, wanted, present)
    assert (chosen, finding.verdict) == (zone, verdict)
    assert words in f"{finding.found}: {finding.remedy}"


def test_zones_that_offer_a_type(account: Account) -> None:
    assert zones.offering_zones(account, "t2.large") == [f"us-east-1{letter}" for letter in "abcdef"]
    assert zones.offering_zones(account, "g5.xlarge") == [f"us-east-1{letter}" for letter in "abcdf"]
    assert zones.offering_zones(account, "t9.large") == []


def test_training_type_that_is_nowhere_is_a_warning(account: Account) -> None:
    assert zones.check_training(account, "g99.xlarge").verdict is Verdict.WARNING
    found = zones.check_training(account, "g5.xlarge")
    assert found.verdict is Verdict.OK
    assert "us-east-1d, us-east-1f" in found.found


def test_types_of_the_cluster(account: Account) -> None:
    head, worker = zones.check_cluster(account, "m7i.large", "c99.large")
    assert (head.verdict, head.check) == (Verdict.OK, "head zones")
    assert (worker.verdict, worker.check) == (Verdict.WARNING, "worker zones")
    assert worker.remedy == "set another cluster_instance_type before you launch instances"
