"""KMS keys of templates: moto takes tags and policy only in the form of KMS's own calls."""

import json
from typing import Any

from moto.kms.models import Key


def install() -> None:
    original = Key.create_from_cloudformation_json

    def create(_class: Any, /, resource_name: str, cloudformation_json: Any, *args: Any, **more: Any) -> Key:
        properties = dict(cloudformation_json["Properties"])
        properties["KeyPolicy"] = json.dumps(properties["KeyPolicy"])
        properties["Tags"] = [
            {"TagKey": tag["Key"], "TagValue": tag["Value"]} for tag in properties.get("Tags", [])
        ]
        key: Key = original(resource_name, {**cloudformation_json, "Properties": properties}, *args, **more)
        return key

    # In the place of moto's own, which fails for a key with tags.
    Key.create_from_cloudformation_json = classmethod(create)  # type: ignore[assignment,method-assign]
