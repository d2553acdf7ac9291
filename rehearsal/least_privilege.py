"""Least privilege, proven both ways: from what rehearsals have left in their folders `logs`.

Each permission is taken away in turn, and every recorded call is judged again: at least one must be refused,
or nobody needs the permission. `python -m rehearsal.least_privilege FULL CLUSTER` prints docs/least-privilege.md,
from the outputs of `--full` and of `--cluster 2`: what each of them proves are the roles of KINDS.
"""

# ruff: noqa: E501 (the text of a document)

import copy
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rehearsal.cloud.judge import Check, Policy, allowed

AGENT = "the agent of Session Manager"
# What no program of the rehearsal calls, and who calls it on AWS.
ELSEWHERE = {
    "ssm:UpdateInstanceInformation": AGENT,
    "ssmmessages:CreateControlChannel": AGENT,
    "ssmmessages:CreateDataChannel": AGENT,
    "ssmmessages:OpenControlChannel": AGENT,
    "ssmmessages:OpenDataChannel": AGENT,
}
# Roles of which a rehearsal makes every call: the long road, and the one with a cluster.
KINDS = (("prep", "training"), ("head", "worker"))
INTRODUCTION = """\
# Least privilege

`python -m rehearsal.least_privilege FULL CLUSTER` writes this document, from the outputs of
`make rehearse ARGS="--full --output FULL"` and `make rehearse ARGS="--cluster 2 --output CLUSTER"`.
`tests/end_to_end/test_full.py` and `tests/end_to_end/test_cluster.py` compare it with runs of their own. The data set
of the rehearsal is called `sample`. The roles head and worker are those of the optional stack Cluster. ACCOUNT, REGION
and … stand for what differs from one deployment to the next.

## Calls that must be refused

The rehearsal makes each of these calls over HTTP, with temporary credentials of the deployed role. The judge of the
embedded AWS refuses them by the policies of the deployed templates.

| role | call | on | refused, because there is no permission for |
|---|---|---|---|
"""
PERMISSIONS = """
## Permissions, and the first call that needs each

Every call of an instance is recorded, with all that the judge was asked about it. Then each permission is taken away
in turn, one action on one resource at a time, and all calls are judged again. The last column has the first call that
would be refused. The test fails if no call needs a permission.

The rehearsal does not run the agent of Session Manager, which needs
[these permissions](https://docs.aws.amazon.com/systems-manager/latest/userguide/getting-started-add-permissions-to-existing-profile.html).

| role | action | on | if | first call that needs it |
|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Permission:
    """One action on one resource, as a statement of a role's policies allows it."""

    kind: str  # of the role: "prep", "training", "head" or "worker"
    policy: int
    statement: int
    action: str
    resource: str
    conditions: str  # in words

    def place(self, names: Mapping[str, str]) -> tuple[str, str, str, str]:
        """What is the same in every deployment of the same templates."""
        resource = self.resource
        for name, word in names.items():
            resource = resource.replace(name, word)
        return self.kind, self.action, plain(resource), self.conditions


@dataclass
class Role:
    """A role of a rehearsal: its policies, and its calls that were allowed."""

    kind: str
    policies: list[Policy]
    calls: list[tuple[str, list[Check]]] = field(default_factory=list)

    def names(self) -> dict[str, str]:
        """ID of a volume that a policy may name → what it is: "WORK" or "PACKED", by its tag."""
        found = {}
        for _, checks in self.calls:
            for check in checks:
                tag = check.context.get("aws:ResourceTag/dataset-role")
                if ":volume/vol-" in check.resource and tag:
                    found[check.resource.rpartition("/")[2]] = str(tag).upper()
        return found


def roles(logs: Path) -> list[Role]:
    """Every role that made a call, with its policies as they were last."""
    found: dict[str, Role] = {}
    for line in _lines(logs / "policies.jsonl"):
        found[line["role"]] = Role(kind_of(line["role"]), line["policies"])
    for line in _lines(logs / "calls.jsonl"):
        if line["allowed"] and not line["trial"]:
            checks = [Check(**check) for check in line["checks"]]
            found[line["role"]].calls.append((line["call"], checks))
    return list(found.values())


def kind_of(role: str) -> str:
    """Whose role it is, by its name: that of its stack and that of the construct there."""
    parts = {"-prep-": "prep", "-cluster-Head": "head", "-cluster-Worker": "worker"}
    return next((kind for part, kind in parts.items() if part in role), "training")


def permissions(role: Role) -> Iterator[Permission]:
    for number, policy in enumerate(role.policies):
        for index, statement in enumerate(policy["Statement"]):
            for action in _as_list(statement["Action"]):
                for resource in _as_list(statement["Resource"]):
                    conditions = _in_words(statement.get("Condition", {}))
                    yield Permission(role.kind, number, index, action, resource, conditions)


