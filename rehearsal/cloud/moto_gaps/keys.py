"""Keys of KMS: who manages the default one, and those that templates make."""

import json
from typing import Any

from moto.ec2.models import EC2Backend
from moto.kms.models import Key, kms_backends

from rehearsal.cloud.moto_gaps import replace


def install() -> None:
    default_key()
    keys_from_templates()


def default_key() -> None:
    """The key that encrypts when no other is given is AWS's: snapshots under it can't be shared."""

    def make(original: Any) -> Any:
        def create(self: EC2Backend) -> str:
            name = str(original(self))
            kms_backends[self.account_id][self.region_name].describe_key("alias/aws/ebs").key_manager = "AWS"
            return name

        return create

    replace(EC2Backend, "_create_default_encryption_key", make)


def keys_from_templates() -> None:
    """A key of a template may have tags, and its policy can be read and replaced like that of any other."""

    def create(
        _class: Any, /, _name: str, cloudformation_json: Any, account_id: str, region_name: str, **_: Any
    ) -> Key:
        properties = cloudformation_json["Properties"]
        key: Key = kms_backends[account_id][region_name].create_key(
            policy=json.dumps(properties["KeyPolicy"]),
            key_usage="ENCRYPT_DECRYPT",
            key_spec="SYMMETRIC_DEFAULT",
            description=properties.get("Description", ""),
            tags=[{"TagKey": tag["Key"], "TagValue": tag["Value"]} for tag in properties.get("Tags", [])],
        )
        return key

    Key.create_from_cloudformation_json = classmethod(create)  # type: ignore[assignment]
