"""The steps of the rehearsal, from archives to GPU instances that read the data, and the removal of all."""

import shutil
from contextlib import ExitStack
from dataclasses import replace

from rehearsal import findings, leftovers
from rehearsal.cluster import cluster_road
from rehearsal.full import full_road
from rehearsal.narrator import Narrator, RehearsalError
from rehearsal.preparation import Road, Wishes, prepare
from rehearsal.steps import walkthrough, watching
from rehearsal.steps.deployment import deploy, deploy_as_documented
from rehearsal.steps.elsewhere import settings_elsewhere
from rehearsal.steps.ending import compare, inspect, tear_down
from rehearsal.steps.preparing import follow_prep
from rehearsal.steps.training import launch, read_first_batches, reboot
from rehearsal.steps.trials import refuse_forbidden_calls


def travel(wishes: Wishes, narrator: Narrator) -> None:
    """Runs all steps, and cleans up in any case. Raises RehearsalError if a step fails."""
    with ExitStack() as stack:
        road = prepare(wishes, narrator, stack)
        try:
            if wishes.cluster:
                cluster_road(road)
            elif wishes.without:
                road_without_a_permission(road)
            elif wishes.full:
                full_road(road)
            else:
                default_road(road)
        except RehearsalError as error:
            # A refused call is the cause of all later failures.
            refused = road.cloud.refused_calls()
            raise RehearsalError(refused[0], [str(error), *error.details]) if refused else error from None
        finally:
            findings.refusals(road.cloud, narrator)
            _keep_logs(road)


def default_road(road: Road) -> None:
    """The README's walk-through, with the checks of the rehearsal between its steps."""
    there = replace(road.cloud, region=walkthrough.elsewhere(road))
    before = leftovers.listing(there)
    walk = walkthrough.begin(road)
    deploy_as_documented(road, walk)
    walk.step(3)
    prep = follow_prep(road)
    watching.at_the_end(road)
    gpus = launch(road, walk.start)
    read_first_batches(road, gpus[:-1])  # the last one is that of `aws ec2 run-instances`
    walk.step(4, from_line=-1)
    inspect(road, gpus)
    reboot(road, gpus[0])
    refuse_forbidden_calls(road, prep, gpus)
    walk.step(5)
    walk.configure(settings_elsewhere(road))
    walk.step(6)
    walk.step(7)
    walk.check()
    compare(road, gpus)
    leftovers.nothing_else(there, road.name, before, road.narrator)


def road_without_a_permission(road: Road) -> None:
    """The templates are changed between synthesis and deployment. Some step is to fail."""
    deploy(road)
    follow_prep(road)
    tear_down(road, launch(road))


def _keep_logs(road: Road) -> None:
    """Copies the logs of each instance, the judged calls and the roles' policies to the results."""
    logs = road.wishes.output / "logs"
    for folder in road.cloud.folder.glob("instances/*/log"):
        shutil.copytree(folder, logs / folder.parent.name, dirs_exist_ok=True)
    for name in ("calls.jsonl", "policies.jsonl"):
        if (file := road.cloud.calls.with_name(name)).exists():
            shutil.copy(file, logs)
