"""Creation signals: a stack whose instance has a CreationPolicy waits for what its user data reports."""

import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.models import Stack
from moto.cloudformation.responses import CloudFormationResponse
from moto.core.responses import ActionResult, EmptyResult

from rehearsal.cloud.moto_gaps import replace
from rehearsal.instance.instances import Guests


def install(guests: Guests) -> None:
    """A stack with a CreationPolicy is complete once its resources have signalled success, and not before."""

    def complete(original: Any) -> Any:
        def mark_creation_complete(self: Stack) -> None:
            waiting = _signals_wanted(self)
            if not waiting:
                original(self)
                return
            self._signals = {name: {} for name in waiting}  # type: ignore[attr-defined]
            threading.Thread(
                target=_await_signals, args=(self, waiting, guests, original), daemon=True
            ).start()

        return mark_creation_complete

    def signal_resource(self: CloudFormationResponse) -> ActionResult:
        stack = self.cloudformation_backend.get_stack(self._get_param("StackName"))
        name = self._get_param("LogicalResourceId")
        signals = getattr(stack, "_signals", {})
        if stack.status != "CREATE_IN_PROGRESS" or name not in signals:
            raise ValidationError(message=f"Stack {stack.name} with resource {name} waits for no signal")
        signals[name][self._get_param("UniqueId")] = self._get_param("Status")
        return EmptyResult()

    replace(Stack, "mark_creation_complete", complete)
    CloudFormationResponse.signal_resource = signal_resource  # type: ignore[attr-defined]


def _signals_wanted(stack: Stack) -> dict[str, tuple[int, float]]:
    """Logical id → how many signals, within how many seconds."""
    wanted = {}
    for name, resource in stack.template_dict["Resources"].items():
        policy = resource.get("CreationPolicy", {}).get("ResourceSignal")
        if policy is not None:
            wanted[name] = (int(policy.get("Count", 1)), _seconds(policy.get("Timeout", "PT5M")))
    return wanted


def _seconds(duration: str) -> float:
    match = re.fullmatch(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?", duration)
    if match is None:
        raise ValidationError(message=f"{duration} is no duration")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds


def _await_signals(
    stack: Stack, wanted: Mapping[str, tuple[int, float]], guests: Guests, complete: Callable[[Stack], None]
) -> None:
    start = time.monotonic()
    while True:
        time.sleep(0.2)
        done = 0
        for name, (count, seconds) in wanted.items():
            given = list(stack._signals[name].values())  # type: ignore[attr-defined]
            if "FAILURE" in given:
                _roll_back(stack, name, "the resource signalled FAILURE")
                return
            done += given.count("SUCCESS") >= count
            silent = len(given) < count
            resource: Any = stack.resource_map[name]
            if silent and (status := guests.user_data_status(resource.physical_resource_id)) is not None:
                # On AWS this would only show when the time is up.
                _roll_back(stack, name, f"the user data ended with status {status} and sent no signal")
                return
            if silent and time.monotonic() - start > seconds:
                _roll_back(stack, name, f"no signal within {seconds:.0f} s")
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
