"""Secrets of templates: moto leaves them out."""

import json
from typing import Any

from moto.core.common_models import CloudFormationModel
from moto.secretsmanager.models import SecretsManagerBackend, secretsmanager_backends


class TemplateSecret(CloudFormationModel):
    """A secret, as a template has it, with a value that is given or generated."""

    def __init__(self, arn: str) -> None:
        self.physical_resource_id = arn

    @staticmethod
    def cloudformation_name_type() -> str:
        return ""

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::SecretsManager::Secret"

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        return attr == "Id"

    def get_cfn_attribute(self, attribute_name: str) -> str:  # noqa: ARG002 (there is only one)
        return self.physical_resource_id

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **_: Any
    ) -> "TemplateSecret":
        backend = secretsmanager_backends[account_id][region_name]
        properties = cloudformation_json["Properties"]
        made = backend.create_secret(
            name=properties.get("Name") or resource_name,
            secret_string=properties.get("SecretString") or _generated(backend, properties),
            secret_binary=None,
            description=properties.get("Description"),
            tags=properties.get("Tags", []),
            kms_key_id=properties.get("KmsKeyId"),
            client_request_token=None,
            replica_regions=[],
            force_overwrite=False,
        )
        return cls(json.loads(made)["ARN"])

    def delete(self, account_id: str, region_name: str) -> None:
        secretsmanager_backends[account_id][region_name].delete_secret(
            self.physical_resource_id, recovery_window_in_days=None, force_delete_without_recovery=True
        )


def _generated(backend: SecretsManagerBackend, properties: dict[str, Any]) -> str:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-secretsmanager-secret-generatesecretstring.html"""
    wish = properties.get("GenerateSecretString", {})
    password = backend.get_random_password(
        password_length=int(wish.get("PasswordLength", 32)),
        exclude_characters=wish.get("ExcludeCharacters", ""),
        exclude_numbers=wish.get("ExcludeNumbers", False),
        exclude_punctuation=wish.get("ExcludePunctuation", False),
        exclude_uppercase=wish.get("ExcludeUppercase", False),
        exclude_lowercase=wish.get("ExcludeLowercase", False),
        include_space=wish.get("IncludeSpace", False),
        require_each_included_type=wish.get("RequireEachIncludedType", True),
    )
    return str(json.loads(password)["RandomPassword"])


def install() -> None:
    """moto finds the class by its type, as it is a subclass of CloudFormationModel."""
