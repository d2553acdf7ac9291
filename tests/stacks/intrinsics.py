"""The policies of synthesized templates, with sample values in place of CloudFormation's functions."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ACCOUNT, REGION = "123456789012", "us-east-1"
HERE = f"{REGION}:{ACCOUNT}"

PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::StackId": f"arn:aws:cloudformation:{HERE}:stack/sample/0123abcd",
    "AWS::StackName": "sample",
    "AWS::URLSuffix": "amazonaws.com",
}
# What a reference to a resource gives, by its type; by default the logical ID in small letters.
NAMES = {
    "AWS::EC2::Instance": "i-0123456789abcdef0",
    "AWS::EC2::LaunchTemplate": "lt-0123456789abcdef0",
    "AWS::EC2::Subnet": "subnet-0123456789abcdef0",
    "AWS::EC2::Volume": "vol-0123456789abcdef0",
    "AWS::SecretsManager::Secret": f"arn:aws:secretsmanager:{HERE}:secret:sample-abcdef",
    "AWS::SNS::Topic": f"arn:aws:sns:{HERE}:sample",
}
# What an attribute other than the ARN gives, by its name.
ATTRIBUTES = {"GroupId": "sg-0123456789abcdef0"}
ARNS = {
    "AWS::IAM::Role": f"arn:aws:iam::{ACCOUNT}:role/sample",
    "AWS::KMS::Key": f"arn:aws:kms:{HERE}:key/01234567-89ab-cdef-0123-456789abcdef",
    "AWS::Logs::LogGroup": f"arn:aws:logs:{HERE}:log-group:sample:*",
    "AWS::S3::Bucket": "arn:aws:s3:::sample-bucket",
    "AWS::SNS::Topic": f"arn:aws:sns:{HERE}:sample",
}


class Templates:
    """All templates of an assembly, because one may import what another exports."""

    def __init__(self, folder: Path) -> None:
        self._templates: dict[str, dict[str, Any]] = {
            path.name.removesuffix(".template.json"): json.loads(path.read_text())
            for path in sorted(folder.glob("*.template.json"))
        }
        if not self._templates:
            raise ValueError(f"{folder}: no templates")

    def statements(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every statement of every policy, with its stack and its resource."""
        for stack, template in self._templates.items():
            for name, resource in template["Resources"].items():
                for statement in _statements(resource.get("Properties", {})):
                    yield f"{stack}/{name}", self.resolve(statement, template)

    def resolve(self, value: Any, template: Mapping[str, Any]) -> Any:
        """The value without functions.

        Raises:
            ValueError: there is no sample for a function.
        """
        match value:
            case [*parts]:
                return [self.resolve(part, template) for part in parts]
            case {"Ref": str(name)}:
                return self._name(name, template)
            case {"Fn::GetAtt": [str(_), str(attribute)]} if attribute in ATTRIBUTES:
                return ATTRIBUTES[attribute]
            case {"Fn::GetAtt": [str(name), "Arn"]}:
                kind = template["Resources"][name]["Type"]
                if kind not in ARNS:
                    raise ValueError(f"{name}: add a sample ARN for {kind}")
                return ARNS[kind]
            case {"Fn::Join": [str(separator), [*parts]]}:
                return separator.join(str(self.resolve(part, template)) for part in parts)
            case {"Fn::Sub": str(text)}:
                return re.sub(r"\$\{([\w:]+)\}", lambda match: self._name(match[1], template), text)
            case {"Fn::ImportValue": name}:
                return self._export(self.resolve(name, template))
            case {"Fn::Select": [index, parts]}:
                return self.resolve(parts, template)[int(index)]
            case {"Fn::Split": [str(separator), text]}:
                return str(self.resolve(text, template)).split(separator)
            case dict() if any(key.startswith("Fn::") for key in value):
                raise ValueError(f"no sample for {json.dumps(value)}")
            case dict():
                return {key: self.resolve(each, template) for key, each in value.items()}
        return value

    def _name(self, name: str, template: Mapping[str, Any]) -> str:
        if name in PSEUDO:
            return PSEUDO[name]
        resource = template["Resources"].get(name)
        return NAMES.get(resource["Type"], name.lower()) if resource else name.lower()

    def _export(self, name: str) -> Any:
        for template in self._templates.values():
            for output in template.get("Outputs", {}).values():
                if "Export" in output and self.resolve(output["Export"]["Name"], template) == name:
                    return self.resolve(output["Value"], template)
        raise ValueError(f"no template exports {name}")


def _statements(value: Any) -> Iterator[dict[str, Any]]:
    """Every statement in the properties of a resource, however deep."""
    match value:
        case {"Statement": [*statements]}:
            yield from statements
        case dict():
            for each in value.values():
                yield from _statements(each)
        case [*parts]:
            for part in parts:
                yield from _statements(part)
