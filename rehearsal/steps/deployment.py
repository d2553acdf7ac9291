"""Deploying: the secret, synthesis, bootstrap, the stacks."""

from collections.abc import Mapping

from rehearsal.narrator import RehearsalError
from rehearsal.operator import cdk as cdk_module
from rehearsal.operator.account import Cloud, tail
from rehearsal.preparation import Road, make_secret


def deploy(road: Road) -> None:
    """The secret, then everything that `cdk deploy` does."""
    narrator, cloud, cdk = road.narrator, road.cloud, road.cdk
    with narrator.step("Create the secret with the data set site's credentials"):
        make_secret(road)
    with narrator.step("cdk synth"):
        cdk.synthesize(road.settings)
        for action in road.wishes.without:
            if not cdk_module.without_permission(cdk.assembly, action):
                raise RehearsalError(f"--without {action}: no policy allows that")
    with narrator.step("cdk bootstrap"):
        cdk.bootstrap(cloud.account, cloud.region)
    with narrator.step("cdk deploy --all (waits for the prep instance's signal)"):
        run_deploy(road)
    narrator.check("cdk deploy: stacks complete, boot signalled", True, "Dataset, Prep, Training")


def deploy_again(road: Road, what: str, changes: Mapping[str, str]) -> None:
    """The app with these settings beside those of before, deployed over what is there."""
    road.settings.update(changes)
    with road.narrator.step(f"{what}: cdk deploy --all with {' '.join(changes)}"):
        road.cdk.synthesize(road.settings)
        run_deploy(road)


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
