"""Topics: moto leaves the subscriptions of a template out. No e-mail is ever sent."""

from typing import Any

from moto.core.common_models import CloudFormationModel
from moto.sns.models import sns_backends


class TemplateSubscription(CloudFormationModel):
    """A subscription, as a template has it. An e-mail address would first have to confirm it."""

    def __init__(self, arn: str) -> None:
        self.physical_resource_id = arn

    @staticmethod
    def cloudformation_name_type() -> str:
        return ""

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::SNS::Subscription"

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:  # noqa: ARG003 (moto's form)
        return False

    @classmethod
    def create_from_cloudformation_json(  # type: ignore[override]
        cls, _name: str, cloudformation_json: Any, account_id: str, region_name: str, **_: Any
    ) -> "TemplateSubscription":
        properties = cloudformation_json["Properties"]
        made = sns_backends[account_id][region_name].subscribe(
            properties["TopicArn"], properties["Endpoint"], properties["Protocol"]
        )
        return cls(made.arn)

    def delete(self, account_id: str, region_name: str) -> None:
        sns_backends[account_id][region_name].unsubscribe(self.physical_resource_id)


def install() -> None:
    """moto finds the class by its type, as it is a subclass of CloudFormationModel."""
