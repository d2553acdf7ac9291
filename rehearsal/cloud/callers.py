"""What the embedded AWS knows about who calls and what is called: read straight from moto's models."""

import json
from dataclasses import dataclass
from typing import Any

from moto.cloudformation.models import cloudformation_backends
from moto.ec2.models import ec2_backends
from moto.iam.models import iam_backends
from moto.kms.models import kms_backends
from moto.s3.models import s3_backends
from moto.secretsmanager.models import secretsmanager_backends
from moto.sns.models import sns_backends
from moto.sts.models import sts_backends

from rehearsal.cloud.judge import Context, Policy
from rehearsal.cloud.launches import Template


@dataclass(frozen=True)
class Caller:
    """An instance, seen as the role it acts for."""

    role: str  # name
    instance_id: str
    arn: str  # of the assumed role
    user_id: str


def account_of(access_key: str, region: str) -> "MotoAccount | None":
    """The account whose temporary key this is; None for a key that nobody was given."""
    for account_id, backends in list(sts_backends.items()):
        if backends["aws"].get_assumed_role_from_access_key(access_key) is not None:
            return MotoAccount(account_id, region)
    return None


@dataclass(frozen=True)
class MotoAccount:
    """One account in one region."""

    account_id: str
    region: str

    @property
    def _ec2(self) -> Any:
        return ec2_backends[self.account_id][self.region]

    def caller(self, access_key: str) -> Caller | None:
        """The instance whose role's temporary key this is; None for every other key."""
        role = sts_backends[self.account_id]["aws"].get_assumed_role_from_access_key(access_key)
        if role is None or not role.session_name.startswith("i-"):
            return None
        name = role.role_arn.rpartition("/")[2]
        return Caller(name, role.session_name, role.arn, role.user_id)

    def policies(self, role: str) -> list[Policy]:
        """The documents of the role's inline and attached policies, as they are deployed now."""
        iam = iam_backends[self.account_id]["aws"]
        documents: list[Policy] = []
        for name in iam.list_role_policies(role):
            _, inline = iam.get_role_policy(role, name)
            documents.append(_document(inline["policy_document"] if isinstance(inline, dict) else inline))
        attached, _ = iam.list_attached_role_policies(role)
        for policy in attached:
            version = next(v for v in policy.versions if v.is_default)
            documents.append(_document(version.document))
        return documents

    def caller_context(self, caller: Caller) -> Context:
        """Condition keys that every call of an instance has. Real calls travel over TLS."""
        instance = f"arn:aws:ec2:{self.region}:{self.account_id}:instance/{caller.instance_id}"
        return {
            "aws:PrincipalArn": f"arn:aws:iam::{self.account_id}:role/{caller.role}",
            "aws:PrincipalAccount": self.account_id,
            "aws:ResourceAccount": self.account_id,
            "aws:userid": caller.user_id,
            "aws:RequestedRegion": self.region,
            "aws:SecureTransport": "true",
            "aws:ViaAWSService": "false",
            "ec2:SourceInstanceARN": instance,
            "ec2:RoleDelivery": "2.0",
        }

    def resource_context(self, resource_id: str) -> dict[str, str]:
        context: dict[str, str] = {}
        for tag in self._ec2.describe_tags(filters={"resource-id": [resource_id]}):
            context[f"aws:ResourceTag/{tag['key']}"] = tag["value"]
            context[f"ec2:ResourceTag/{tag['key']}"] = tag["value"]
        if volume := self._ec2.volumes.get(resource_id):
            context["ec2:VolumeID"] = volume.id
            context["ec2:VolumeSize"] = str(volume.size)
            context["ec2:VolumeType"] = volume.volume_type
            context["ec2:AvailabilityZone"] = volume.availability_zone
            context["ec2:Encrypted"] = str(volume.encrypted).lower()
            if volume.attachment:
                context["attached-to"] = volume.attachment.instance.id
        if snapshot := self._ec2.snapshots.get(resource_id):
            context["ec2:VolumeSize"] = str(snapshot.volume.size)
            context["ec2:Owner"] = snapshot.owner_id
        if instance := self._ec2.get_instance_by_id(resource_id):
            context["ec2:InstanceID"] = instance.id
            context["ec2:InstanceType"] = instance.instance_type
            context["ec2:AvailabilityZone"] = instance.availability_zone
            if instance.iam_instance_profile:
                context["ec2:InstanceProfile"] = instance.iam_instance_profile["Arn"]
        return context

    def secret_arn(self, name_or_arn: str) -> str:
        secret = secretsmanager_backends[self.account_id][self.region].secrets.get(name_or_arn)
        if secret is not None:
            return str(secret.arn)
        return f"arn:aws:secretsmanager:{self.region}:{self.account_id}:secret:{name_or_arn}"

    def stack_arn(self, name_or_arn: str) -> str:
        for stack in cloudformation_backends[self.account_id][self.region].stacks.values():
            if name_or_arn in (stack.name, stack.stack_id):
                return str(stack.stack_id)
        return f"arn:aws:cloudformation:{self.region}:{self.account_id}:stack/{name_or_arn}/*"

    def volumes_at(self, instance_id: str, devices: list[str]) -> list[str]:
        instance = self._ec2.get_instance_by_id(instance_id)
        mapping = instance.block_device_mapping if instance else {}
        return [mapping[device].volume_id for device in devices if device in mapping]

    def has_object(self, bucket: str, key: str) -> bool:
        found = self._s3.buckets.get(bucket)
        return found is not None and found.keys.get(key) is not None

    def ec2_key(self, resource_id: str) -> str:
        """The ARN of the customer's own key of a volume or a snapshot, or ""."""
        found = self._ec2.volumes.get(resource_id) or self._ec2.snapshots.get(resource_id)
        return self.own_key(found.kms_key_id if found else "")

    def bucket_key(self, bucket: str) -> str:
        found = self._s3.buckets.get(bucket)
        rules = (found.encryption or {}).get("Rule", {}) if found else {}
        default = rules.get("ApplyServerSideEncryptionByDefault", {}) if isinstance(rules, dict) else {}
        return self.own_key(default.get("KMSMasterKeyID", ""))

    def topic_key(self, topic_arn: str) -> str:
        topic = sns_backends[self.account_id][self.region].topics.get(topic_arn)
        return self.own_key(topic.kms_master_key_id if topic else "")

    def launch_template(self, name_or_id: str, version: str) -> Template | None:
        """A version of it: a number, "$Latest" or "$Default", which "" stands for."""
        for template in self._ec2.launch_templates.values():
            if name_or_id in (template.id, template.name):
                return Template(template.id, template.get_version(version or "$Default").data)
        return None

    def profile_role(self, name_or_arn: str) -> str:
        for profile in iam_backends[self.account_id]["aws"].instance_profiles.values():
            if name_or_arn in (profile.name, profile.arn) and profile.roles:
                return str(profile.roles[0].arn)
        return ""

    def own_key(self, name: str | None) -> str:
        key = kms_backends[self.account_id][self.region].keys.get((name or "").rpartition("/")[2])
        return str(key.arn) if key and key.key_manager == "CUSTOMER" else ""

    @property
    def _s3(self) -> Any:
        return s3_backends[self.account_id]["aws"]


def _document(text: str) -> Policy:
    document: Policy = json.loads(text)
    return document
