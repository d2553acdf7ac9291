"""What an earlier deployment left in the account: the states of the stacks, and the volumes."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from botocore.exceptions import ClientError

from preflight.account import Account
from preflight.findings import Finding, fails, ok, warning
from prep import contract

# The stacks by their names in the app, in the order in which they are deployed.
STACKS: Final = tuple(part.capitalize() for part in contract.STACK_PARTS)

# No stack, or one that the CDK command line deletes before it deploys: `isCreationFailure` in its code.
# https://github.com/aws/aws-cdk-cli/blob/main/packages/%40aws-cdk/toolkit-lib/lib/api/deployments/deploy-stack.ts
FAILED_CREATION: Final = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED")
NOTHING: Final = (*FAILED_CREATION, "REVIEW_IN_PROGRESS", "DELETE_COMPLETE")


@dataclass(frozen=True)
class ExistingVolume:
    """A volume of the Prep stack; `snapshot` is the one that it was made from, or ""."""

    zone: str
    gib: int
    snapshot: str


@dataclass(frozen=True)
class Deployed:
    """The state of each stack that exists, by its name in the app, and its volumes, by their tag TAG_ROLE."""

    states: Mapping[str, str] = field(default_factory=dict)
    volumes: Mapping[str, ExistingVolume] = field(default_factory=dict)

    @property
    def zone(self) -> str | None:
        """The zone of the volumes; None if there are none."""
        return next((volume.zone for volume in self.volumes.values()), None)

    def has(self, stack: str) -> bool:
        """Whether the resources of the stack exist."""
        return stack in self.states and self.states[stack] not in NOTHING


def stack_name(dataset: str, stack: str) -> str:
    """The stack's name in CloudFormation."""
    return contract.stack_name(dataset, stack.lower())


def look(account: Account, dataset: str) -> Deployed:
    """What is there.

    Raises:
        ClientError: a call was refused.
    """
    states = {}
    for stack in STACKS:
        state = _state(account, stack_name(dataset, stack))
        if state is not None:
            states[stack] = state
    deployed = Deployed(states)
    if not deployed.has("Prep"):
        return deployed
    return Deployed(states, _volumes(account, stack_name(dataset, "Prep")))


def _state(account: Account, name: str) -> str | None:
    try:
        (stack,) = account.cloudformation.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        # The only sign of a stack that does not exist is the message.
        if "does not exist" in error.response["Error"].get("Message", ""):
            return None
        raise
    return stack["StackStatus"]


def _volumes(account: Account, name: str) -> dict[str, ExistingVolume]:
    resources = account.cloudformation.describe_stack_resources(StackName=name)["StackResources"]
    ids = [
        resource["PhysicalResourceId"]
        for resource in resources
        if resource["ResourceType"] == "AWS::EC2::Volume"
        and resource.get("PhysicalResourceId")
        and resource["ResourceStatus"] != "DELETE_COMPLETE"
    ]
    found = account.ec2.describe_volumes(VolumeIds=ids)["Volumes"] if ids else []
    volumes = {}
    for volume in found:
        tags = {tag["Key"]: tag["Value"] for tag in volume.get("Tags", [])}
        role = tags.get(contract.TAG_ROLE, volume["VolumeId"])
        volumes[role] = ExistingVolume(
            volume["AvailabilityZone"], volume["Size"], volume.get("SnapshotId", "")
        )
    return volumes


def check(deployed: Deployed, dataset: str, region: str, stacks: Collection[str] = STACKS) -> list[Finding]:
    """A line for each of these stacks that exists."""
    states = {stack: state for stack, state in deployed.states.items() if stack in stacks}
    if not states:
        return [ok("stacks", "none yet")]
    return [_check_state(stack, dataset, region, state) for stack, state in states.items()]


def check_left_out(deployed: Deployed, dataset: str, region: str, workers: int) -> list[Finding]:
    """Whether the Cluster stack is there, although the settings ask for none.

    The Dataset stack would no longer export what it uses, which CloudFormation refuses.
    """
    if workers or not deployed.has("Cluster"):
        return []
    destroy = f"python -m prep.owner destroy --dataset {dataset} --region {region} --stack cluster"
    return [
        fails(
            "stack Cluster",
            f"{stack_name(dataset, 'Cluster')} uses what the Dataset stack would no longer export",
            f"keep the setting cluster_workers, or run `{destroy}` first",
        )
    ]


def _check_state(stack: str, dataset: str, region: str, state: str) -> Finding:
    """The states and what may follow them:
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
    """
    title, name = f"stack {stack}", stack_name(dataset, stack)
    found = f"{name} is {state}"
    # Whole commands: without the data set's name and the Region they would act on another deployment.
    place = f"--stack-name {name} --region {region}"
    if state in FAILED_CREATION:
        return warning(title, f"{found}: its creation failed; the next deployment deletes it first")
    if state == "REVIEW_IN_PROGRESS":
        return ok(title, f"{name} has a change set and no resources")
    if state.endswith("_IN_PROGRESS"):
        return fails(title, found, "wait until this operation has ended")
    if state == "DELETE_FAILED":
        destroy = (
            f"python -m prep.owner destroy --dataset {dataset} --region {region} --stack {stack.lower()}"
        )
        remedy = f"remove the cause, which `{_events(place)}` shows, then run `{destroy}`"
        return fails(title, found, remedy)
    if state == "UPDATE_ROLLBACK_FAILED":
        remedy = f"remove the cause, which `{_events(place)}` shows, then run "
        return fails(title, found, f"{remedy}`aws cloudformation continue-update-rollback {place}`")
    if state.endswith("_FAILED"):
        remedy = f"run `aws cloudformation rollback-stack {place}` if the deployment does not go on"
        return warning(title, found, remedy)
    return ok(title, found)


def _events(place: str) -> str:
    return f"aws cloudformation describe-stack-events {place}"
