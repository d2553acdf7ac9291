"""The judge follows IAM's published logic."""

from typing import Any

import pytest

from rehearsal.cloud.judge import Check, UnknownOperatorError, allowed

VOLUME = "arn:aws:ec2:us-east-1:123456789012:volume/vol-1"


def policy(**statement: Any) -> dict[str, Any]:
    return {"Statement": [{"Effect": "Allow", "Action": "ec2:AttachVolume", "Resource": "*", **statement}]}


def condition(operator: str, key: str, value: Any) -> dict[str, Any]:
    return policy(Condition={operator: {key: value}})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (policy(), True),
        (policy(Action="ec2:Attach*"), True),
        (policy(Action="EC2:attachvolume"), True),
        (policy(Action=["ec2:DetachVolume"]), False),
        (policy(Resource="arn:aws:ec2:*:*:volume/*"), True),
        (policy(Resource="arn:aws:ec2:*:*:instance/*"), False),
        (policy(Resource="arn:aws:ec2:*:*:volume/vol-?"), True),
        (policy(Resource="arn:aws:ec2:*:*:volume/vol-??"), False),
        (policy(Resource="arn:aws:ec2:*:*:volume/[v]ol-1"), False),
        ({"Statement": []}, False),
    ],
)
def test_actions_and_resources(given: dict[str, Any], expected: bool) -> None:
    assert allowed([given], Check("ec2:AttachVolume", VOLUME)) is expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (condition("StringEquals", "aws:ResourceTag/dataset", "sample"), True),
        (condition("StringEquals", "AWS:resourcetag/dataset", "sample"), True),
        (condition("StringEquals", "aws:ResourceTag/dataset", "other"), False),
        (condition("StringEquals", "aws:ResourceTag/dataset", ["other", "sample"]), True),
        (condition("StringEquals", "aws:ResourceTag/missing", "sample"), False),
        (condition("StringEqualsIfExists", "aws:ResourceTag/missing", "sample"), True),
        (condition("StringNotEquals", "aws:ResourceTag/missing", "sample"), True),
        (condition("StringNotEquals", "aws:ResourceTag/dataset", "sample"), False),
        (condition("StringLike", "aws:ResourceTag/dataset", "sam*"), True),
        (condition("ArnLike", "ec2:SourceInstanceARN", "arn:*:instance/i-1"), True),
        (condition("Bool", "aws:SecureTransport", "true"), True),
        (condition("Null", "aws:ResourceTag/missing", "true"), True),
        (condition("Null", "aws:ResourceTag/dataset", "true"), False),
        (condition("NumericLessThanEquals", "ec2:VolumeSize", "200"), True),
        (condition("NumericLessThanEquals", "ec2:VolumeSize", "100"), False),
        (condition("ForAllValues:StringEquals", "aws:TagKeys", ["a", "b", "c"]), True),
        (condition("ForAllValues:StringEquals", "aws:TagKeys", ["a"]), False),
        (condition("ForAllValues:StringEquals", "aws:missing", ["a"]), True),
        (condition("ForAnyValue:StringEquals", "aws:TagKeys", ["b", "z"]), True),
        (condition("ForAnyValue:StringEquals", "aws:TagKeys", ["z"]), False),
    ],
)
def test_conditions(given: dict[str, Any], expected: bool) -> None:
    context = {
        "aws:ResourceTag/dataset": "sample",
        "aws:SecureTransport": "true",
        "aws:TagKeys": ["a", "b"],
        "ec2:SourceInstanceARN": "arn:aws:ec2:us-east-1:123456789012:instance/i-1",
        "ec2:VolumeSize": "150",
    }
    assert allowed([given], Check("ec2:AttachVolume", VOLUME, context)) is expected


def test_a_deny_wins_over_any_allow() -> None:
    deny = policy(Effect="Deny", Resource="*/vol-1")
    assert not allowed([policy(), deny], Check("ec2:AttachVolume", VOLUME))
    assert allowed([policy(), deny], Check("ec2:AttachVolume", VOLUME.replace("vol-1", "vol-2")))


def test_a_condition_that_does_not_hold_is_no_deny() -> None:
    elsewhere = condition("StringEquals", "aws:ResourceTag/dataset", "other")
    assert allowed([elsewhere, policy()], Check("ec2:AttachVolume", VOLUME))


def test_policy_variables() -> None:
    own = policy(Resource="arn:aws:ec2:*:*:volume/${aws:PrincipalTag/volume}")
    assert allowed([own], Check("ec2:AttachVolume", VOLUME, {"aws:PrincipalTag/volume": "vol-1"}))
    assert not allowed([own], Check("ec2:AttachVolume", VOLUME))


def test_an_unknown_operator_is_not_passed_over() -> None:
    with pytest.raises(UnknownOperatorError, match="IpAddress"):
        allowed([condition("IpAddress", "aws:SecureTransport", "10.0.0.0/8")], _with_transport())


def _with_transport() -> Check:
    return Check("ec2:AttachVolume", VOLUME, {"aws:SecureTransport": "true"})
