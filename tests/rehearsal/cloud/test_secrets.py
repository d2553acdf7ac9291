"""A secret in a template: made with a generated value, referred to by its ARN, gone with the stack."""

import json

import pytest
from botocore.exceptions import ClientError

from rehearsal.operator.account import Cloud

TEMPLATE = {
    "Resources": {
        "Token": {
            "Type": "AWS::SecretsManager::Secret",
            "Properties": {
                "Description": "a token",
                "GenerateSecretString": {"ExcludePunctuation": True, "PasswordLength": 64},
                "Tags": [{"Key": "dataset", "Value": "sample"}],
            },
        }
    },
    "Outputs": {"Token": {"Value": {"Ref": "Token"}}},
}


def test_a_secret_of_a_template(cloud: Cloud) -> None:
    stacks, secrets = cloud.client("cloudformation"), cloud.client("secretsmanager")
    stacks.create_stack(StackName="s", TemplateBody=json.dumps(TEMPLATE))
    (output,) = stacks.describe_stacks(StackName="s")["Stacks"][0]["Outputs"]
    arn = output["OutputValue"]
    assert arn.startswith("arn:aws:secretsmanager:us-east-1:123456789012:secret:s-Token-")
    value = secrets.get_secret_value(SecretId=arn)["SecretString"]
    assert len(value) == 64
    assert value.isalnum()
    assert secrets.describe_secret(SecretId=arn)["Tags"] == [{"Key": "dataset", "Value": "sample"}]
    stacks.delete_stack(StackName="s")
    with pytest.raises(ClientError, match="ResourceNotFound"):
        secrets.get_secret_value(SecretId=arn)
