"""Creation signals: a stack whose instance has a CreationPolicy waits for what its user data reports.

An update makes what is new, waits in the same way, and only then removes what is gone: an instance whose
logical ID has changed is replaced so. https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-updating-stacks-update-behaviors.html
"""

import functools
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.models import CloudFormationBackend, Stack
from moto.cloudformation.responses import CloudFormationResponse
from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.models import ec2_backends
from moto.ec2.models.core import TaggedEC2Resource

from rehearsal.cloud.moto_gaps import replace
from rehearsal.cloud.moto_gaps.stacks import remove
from rehearsal.instance.instances import Guests


def install(guests: Guests) -> None:
    """A stack with a CreationPolicy is complete once its resources have signalled success, and not before."""

    def created(original: Any) -> Any:
        def mark_creation_complete(self: Stack) -> None:
            waiting = _signals_wanted(self.template_dict["Resources"])
            _when_signalled(self, waiting, guests, original, _roll_back)

        return mark_creation_complete

    def signal_resource(self: CloudFormationResponse) -> ActionResult:
        stack = self.cloudformation_backend.get_stack(self._get_param("StackName"))
        name = self._get_param("LogicalResourceId")
        signals = getattr(stack, "_signals", {})
        if stack.status not in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS") or name not in signals:
            raise ValidationError(message=f"Stack {stack.name} with resource {name} waits for no signal")
        signals[name][self._get_param("UniqueId")] = self._get_param("Status")
        return EmptyResult()

    def given(original: Any) -> Any:
        def resolve(
            self: CloudFormationBackend, instance: Stack, incoming_params: list[dict[str, Any]]
        ) -> Any:
            # A parameter that was never given keeps its default; moto looks for the previous value of each.
            known = [
                each
                for each in incoming_params
                if not each.get("UsePreviousValue") or each["ParameterKey"] in instance.parameters
            ]
            return original(self, instance, known)

        return resolve

    replace(CloudFormationBackend, "_resolve_update_parameters", given)
    replace(Stack, "mark_creation_complete", created)
    replace(Stack, "update", functools.partial(_updates, guests))
    CloudFormationResponse.signal_resource = signal_resource  # type: ignore[attr-defined]


def _updates(guests: Guests, original: Any) -> Any:
    """moto removes first, then makes what is new, and waits for nothing."""

    def update(
        self: Stack, template: str, role_arn: Any = None, parameters: Any = None, tags: Any = None
    ) -> None:
        old = dict(self.resource_map._resource_json_map)
        self.template = template
        self._parse_template()
        wanted = self.template_dict["Resources"]
        new = {name: definition for name, definition in wanted.items() if name not in old}
        gone = {name: definition for name, definition in old.items() if name not in wanted}
        both = {**self.template_dict, "Resources": {**wanted, **gone}}
        original(self, json.dumps(both), role_arn, parameters, tags)
        self.status = "UPDATE_IN_PROGRESS"
        _tag(self, new)

        def complete(stack: Stack) -> None:
            stack._add_stack_event("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
            stack.status = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"
            remove(stack.resource_map, gone)
            stack.template = template
            stack._parse_template()
            stack.resource_map._resource_json_map = wanted
            stack._add_stack_event("UPDATE_COMPLETE")
            stack.status = "UPDATE_COMPLETE"

        def roll_back(stack: Stack, name: str, reason: str) -> None:
            message = f"Resource {name} failed to be created: {reason}"
            stack._add_stack_event("UPDATE_ROLLBACK_IN_PROGRESS", resource_status_reason=message)
            remove(stack.resource_map, new)
            stack.resource_map._resource_json_map = old
            stack.stack_status_reason = message  # type: ignore[attr-defined]
            stack._add_stack_event("UPDATE_ROLLBACK_COMPLETE", resource_status_reason=message)
            stack.status = "UPDATE_ROLLBACK_COMPLETE"

        _when_signalled(self, _signals_wanted(new), guests, complete, roll_back)

    return update


def _tag(stack: Stack, new: Mapping[str, Any]) -> None:
    """The tags that CloudFormation gives, which moto gives only on creation of the stack."""
    resources = stack.resource_map
    backend = ec2_backends[resources._account_id][resources._region_name]
    for name in new:
        if isinstance(resource := resources[name], TaggedEC2Resource):
            own = {**resources.tags, "aws:cloudformation:logical-id": name}
            backend.create_tags([resource.physical_resource_id], own)


def _signals_wanted(resources: Mapping[str, Any]) -> dict[str, tuple[int, float]]:
    """Logical id → how many signals, within how many seconds."""
    wanted = {}
    for name, resource in resources.items():
        policy = resource.get("CreationPolicy", {}).get("ResourceSignal")
        if policy is not None:
            wanted[name] = (int(policy.get("Count", 1)), _seconds(policy.get("Timeout", "PT5M")))
    return wanted


def _when_signalled(
    stack: Stack,
    waiting: Mapping[str, tuple[int, float]],
    guests: Guests,
    complete: Callable[[Stack], None],
    roll_back: Callable[[Stack, str, str], None],
) -> None:
    """Calls `complete` when every resource has signalled: now, if none has to, or else from a thread."""
    if not waiting:
        complete(stack)
        return
    stack._signals = {name: {} for name in waiting}  # type: ignore[attr-defined]
    arguments = (stack, waiting, guests, complete, roll_back)
    threading.Thread(target=_await_signals, args=arguments, daemon=True).start()


def _seconds(duration: str) -> float:
    match = re.fullmatch(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?", duration)
    if match is None:
        raise ValidationError(message=f"{duration} is no duration")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds


def _await_signals(
    stack: Stack,
    wanted: Mapping[str, tuple[int, float]],
    guests: Guests,
    complete: Callable[[Stack], None],
    roll_back: Callable[[Stack, str, str], None],
) -> None:
    start = time.monotonic()
    while True:
        time.sleep(0.2)
        done = 0
        for name, (count, seconds) in wanted.items():
            given = list(stack._signals[name].values())  # type: ignore[attr-defined]
            if "FAILURE" in given:
                roll_back(stack, name, "the resource signalled FAILURE")
                return
            done += given.count("SUCCESS") >= count
            silent = len(given) < count
            resource: Any = stack.resource_map[name]
            if silent and (status := guests.user_data_status(resource.physical_resource_id)) is not None:
                # On AWS this would only show when the time is up.
                roll_back(stack, name, f"the user data ended with status {status} and sent no signal")
                return
            if silent and time.monotonic() - start > seconds:
                roll_back(stack, name, f"no signal within {seconds:.0f} s")
                return
        if done == len(wanted):
            complete(stack)
            return


def _roll_back(stack: Stack, name: str, reason: str) -> None:
    message = f"Resource {name} failed to be created: {reason}"
    stack._add_stack_event("ROLLBACK_IN_PROGRESS", resource_status_reason=message)
    stack.status = "ROLLBACK_IN_PROGRESS"
    stack.resource_map.delete()
    stack._add_stack_event("ROLLBACK_COMPLETE", resource_status_reason=message)
    stack.stack_status_reason = message  # type: ignore[attr-defined]
    stack.status = "ROLLBACK_COMPLETE"
