"""The steps of the rehearsal, from archives to GPU instances that read the data, and the removal of all."""

import json
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from rehearsal import findings
from rehearsal.checks.sheet import contact_sheet
from rehearsal.narrator import Narrator, RehearsalError
from rehearsal.operator import cdk as cdk_module
from rehearsal.operator.account import Cloud, in_instance, tail, wait_until
from rehearsal.preparation import BATCH, Road, Wishes, make_secret, prepare
from rehearsal.servers.archive import ArchiveServer

FIRST_BATCH = Path(__file__).parent / "checks" / "first_batch.py"
SERVICE = "dataset-prep.service"
# A service that neither writes a line nor changes its state for so long is stuck.
STALL_SECONDS = 600.0
READY_SECONDS = 300.0  # for an instance to restore, attach and mount: seconds here, two minutes on AWS


def travel(wishes: Wishes, narrator: Narrator) -> None:
    """Runs all steps, and cleans up in any case. Raises RehearsalError if a step fails."""
    with ExitStack() as stack:
        road = prepare(wishes, narrator, stack)
        try:
            deploy(road)
            follow_prep(road)
            gpus = launch(road)
            read_first_batches(road, gpus)
            inspect(road, gpus)
            reboot(road, gpus[0])
            tear_down(road, gpus)
        except RehearsalError as error:
            # A refused call is the cause of all later failures.
            refused = road.cloud.refused_calls()
            raise RehearsalError(refused[0], [str(error), *error.details]) if refused else error from None
        finally:
            findings.refusals(road.cloud, narrator)
            _keep_logs(road)


def deploy(road: Road) -> None:
    """The secret, then everything that `cdk deploy` does."""
    narrator, cloud, cdk = road.narrator, road.cloud, road.cdk
    site = road.stack.enter_context(ArchiveServer(road.archives, road.username, road.access_key))
    with narrator.step("Create the secret with the data set site's credentials"):
        make_secret(road)
    settings = {"dataset": str(road.description), "source": site.url} | road.wishes.settings
    with narrator.step("cdk synth"):
        cdk.synthesize(settings)
        for action in road.wishes.without:
            if not cdk_module.without_permission(cdk.assembly, action):
                raise RehearsalError(f"--without {action}: no policy allows that")
    with narrator.step("cdk bootstrap"):
        cdk.bootstrap(cloud.account, cloud.region)
    with narrator.step("cdk deploy --all (waits for the prep instance's signal)"):
        try:
            cdk.deploy()
        except RehearsalError as error:
            raise RehearsalError(str(error), error.details + _boot_logs(cloud)) from None
        narrator.note("")
    narrator.check("cdk deploy: stacks complete, boot signalled", True, "Dataset, Prep, Training")


def follow_prep(road: Road) -> None:
    """Waits for the prep service to end well, showing its log."""
    instance_id = road.cdk.output(f"{road.name}-prep", "InstanceId")
    folder = road.cloud.instance(instance_id)
    log = folder / "log" / f"{SERVICE}.log"
    state_file = folder / "shared" / "units" / f"{SERVICE}.json"
    with road.narrator.step("The prep service: download, organize, pack, verify, backup, snapshot"):
        last, since = ("", ""), time.monotonic()
        while True:
            state = json.loads(state_file.read_text()) if state_file.exists() else {"state": "inactive"}
            lines = [line for line in tail(log, 3) if line.strip()]
            seen = (str(state), lines[-1] if lines else "")
            if seen != last:
                last, since = seen, time.monotonic()
                road.narrator.note(seen[1].rsplit("\r")[-1].strip()[:100])
            if state["state"] == "inactive" and state.get("status") == 0:
                break
            if state["state"] == "failed" or state.get("sub") == "auto-restart":
                why = f"the prep service failed with status {state.get('status')}"
                raise RehearsalError(why, tail(log, 25))
            if time.monotonic() - since > STALL_SECONDS:
                raise RehearsalError(f"the prep service was silent for {STALL_SECONDS:.0f} s", tail(log, 25))
            time.sleep(0.3)
    road.narrator.check("prep service ran to its end", True, f"{instance_id}, {state.get('starts')} start(s)")


def launch(road: Road) -> list[str]:
    """GPU instances from the launch template, one zone after another; waits until each says it is ready."""
    ec2 = road.cloud.client("ec2")
    template = road.cdk.output(f"{road.name}-training", "LaunchTemplateId")
    subnets = road.cdk.output(f"{road.name}-dataset", "SubnetIds").split(",")
    count = road.wishes.instances
    with road.narrator.step(f"Launch {count} GPU instance(s) from the launch template"):
        gpus = []
        for number in range(count):
            answer = ec2.run_instances(
                LaunchTemplate={"LaunchTemplateId": template},
                SubnetId=subnets[number % len(subnets)],
                MinCount=1,
                MaxCount=1,
            )
            gpus.append(answer["Instances"][0]["InstanceId"])
        for gpu in gpus:
            wait_until(f"{gpu} to tag itself", READY_SECONDS, lambda gpu=gpu: _state(road, gpu) != "")  # type: ignore[misc]
            if _state(road, gpu) != "ready":
                raise RehearsalError(
                    f"GPU instance {gpu} came up without the data set", _boot_log(road.cloud, gpu)
                )
        road.narrator.note(", ".join(gpus))
    return gpus


