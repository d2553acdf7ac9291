"""Whether the image for training instances is published in this Region."""

from typing import Final

from botocore.exceptions import ClientError

from preflight.account import Account
from preflight.findings import Finding, ok, warning
from stacks.machines import TRAINING_IMAGE

CHECK: Final = "GPU image"


def check(account: Account) -> Finding:
    """The public parameter that the launch template names. It is read at each launch, not at deployment."""
    try:
        image = account.ssm.get_parameter(Name=TRAINING_IMAGE)["Parameter"]["Value"]
    except ClientError as error:
        if error.response["Error"].get("Code") != "ParameterNotFound":
            raise
        return warning(
            CHECK,
            f"{account.region} has no parameter {TRAINING_IMAGE}",
            "launch training instances in another Region",
        )
    return ok(CHECK, image)
