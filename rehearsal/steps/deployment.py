"""Deploying: the secret, synthesis, bootstrap, the stacks."""

# ruff: noqa: S603 (fixed commands)

import json
import subprocess
import sys
import time
from collections.abc import Mapping

from rehearsal.narrator import RehearsalError
from rehearsal.operator import cdk as cdk_module
from rehearsal.operator.account import REPOSITORY, Cloud, tail
from rehearsal.preparation import Road, make_secret
from rehearsal.steps import watching
from rehearsal.steps.preparing import prep_service
from rehearsal.steps.walkthrough import Walkthrough


def deploy(road: Road) -> None:
    """The secret, then everything that `cdk deploy` does."""
    narrator, cloud, cdk = road.narrator, road.cloud, road.cdk
    with narrator.step("Create the secret with the data set site's credentials"):
        make_secret(road)
    with narrator.step("cdk bootstrap"):
        cdk.bootstrap(cloud.account, cloud.region)
    preflight(road)
    with narrator.step("cdk synth"):
        cdk.synthesize(road.settings)
        for action in road.wishes.without:
            if not cdk_module.without_permission(cdk.assembly, action):
                raise RehearsalError(f"--without {action}: no policy allows that")
    # The service may be done before the mailbox is there, and the owner looks: it waits for them.
    cloud.hold(f"s3:PutObject {road.name}/packed/classes.tsv")
    with narrator.step("cdk deploy --all (waits for the prep instance's signal)"):
        run_deploy(road)
    subscribe(road)
    watching.in_the_middle(road, prep_service(road))
    cloud.release()
    narrator.check("cdk deploy: stacks complete, boot signalled", True, "Dataset, Prep, Training")


def deploy_as_documented(road: Road, walk: Walkthrough) -> None:
    """The same by the commands of the README, as far as the deployment.

    Raises RehearsalError with the boot logs of the instances.
    """
    walk.step(1)
    road.cloud.hold(f"s3:PutObject {road.name}/packed/classes.tsv")  # until the mailbox is there
    try:
        said = walk.step(2)
    except RehearsalError as error:
        raise RehearsalError(str(error), error.details + _boot_logs(road.cloud)) from None
    found = [line.split()[0] for line in said if line.startswith(("ok ", "warning ", "fails "))]
    figure = f"{len(found)} checks, {found.count('warning')} warnings"
    road.narrator.check("preflight: the deployment can begin", bool(found) and "fails" not in found, figure)
    subscribe(road)
    watching.in_the_middle(road, prep_service(road))
    road.cloud.release()
    road.narrator.check("make deploy: stacks complete, boot signalled", True, "Dataset, Prep, Training")


def preflight(road: Road) -> None:
    """What `make deploy` runs first: `python -m preflight`, with the operator's environment and settings."""
    begun = time.monotonic()
    with road.narrator.step("make preflight"):
        context = [word for name, value in road.settings.items() for word in ("--context", f"{name}={value}")]
        done = subprocess.run(
            [sys.executable, "-m", "preflight", "--json", *context],
            capture_output=True,
            text=True,
            check=False,
            cwd=REPOSITORY,
            env=dict(road.cdk.environment),
        )
        if done.returncode != 0:
            raise RehearsalError("preflight: the deployment would fail", done.stderr.splitlines()[-20:])
        found = json.loads(done.stdout)
    figure = f"{len(found['checks'])} checks in {time.monotonic() - begun:.1f} s, zone {found['zone']}"
    road.narrator.check("preflight: the deployment can begin", found["fails"] == 0, figure)


def subscribe(road: Road) -> None:
    """The mailbox gets what the topic sends to the owner: no e-mail leaves the embedded AWS."""
    sns = road.cloud.client("sns")
    for topic in sns.list_topics()["Topics"]:
        subscriptions = sns.list_subscriptions_by_topic(TopicArn=topic["TopicArn"])["Subscriptions"]
        if any(each["Endpoint"] == road.settings["notify"] for each in subscriptions):
            sns.subscribe(TopicArn=topic["TopicArn"], Protocol="http", Endpoint=road.mailbox.url)


def deploy_again(road: Road, what: str, changes: Mapping[str, str]) -> None:
    """The app with these settings beside those of before, deployed over what is there."""
    road.settings.update(changes)
    with road.narrator.step(f"{what}: cdk deploy --all with {' '.join(changes)}"):
        road.cdk.synthesize(road.settings)
        run_deploy(road)
    subscribe(road)


def run_deploy(road: Road) -> None:
    """Raises RehearsalError with the boot logs of the instances."""
    try:
        road.cdk.deploy()
    except RehearsalError as error:
        raise RehearsalError(str(error), error.details + _boot_logs(road.cloud)) from None
    road.narrator.note("")


def _boot_logs(cloud: Cloud) -> list[str]:
    lines = []
    for log in sorted(cloud.folder.glob("instances/*/log/cloud-init-output.log")):
        lines += [f"{log.parts[-3]}:", *tail(log, 12)]
    return lines
