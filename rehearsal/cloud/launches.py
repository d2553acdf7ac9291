"""What a caller of RunInstances needs: a permission for everything that the launch names or makes.

A launch template completes the request. Condition keys, after the Service Authorization Reference:
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from rehearsal.cloud.call import Call, ec2_arn, listed, request_tags, tag_context
from rehearsal.cloud.judge import Check
from rehearsal.cloud.keys import launch_key_checks

KINDS = ("instance", "volume", "network-interface")  # what a launch makes, and may tag


@dataclass(frozen=True)
class Template:
    """One version of a launch template: its data in the form of RunInstances' own parameters."""

    id: str
    data: Mapping[str, Any]


class Launches(Protocol):
    """What has to be looked up for a launch."""

    @property
    def account_id(self) -> str: ...

    def resource_context(self, resource_id: str) -> dict[str, str]: ...

    def launch_template(self, name_or_id: str, version: str) -> Template | None: ...

    def profile_role(self, name_or_arn: str) -> str:
        """The ARN of an instance profile's role; "" if there is no such profile."""

    def own_key(self, name: str | None) -> str:
        """The ARN of a key if it is a customer's own, else ""."""


@dataclass(frozen=True)
class Launch:
    """A call of RunInstances with its template."""

    call: Call
    account: Launches
    template: Template | None

    def value(self, name: str) -> str:
        """A parameter, of the request or else of the template."""
        return str(self.call.params.get(name) or (self.data.get(name) or ""))

    @property
    def data(self) -> Mapping[str, Any]:
        return self.template.data if self.template else {}

    def context(self, *, overridden: bool) -> dict[str, Any]:
        """The keys of all resources. `overridden`: the request names this one itself.

        https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ExamplePolicies_EC2.html (Launch templates)
        """
        if self.template is None:
            return {}
        arn = ec2_arn(self.call, self.account.account_id, "launch-template", self.template.id)
        return {
            "ec2:LaunchTemplate": arn,
            "ec2:IsLaunchTemplateResource": "false" if overridden else "true",
        }

    def check(self, kind: str, name: str, *, overridden: bool, **more: Any) -> Check:
        found = self.account.resource_context(name) if name != "*" else {}
        context = {**found, **self.context(overridden=overridden), **more}
        return Check(self.call.name, ec2_arn(self.call, self.account.account_id, kind, name), context)

    def tags(self, kind: str) -> dict[str, str]:
        """Those of the template, and over them those of the request."""
        tags: dict[str, str] = {}
        for specification in self.data.get("TagSpecifications", []):
            if specification["ResourceType"] == kind:
                tags |= {tag["Key"]: tag["Value"] for tag in specification["Tags"]}
        return tags | request_tags(self.call, kind)

    @property
    def profile(self) -> str:
        """Name or ARN of the instance profile."""
        asked = self.call.params
        profile = self.data.get("IamInstanceProfile", {})
        given = asked.get("IamInstanceProfile.Arn") or asked.get("IamInstanceProfile.Name")
        return str(given or profile.get("Arn") or profile.get("Name") or "")


def run_instances(call: Call, account: Launches) -> Iterator[Check]:
    """Every permission that the launch needs, beside those for keys."""
    asked = call.params
    name = asked.get("LaunchTemplate.LaunchTemplateId") or asked.get("LaunchTemplate.LaunchTemplateName")
    version = str(asked.get("LaunchTemplate.Version", ""))
    launch = Launch(call, account, account.launch_template(str(name), version) if name else None)
    yield from _new(launch)
    yield from _named(launch)
    yield from _image(launch)
    if launch.profile:
        context = {"iam:PassedToService": "ec2.amazonaws.com"}
        yield Check("iam:PassRole", account.profile_role(launch.profile) or "*", context)
    for disk in launch.data.get("BlockDeviceMappings", []):
        yield from launch_key_checks(call.region, account.own_key(disk.get("Ebs", {}).get("KmsKeyId")))


def _new(launch: Launch) -> Iterator[Check]:
    """Instance, root volume and network interface, and the tags that they get."""
    request = launch.call.params
    names = {"InstanceType": "ec2:InstanceType"}
    own = {key: launch.value(name) for name, key in names.items() if launch.value(name)}
    contexts: dict[str, tuple[bool, dict[str, str]]] = {
        "instance": ("InstanceType" in request, own),
        "volume": (any(key.startswith("BlockDeviceMapping.") for key in request), _disk(launch)),
        "network-interface": ("SubnetId" in request, {}),
    }
    for kind, (overridden, context) in contexts.items():
        tags = launch.tags(kind)
        more: dict[str, Any] = {**context, **(tag_context(tags) if tags else {})}
        check = launch.check(kind, "*", overridden=overridden, **more)
        yield check
        if tags:
            yield Check(
                "ec2:CreateTags", check.resource, {**tag_context(tags), "ec2:CreateAction": "RunInstances"}
            )


def _disk(launch: Launch) -> dict[str, str]:
    """Condition keys of the first volume that the template describes."""
    disks = launch.data.get("BlockDeviceMappings") or [{}]
    facts = disks[0].get("Ebs", {})
    keys = {"VolumeSize": "ec2:VolumeSize", "VolumeType": "ec2:VolumeType", "Encrypted": "ec2:Encrypted"}
    return {key: str(facts[name]).lower() for name, key in keys.items() if name in facts}


def _named(launch: Launch) -> Iterator[Check]:
    """Subnet, security groups and the template itself."""
    if subnet := launch.value("SubnetId"):
        yield launch.check("subnet", subnet, overridden="SubnetId" in launch.call.params)
    given = listed(launch.call, "SecurityGroupId")
    for group in given or launch.data.get("SecurityGroupIds", []):
        yield launch.check("security-group", group, overridden=bool(given))
    if launch.template:
        yield launch.check("launch-template", launch.template.id, overridden=False)


def _image(launch: Launch) -> Iterator[Check]:
    """The image. One that a parameter names is looked up with the caller's permissions.

    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/using-systems-manager-parameter-to-find-AMI.html
    """
    image = launch.value("ImageId")
    overridden = "ImageId" in launch.call.params
    if match := re.fullmatch(r"resolve:ssm:([^:]+)(:.+)?", image):
        owner = "" if match[1].startswith("/aws/") else launch.account.account_id
        name = match[1].removeprefix("/")
        yield Check("ssm:GetParameters", f"arn:aws:ssm:{launch.call.region}:{owner}:parameter/{name}")
        image = "*"
    yield launch.check("image", image or "*", overridden=overridden)
