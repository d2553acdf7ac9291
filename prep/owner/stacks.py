"""The stacks of a data set as CloudFormation has them: what is in them, and deleting them."""

import json
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from prep import contract
from prep.aws.errors import aws_errors
from prep.aws.retries import Note
from prep.errors import AwsError, DescriptionError
from prep.owner.account import Account, find_stack
from prep.progress import duration

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import StackResourceSummaryTypeDef

# The order of deletion: the others use what dataset exports.
PARTS: Final = tuple(reversed(contract.STACK_PARTS))
DELETE, RETAIN, SNAPSHOT = "delete", "retain", "snapshot"
GONE = "DELETE_COMPLETE"
PAUSE = 5.0
LINE_SECONDS = 30.0
# The snapshot of a 1000 GB volume is the longest part, and AWS publishes no rate for it.
LONGEST_SECONDS = 12 * 3600.0


@dataclass(frozen=True)
class Resource:
    """A resource of a stack, and what its deletion policy does: delete, retain or snapshot."""

    type: str
    logical: str
    physical: str
    action: str


@dataclass(frozen=True)
class Stack:
    """A stack that is there; its ID still names it after its deletion."""

    name: str
    id: str
    status: str
    resources: list[Resource]


def find_stacks(account: Account, dataset: str, parts: Collection[str] = PARTS) -> list[Stack]:
    """The data set's stacks that are there, those of `parts`, in the order of deletion.

    Raises:
        DescriptionError: a stack of that name lacks the tag that all stacks of the data set have.
    """
    stacks = []
    for part in (each for each in PARTS if each in parts):
        found = find_stack(account, contract.stack_name(dataset, part))
        if found is not None:
            if {"Key": contract.TAG_DATASET, "Value": dataset} not in found.get("Tags", []):
                raise DescriptionError(
                    f"destroy: the stack {found['StackName']} has no tag {contract.TAG_DATASET}={dataset}: "
                    "it is not of this data set: give another --dataset, --environment or --region"
                )
            resources = _resources(account, found["StackId"])
            stacks.append(Stack(found["StackName"], found["StackId"], found["StackStatus"], resources))
    return stacks


def _resources(account: Account, stack: str) -> list[Resource]:
    with aws_errors(f"read the template of the stack {stack}"):
        body: Any = account.cloudformation.get_template(StackName=stack)["TemplateBody"]
    template = json.loads(body) if isinstance(body, str) else body
    policies = {
        logical: resource.get("DeletionPolicy", "Delete").lower()
        for logical, resource in template.get("Resources", {}).items()
    }
    return [
        Resource(
            each["ResourceType"],
            each["LogicalResourceId"],
            each["PhysicalResourceId"],
            policies.get(each["LogicalResourceId"], DELETE),
        )
        for each in _summaries(account, stack)
        if each["ResourceStatus"] != GONE and each.get("PhysicalResourceId")  # others are not made yet
    ]


def _summaries(account: Account, stack: str) -> "list[StackResourceSummaryTypeDef]":
    with aws_errors(f"list the resources of the stack {stack}"):
        pages = account.cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
        return [each for page in pages for each in page["StackResourceSummaries"]]


def delete(
    account: Account,
    stack: Stack,
    note: Note,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Delete a stack and wait until it is gone.

    Raises:
        AwsError: CloudFormation could not delete it, with its own reason; or it took too long.
    """
    note(f"destroy: {stack.name}: deleting")
    with aws_errors(f"delete the stack {stack.name}"):
        account.cloudformation.delete_stack(StackName=stack.id)
    begun = said = clock()
    last = ""
    while clock() - begun < LONGEST_SECONDS:
        found = find_stack(account, stack.id)
        if found is None or found["StackStatus"] == GONE:
            note(f"destroy: {stack.name}: gone ({duration(clock() - begun)})")
            return
        if found["StackStatus"] == "DELETE_FAILED":
            reason = _failures(account, stack.id) or found.get("StackStatusReason", "")
            raise AwsError(
                f"destroy: {stack.name}: {reason}: "
                "remove the cause, then run again; it continues where it stopped"
            )
        left = [each["LogicalResourceId"] for each in _summaries(account, stack.id)
                if each["ResourceStatus"] not in (GONE, "DELETE_SKIPPED")]  # fmt: skip
        words = f"{len(left)} of {len(stack.resources)} resources left"
        if words != last or clock() - said >= LINE_SECONDS:
            last, said = words, clock()
            note(f"destroy: {stack.name}: {words} ({duration(clock() - begun)})")
        pause(PAUSE)
    raise AwsError(
        f"destroy: {stack.name}: not gone after {duration(LONGEST_SECONDS)}: run again to go on waiting"
    )


def _failures(account: Account, stack: str) -> str:
    """Which resources could not be deleted, and why."""
    return "; ".join(
        f"{each['LogicalResourceId']} ({each['ResourceType']}): {each.get('ResourceStatusReason', '')}"
        for each in _summaries(account, stack)
        if each["ResourceStatus"] == "DELETE_FAILED"
    )
