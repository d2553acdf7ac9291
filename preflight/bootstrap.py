"""Whether the account and Region have what the CDK command line needs."""

from typing import Final

from botocore.exceptions import ClientError

from preflight.account import Account
from preflight.findings import Finding, fails, ok

CHECK: Final = "CDK bootstrap"

# The default qualifier: https://docs.aws.amazon.com/cdk/v2/guide/bootstrapping-customizing.html
PARAMETER: Final = "/cdk-bootstrap/hnb659fds/version"
# What a deployment requires, as aws-cdk-lib writes it for each stack into the manifest of the assembly
# (requiresBootstrapStackVersion). A test compares the two.
REQUIRED_VERSION: Final = 6


def check(account: Account) -> Finding:
    """The version of the bootstrap stack."""
    try:
        text = account.ssm.get_parameter(Name=PARAMETER)["Parameter"]["Value"]
    except ClientError as error:
        if error.response["Error"].get("Code") != "ParameterNotFound":
            raise
        return fails(CHECK, f"{account.region} is not bootstrapped", "run `make bootstrap`")
    if not text.isdigit() or int(text) < REQUIRED_VERSION:
        return fails(
            CHECK, f"version {text} is older than {REQUIRED_VERSION}, which is needed", "run `make bootstrap`"
        )
    return ok(CHECK, f"version {text}")
