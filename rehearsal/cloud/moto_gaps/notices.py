"""Subscriptions of topics, which moto does not make from templates. No e-mail leaves the embedded AWS."""

from typing import Any

from moto.core.common_models import CloudFormationModel
from moto.sns.models import sns_backends


def install() -> None:
    """Nothing: moto finds the class below among the subclasses of its model, once this module is imported."""


class TemplateSubscription(CloudFormationModel):
    """AWS::SNS::Subscription."""

    def __init__(self, arn: str) -> None:
        self.physical_resource_id = arn

    @staticmethod
    def cloudformation_name_type() -> str:
        return ""

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::SNS::Subscription"

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        return attr == "Arn"

    @classmethod
    def create_from_cloudformation_json(
        cls,
        resource_name: str,  # noqa: ARG003 (the signature is moto's)
        cloudformation_json: dict[str, Any],
        account_id: str,
        region_name: str,
        **kwargs: Any,  # noqa: ARG003
    ) -> "TemplateSubscription":
        wish = cloudformation_json["Properties"]
        made = sns_backends[account_id][region_name].subscribe(
            wish["TopicArn"], wish["Endpoint"], wish["Protocol"]
        )
        return cls(made.arn)

    @classmethod
    def update_from_cloudformation_json(
        cls,
        original_resource: "TemplateSubscription",
        new_resource_name: str,
        cloudformation_json: dict[str, Any],
        account_id: str,
        region_name: str,
    ) -> "TemplateSubscription":
        original_resource.delete(account_id, region_name)
        return cls.create_from_cloudformation_json(
            new_resource_name, cloudformation_json, account_id, region_name
        )

    @classmethod
    def delete_from_cloudformation_json(
        cls,
        resource_name: str,
        cloudformation_json: dict[str, Any],  # noqa: ARG003
        account_id: str,
        region_name: str,
    ) -> None:
        cls(resource_name).delete(account_id, region_name)

    def delete(self, account_id: str, region_name: str) -> None:
        sns_backends[account_id][region_name].unsubscribe(self.physical_resource_id)
