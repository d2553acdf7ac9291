"""One request to AWS, and what the rows of several tables read from it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Call:
    """One request: "ec2", "CreateVolume" and its parameters, flat as in the query protocol or JSON."""

    service: str
    action: str
    region: str
    params: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.service}:{self.action}"


def ec2_arn(call: Call, account_id: str, kind: str, resource_id: str) -> str:
    # Snapshots and images have no account in their ARN.
    owner = "" if kind in ("snapshot", "image") else account_id
    return f"arn:aws:ec2:{call.region}:{owner}:{kind}/{resource_id}"


def request_tags(call: Call, kind: str) -> dict[str, str]:
    """Tags that the call asks for on resources of a kind ("volume"), from its TagSpecifications."""
    tags = {}
    for key, value in call.params.items():
        match = re.fullmatch(r"TagSpecifications?\.(\d+)\.Tags?\.(\d+)\.Key", key)
        if match and call.params.get(re.sub(r"\.Tags?\..*", ".ResourceType", key)) == kind:
            tags[value] = call.params.get(key.removesuffix("Key") + "Value", "")
    return tags


def tag_context(tags: Mapping[str, str]) -> dict[str, Any]:
    """The condition keys of tags that a call gives."""
    return {f"aws:RequestTag/{key}": value for key, value in tags.items()} | {"aws:TagKeys": list(tags)}


def listed(call: Call, name: str) -> list[str]:
    """The values of a list such as "SecurityGroupId": its members have the names SecurityGroupId.1, .2 …"""
    return [str(value) for key, value in call.params.items() if re.fullmatch(rf"{name}\.\d+", key)]
