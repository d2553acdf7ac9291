"""The steps of the rehearsal, from archives to GPU instances that read the data, and the removal of all."""

import shutil
from contextlib import ExitStack

from rehearsal import findings
from rehearsal.full import full_road
from rehearsal.narrator import Narrator, RehearsalError
from rehearsal.preparation import Road, Wishes, prepare
from rehearsal.steps import watching
from rehearsal.steps.deployment import deploy
from rehearsal.steps.ending import inspect, tear_down
from rehearsal.steps.preparing import follow_prep
from rehearsal.steps.training import launch, read_first_batches, reboot
from rehearsal.steps.trials import refuse_forbidden_calls


def travel(wishes: Wishes, narrator: Narrator) -> None:
    """Runs all steps, and cleans up in any case. Raises RehearsalError if a step fails."""
    with ExitStack() as stack:
        road = prepare(wishes, narrator, stack)
        try:
            (full_road if wishes.full else default_road)(road)
        except RehearsalError as error:
            # A refused call is the cause of all later failures.
            refused = road.cloud.refused_calls()
            raise RehearsalError(refused[0], [str(error), *error.details]) if refused else error from None
        finally:
            findings.refusals(road.cloud, narrator)
            _keep_logs(road)


def default_road(road: Road) -> None:
    deploy(road)
    prep = follow_prep(road)
    watching.at_the_end(road)
    gpus = launch(road)
    read_first_batches(road, gpus)
    inspect(road, gpus)
    reboot(road, gpus[0])
    refuse_forbidden_calls(road, prep, gpus)
    tear_down(road, gpus)


def _keep_logs(road: Road) -> None:
    """Copies the logs of each instance, the judged calls and the roles' policies to the results."""
    logs = road.wishes.output / "logs"
    for folder in road.cloud.folder.glob("instances/*/log"):
        shutil.copytree(folder, logs / folder.parent.name, dirs_exist_ok=True)
    for name in ("calls.jsonl", "policies.jsonl"):
        if (file := road.cloud.calls.with_name(name)).exists():
            shutil.copy(file, logs)