def without(policies: Sequence[Policy], permission: Permission) -> list[Policy]:
    """The policies with this action no longer allowed on this resource; all else is as it was."""
    changed: list[Any] = copy.deepcopy(list(policies))
    statements = changed[permission.policy]["Statement"]
    old = statements.pop(permission.statement)
    actions, resources = _as_list(old["Action"]), _as_list(old["Resource"])
    rest = [action for action in actions if action != permission.action]
    others = [resource for resource in resources if resource != permission.resource]
    statements += [{**old, "Action": rest}] if rest else []
    statements += [{**old, "Action": permission.action, "Resource": others}] if others else []
    return changed


def first_refused(role: Role, permission: Permission) -> str | None:
    """The first recorded call that needs the permission; None if the role can do without it."""
    reduced = without(role.policies, permission)
    for call, checks in role.calls:
        if not all(allowed(reduced, check) for check in checks if _concerns(check, permission)):
            return call
    return None


def _concerns(check: Check, permission: Permission) -> bool:
    return check.action.lower() == permission.action.lower()


def proven(logs: Path) -> tuple[str, ...]:
    """The kinds of roles that this rehearsal proves."""
    there = {role.kind for role in roles(logs)}
    return next(kinds for kinds in reversed(KINDS) if there & set(kinds))


def needs(logs: Path) -> dict[tuple[str, str, str, str], str]:
    """Every permission of the roles that are proven → the first call that needs it; "" if none does."""
    found: dict[tuple[str, str, str, str], str] = {}
    for role in roles(logs):
        if role.kind not in proven(logs):
            continue
        names = role.names()
        for permission in permissions(role):
            call = first_refused(role, permission) or ELSEWHERE.get(permission.action, "")
            place = permission.place(names)
            found[place] = found.get(place) or call
    return dict(sorted(found.items()))


def superfluous(logs: Path) -> list[str]:
    """Permissions that no recorded call needs, in words."""
    return [" ".join(place).strip() for place, call in needs(logs).items() if not call]


def plain(resource: str) -> str:
    """A resource without what differs from one deployment to the next: ids, account, Region."""
    for pattern, word in (
        (r"\b\d{12}\b", "ACCOUNT"),
        (r"[a-z]{2}-[a-z]+-\d\b", "REGION"),
        (r"\b[0-9a-f]{40,}\b", "…"),
        (r"(?<=:stack/)([\w-]+)/[0-9a-f-]{36}", r"\1/…"),
        (r"\b(key)/[0-9a-f-]{36}", r"\1/…"),
        (r"\b(lt|sg|subnet)-[0-9a-f]{17}\b", r"\1-…"),
        (r"(backup)[0-9a-f]{8}-[a-z0-9]+", r"\1-…"),
        (r"(sample-[\w-]+?)[0-9A-F]{8}-\w+", r"\1-…"),
        (r"(:secret:[\w-]+-…)-\w{6}\b", r"\1"),
    ):
        resource = re.sub(pattern, word, resource)
    return resource


def _in_words(conditions: Mapping[str, Mapping[str, Any]]) -> str:
    words = []
    for operator, keys in conditions.items():
        for key, value in keys.items():
            values = " or ".join(str(each) for each in _as_list(value))
            words.append(f"{key} {operator.rpartition(':')[2]} {plain(values)}")
    return "; ".join(words)


def tables(logs: Path) -> tuple[list[str], list[str]]:
    """The rows of a rehearsal: calls that were refused, and permissions."""
    kinds = proven(logs)
    trials = [row for row in json.loads((logs / "forbidden.json").read_text()) if row["role"] in kinds]
    refused = [f"| {row['role']} | {row['call']} | {row['on']} | {row['refused']} |" for row in trials]
    return refused, [_row(*place, call) for place, call in needs(logs).items()]


def document(*rehearsals: Path) -> str:
    """The text of docs/least-privilege.md, from the folders `logs` of rehearsals."""
    found = [tables(logs) for logs in rehearsals]
    refused = [row for rows, _ in found for row in rows]
    needed = [row for _, rows in found for row in rows]
    return INTRODUCTION + "\n".join(refused) + "\n" + PERMISSIONS + "\n".join(needed) + "\n"


def _row(kind: str, action: str, resource: str, conditions: str, call: str) -> str:
    cells = (kind, action, f"`{resource}`", conditions and f"`{conditions}`", call or "**none**")
    return f"| {' | '.join(cells)} |"


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


if __name__ == "__main__":
    print(document(*(Path(output) / "logs" for output in sys.argv[1:])), end="")