def _state(road: Road, instance_id: str) -> str:
    filters = [{"Name": "resource-id", "Values": [instance_id]}, {"Name": "key", "Values": ["dataset-state"]}]
    tags = road.cloud.client("ec2").describe_tags(Filters=filters)["Tags"]
    if not tags and (status := _user_data_status(road.cloud, instance_id)) not in (None, 0):
        raise RehearsalError(
            f"the user data of {instance_id} ended with status {status} and left no tag",
            _boot_log(road.cloud, instance_id),
        )
    return str(tags[0]["Value"]) if tags else ""


def _user_data_status(cloud: Cloud, instance_id: str) -> int | None:
    try:
        return int((cloud.instance(instance_id) / "shared" / "user-data.status").read_text())
    except (FileNotFoundError, ValueError):
        return None


def read_first_batches(road: Road, gpus: Sequence[str]) -> None:
    """On each GPU instance: a batch by MXNet's own iterator; then all of them on one sheet.

    The splits in turn, so that two instances show both.
    """
    batches = []
    for number, gpu in enumerate(gpus):
        split = list(road.splits)[number % len(road.splits)]
        # The iterator wants more images than its batch has.
        size = max(1, min(BATCH, road.splits[split] // 2))
        with road.narrator.step(f"First batch of {split} on {gpu} with MXNet's ImageRecordIter"):
            program = [sys.executable, "-B", str(FIRST_BATCH), road.mount, "/run/rehearsal"]
            done = in_instance(road.cloud, gpu, *program, "--images", str(size), "--split", split)
            if done.returncode != 0:
                raise RehearsalError(f"no first batch on {gpu}", done.stderr.splitlines()[-10:])
            facts = json.loads(done.stdout.splitlines()[-1])
            words = sorted({word.partition(",")[0] for word in facts["words"]})
            road.narrator.note(", ".join(words)[:80])
            figure = f"{facts['images']} images, {len(words)} classes"
            road.narrator.check(f"{gpu}: first batch of {split}", facts["images"] > 0, figure)
            target = road.wishes.output / "batches" / f"{gpu} {split}" / "batch.npz"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(road.cloud.instance(gpu) / "shared" / "batch.npz", target)
            batches.append(target)
    with road.narrator.step("Contact sheet of what the GPU instances read"):
        contact_sheet(batches, road.wishes.output / "contact-sheet.png")
        road.narrator.note(str(road.wishes.output / "contact-sheet.png"))


def inspect(road: Road, gpus: Sequence[str]) -> None:
    """Checks the data, the volumes and the backup, for the table at the end."""
    with road.narrator.step("Check every record against the archives, the volumes and the backup"):
        for gpu in gpus:
            findings.own_volume(road.subject, gpu, road.narrator)
        findings.labels(road.subject, gpus[0], road.narrator)
        bucket = road.cdk.output(f"{road.name}-dataset", "BucketName")
        findings.backup(road.subject, bucket, gpus[0], road.narrator)
        findings.secrets(road.subject, road.access_key, road.cdk.folder, road.narrator)


def reboot(road: Road, gpu: str) -> None:
    with road.narrator.step(f"Reboot {gpu}"):
        before = road.cloud.instance_pid(gpu)
        road.cloud.client("ec2").reboot_instances(InstanceIds=[gpu])

        def is_back() -> bool:
            booted = (road.cloud.instance(gpu) / "shared" / "booted").exists()
            return booted and road.cloud.instance_pid(gpu) != before

        wait_until(f"{gpu} to come back", 60, is_back)
        mounted = in_instance(road.cloud, gpu, "findmnt", "--noheadings", "--output", "OPTIONS", road.mount)
        options = mounted.stdout.strip()
        road.narrator.check(
            f"{road.mount} is there after a reboot", options.startswith("ro"), options or "not mounted"
        )


def tear_down(road: Road, gpus: Sequence[str]) -> None:
    """Destroys everything except what must remain."""
    with road.narrator.step("Terminate the GPU instances"):
        road.cloud.client("ec2").terminate_instances(InstanceIds=list(gpus))
    with road.narrator.step("cdk destroy --all"):
        road.cdk.destroy()
        road.narrator.note("")
    findings.remains(road.subject, gpus, road.narrator)


def _boot_log(cloud: Cloud, instance_id: str) -> list[str]:
    return tail(cloud.instance(instance_id) / "log" / "cloud-init-output.log", 12)


def _boot_logs(cloud: Cloud) -> list[str]:
    lines = []
    for log in sorted(cloud.folder.glob("instances/*/log/cloud-init-output.log")):
        lines += [f"{log.parts[-3]}:", *tail(log, 12)]
    return lines


def _keep_logs(road: Road) -> None:
    """Copies the logs of each instance and the list of judged calls to the results."""
    logs = road.wishes.output / "logs"
    for folder in road.cloud.folder.glob("instances/*/log"):
        shutil.copytree(folder, logs / folder.parent.name, dirs_exist_ok=True)
    if road.cloud.calls.exists():
        shutil.copy(road.cloud.calls, logs / "calls.jsonl")
