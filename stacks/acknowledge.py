"""Accepts findings of the policy checks (cdk-nag), each with the reason for it."""

from collections.abc import Mapping
from typing import Any

from aws_cdk import Acknowledgment, Stack, Validations
from constructs import IConstruct


def acknowledge(construct: IConstruct, reasons: Mapping[str, str]) -> None:
    """Accepts findings on this construct, given by the IDs of their rules, such as `AwsSolutions-S1`."""
    Validations.of(construct).acknowledge(
        *(Acknowledgment(id=rule, reason=reason) for rule, reason in reasons.items())
    )


def wildcard_finding(construct: IConstruct, resource: str) -> str:
    """The ID of cdk-nag's finding about a policy that has this resource with a wildcard."""
    return f"AwsSolutions-IAM5[Resource::{_flatten(Stack.of(construct).resolve(resource))}]"


def _flatten(value: Any) -> str:
    """A resolved ARN the way cdk-nag writes it: a reference as <Name>, an attribute as <Name.Attribute>."""
    match value:
        case str():
            return value
        case {"Ref": str(name)}:
            return f"<{name}>"
        case {"Fn::GetAtt": [str(name), str(attribute)]}:
            return f"<{name}.{attribute}>"
        case {"Fn::ImportValue": str(name)}:
            return name
        case {"Fn::Join": [str(separator), [*parts]]}:
            return separator.join(_flatten(part) for part in parts)
    raise ValueError(f"no way to name {value} in a finding")
