"""The data set on a Ray cluster, which packs it from the archives in S3 as one machine has packed it.

`python -m rehearsal --cluster N`. What the prep instance has packed is the reference. It is removed, as for
an owner who has only the archives; the head is killed in the middle and launched again. What the cluster has
packed is then restored on the prep instance, and a snapshot of it is taken.
"""

import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rehearsal.narrator import RehearsalError
from rehearsal.operator.account import in_instance, tail, wait_until
from rehearsal.preparation import Road
from rehearsal.steps.elsewhere import owner
from rehearsal.steps.preparing import SERVICE, Service, follow, prep_service
from rehearsal.steps.watching import APP, ENVIRONMENT

WORK, RAY = "dataset-cluster.service", "dataset-ray.service"
HEAD, WORKER = "cluster-head", "cluster-worker"  # values of the tag dataset-role
# A machine with one processor, so that each worker does one task at a time.
SETTINGS = {"cluster_instance_type": "m7a.medium", "key": "new", "log_retention_days": "30"}
MADE_HERE = re.compile(r"[^/]+\.(rec|idx|lst)|classes\.tsv|MANIFEST\.json")
BOOT_SECONDS = 300.0  # for a machine to install the packages: half a minute on a quiet machine
REFUSALS_EVERY = 5.0
# Ray gives its head up after a minute.
END_SECONDS = 180.0


def settings(workers: int) -> dict[str, str]:
    """Of the stacks, for a cluster of at most so many workers. Every statement of its roles is deployed."""
    return SETTINGS | {"cluster_workers": str(workers)}


@dataclass(frozen=True)
class Cluster:
    """The machines that have worked, all of which are terminated."""

    heads: list[str]
    workers: list[str]


def pack_on_cluster(road: Road, workers: int) -> Cluster:
    """Packs and verifies on the cluster, whose first head is killed; compares every file."""
    reference = take_away_packed(road)
    leave_an_upload(road)
    first = launch_head(road)
    kill_head(road, first)
    late = launch_late_worker(road, first)
    second = launch_head(road)
    follow_head(road, second)
    made = [each for each in machines(road, WORKER) if each != late]
    wait_for_end(road, [first, second, late, *made])
    _ended_by_head(road, late)
    compare_packed(road, reference)
    _shares(road, made, workers)
    _told(road)
    return Cluster([first, second], made)


def take_away_packed(road: Road) -> dict[str, str]:
    """Removes the packed files from the backup, and their snapshot: name → SHA-256 of what pack makes."""
    with road.narrator.step("Keep the digests of the packed files, and delete them: only archives are left"):
        digests = _digests(road)
        road.cloud.client("ec2").delete_snapshot(SnapshotId=road.subject.published())
        s3, bucket = road.cloud.client("s3"), road.output("dataset", "BucketName")
        for key in _keys(road):
            s3.delete_object(Bucket=bucket, Key=key)
        road.narrator.note(f"{len(digests)} files")
    return digests


def _keys(road: Road) -> list[str]:
    s3, bucket = road.cloud.client("s3"), road.output("dataset", "BucketName")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{road.name}/packed/")
    return [item["Key"] for page in pages for item in page.get("Contents", [])]


def _digests(road: Road) -> dict[str, str]:
    s3, bucket = road.cloud.client("s3"), road.output("dataset", "BucketName")
    found = {}
    for key in _keys(road):
        name = key.removeprefix(f"{road.name}/packed/")
        if MADE_HERE.fullmatch(name):
            digest = hashlib.sha256()
            for chunk in s3.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(1 << 20):
                digest.update(chunk)
            found[name] = digest.hexdigest()
    return found


def leave_an_upload(road: Road) -> None:
    """An upload that was begun with other settings, noted as pack notes it: it must be aborted."""
    s3, bucket = road.cloud.client("s3"), road.output("dataset", "BucketName")
    place, split = f"{road.name}/packed/", next(iter(road.splits))
    begun = s3.create_multipart_upload(Bucket=bucket, Key=f"{place}{split}.rec")
    note = json.dumps({"upload": begun["UploadId"]}).encode()
    s3.put_object(Bucket=bucket, Key=f"{place}.packing/{split}.upload.json", Body=note)


def machines(road: Road, role: str) -> list[str]:
    """The instances with this role that there are or were, in the order of their launch."""
    filters = [{"Name": "tag:dataset", "Values": [road.name]}, {"Name": "tag:dataset-role", "Values": [role]}]
    answer = road.cloud.client("ec2").describe_instances(Filters=filters)
    found = [each for reservation in answer["Reservations"] for each in reservation["Instances"]]
    return [str(each["InstanceId"]) for each in sorted(found, key=lambda each: each["LaunchTime"])]


def launch_head(road: Road) -> str:
    """`python -m prep.owner cluster`; gives the head's id."""
    before = set(machines(road, HEAD))
    with road.narrator.step("python -m prep.owner cluster"):
        owner(road, road.cloud, "cluster")
        new = [each for each in machines(road, HEAD) if each not in before]
        if len(new) != 1:
            raise RehearsalError(f"python -m prep.owner cluster launched {len(new)} heads")
        road.narrator.note(new[0])
    return new[0]


def ray_token(road: Road) -> str:
    """What the machines of the cluster show to each other."""
    secrets = road.cloud.client("secretsmanager")
    (secret,) = (
        each["ARN"]
        for page in secrets.get_paginator("list_secrets").paginate()
        for each in page["SecretList"]
        if each["Name"].startswith(f"{road.name}-cluster-")
    )
    return str(secrets.get_secret_value(SecretId=secret)["SecretString"])


def _service(road: Road, head: str) -> Service:
    return Service(head, road.cloud.instance(head), WORK)


def kill_head(road: Road, head: str) -> None:
    """Ends the head while the workers merge: what is done must stay done, and nobody be left to pay for."""
    split = max(road.splits, key=lambda each: road.splits[each])
    road.cloud.hold(f"s3:PutObject {road.name}/packed/{split}.rec part")
    with road.narrator.step("The head and its workers: boot, pack"):
        _booted(road, head)
        follow(road, _service(road, head), _unless_refused(road, road.cloud.is_held))
    with road.narrator.step("Terminate the head in the middle"):
        journal = [key for key in _keys(road) if "/.packing/" in key]
        shown = _process_list()
        road.cloud.client("ec2").terminate_instances(InstanceIds=[head])
        road.cloud.release()
    figure = f"{len(journal)} objects in the journal"
    road.narrator.check("cluster: the head is killed while workers merge", bool(journal), figure)
    hidden = ray_token(road) not in shown
    road.narrator.check("Ray's token is in no command line", hidden, f"{shown.count('ray')} of Ray looked at")


def _process_list() -> str:
    """The command lines of all processes of this machine, and so of all instances."""
    lines = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has just ended
            lines.append(process.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return "\n".join(lines)


def launch_late_worker(road: Road, head: str) -> str:
    """A worker as the head might have launched just before its end, with Ray's tags: it can join nobody."""
    ec2 = road.cloud.client("ec2")
    example = machines(road, WORKER)[0]
    (facts,) = ec2.describe_instances(InstanceIds=[example])["Reservations"][0]["Instances"]
    tags = [tag for tag in facts["Tags"] if not tag["Key"].startswith("aws:")]
    template = next(tag["Value"] for tag in facts["Tags"] if tag["Key"] == "aws:ec2launchtemplate:id")
    answer = ec2.run_instances(
        LaunchTemplate={"LaunchTemplateId": template},
        SubnetId=facts["SubnetId"],
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )
    road.narrator.note(f"a worker of {head} comes up late")
    return str(answer["Instances"][0]["InstanceId"])


def _ended_by_head(road: Road, worker: str) -> None:
    """Ray's autoscaler on the second head ends a worker of the first, whose tags tell of another head."""
    ended = [
        entry
        for entry in road.cloud.judged_calls()
        if entry["call"] == "ec2:TerminateInstances" and entry["allowed"] and not entry["trial"]
    ]
    named = [check["resource"] for entry in ended for check in entry["checks"]]
    right = any(resource.endswith(worker) for resource in named)
    road.narrator.check("cluster: a worker of the first head is ended by the second", right, worker)


def _booted(road: Road, head: str) -> None:
    """Raises RehearsalError with the boot's log if it fails."""
    status = road.cloud.instance(head) / "shared" / "user-data.status"
    wait_until(f"the head {head} to boot", BOOT_SECONDS, status.exists)
    if status.read_text() != "0":
        log = road.cloud.instance(head) / "log" / "cloud-init-output.log"
        raise RehearsalError(f"the head {head} did not boot", tail(log, 25))


def _unless_refused(road: Road, reached: Callable[[], bool]) -> Callable[[], bool]:
    """The same question; but a refused call of the autoscaler, which tries it for ever, is the end."""
    looked = time.monotonic()

    def ask() -> bool:
        nonlocal looked
        if time.monotonic() - looked > REFUSALS_EVERY:
            looked = time.monotonic()
            if refused := road.cloud.refused_calls():
                raise RehearsalError(refused[0])
        return reached()

    return ask


def follow_head(road: Road, head: str) -> None:
    """Waits until the head has done its work and has ended itself."""
    with road.narrator.step("Another head goes on: pack, verify"):
        _booted(road, head)
        service = _service(road, head)
        over = _unless_refused(road, lambda: _state(road, head) == "terminated" or service.ended_well)
        follow(road, service, over)


def _state(road: Road, instance: str) -> str:
    found = road.cloud.client("ec2").describe_instances(InstanceIds=[instance])
    return str(found["Reservations"][0]["Instances"][0]["State"]["Name"])


def wait_for_end(road: Road, instances: list[str]) -> None:
    """All machines end themselves: when the head is done, nothing is left to pay for."""
    begun = time.monotonic()
    with road.narrator.step("The cluster ends itself"):
        wait_until("all of them to end", END_SECONDS, lambda: not _running(road, instances))
    figure = f"{len(instances)} machines, {time.monotonic() - begun:.0f} s after the work"
    road.narrator.check("cluster: heads and workers ended themselves", True, figure)


def _running(road: Road, instances: list[str]) -> list[str]:
    return [each for each in instances if _state(road, each) != "terminated"]


def compare_packed(road: Road, reference: Mapping[str, str]) -> None:
    """Each packed file has the bytes that one machine made of the same archives."""
    with road.narrator.step("Compare what the cluster has packed with what one machine packed"):
        found = _digests(road)
        left = [key for key in _keys(road) if "/.packing/" in key]
        uploads = _uploads(road)
    different = sorted(name for name in {*reference, *found} if reference.get(name) != found.get(name))
    figure = f"{len(found)} files, SHA-256 of MANIFEST.json {found.get('MANIFEST.json', '')[:8]}…"
    if different:
        figure = f"different or missing: {', '.join(different)}"
    same = not different and "MANIFEST.json" in found
    road.narrator.check("cluster: the bytes of one machine in every file", same, figure)
    figure = ", ".join([*left, *uploads]) or "no object of the journal, no upload"
    road.narrator.check("cluster: nothing is left of its work in S3", not left and not uploads, figure)


def _uploads(road: Road) -> list[str]:
    bucket = road.output("dataset", "BucketName")
    found = road.cloud.client("s3").list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    return [upload["Key"] for upload in found]


def _shares(road: Road, made: list[str], workers: int) -> None:
    """Ray's autoscaler has launched the workers, and each has written to S3."""
    calls = Counter(
        entry["instance"]
        for entry in road.cloud.judged_calls()
        if entry["call"] == "s3:PutObject" and entry["instance"] in made
    )
    idle = [each for each in made if not calls[each]]
    written = ", ".join(str(calls[each]) for each in made)
    figure = f"{len(made)} launched by two heads; objects written by each: {written}"
    # The second head may have ended the workers of the first.
    right = workers <= len(made) <= 2 * workers and len(idle) <= len(made) - workers
    road.narrator.check("cluster: workers launched by Ray's autoscaler, and at work", right, figure)


def _told(road: Road) -> None:
    """The owner is told what to do next."""
    letters = [letter for letter in road.mailbox.letters if "cluster" in letter.topic]
    text = letters[-1].text if letters else ""
    figure = f"{len(letters)} message(s): {', '.join(letter.subject for letter in letters) or 'none'}"
    right = len(letters) == 1 and all(word in text for word in ("restore", "snapshot"))
    road.narrator.check("cluster: the owner is told that all is done", right, figure)


def restore_and_snapshot(road: Road) -> None:
    """On the prep instance, started again and emptied: `restore`, then `snapshot`."""
    service, before = prep_service(road), road.subject.published()
    (service.folder / "shared" / "units" / f"{SERVICE}.json").unlink()  # what it was when it stopped
    with road.narrator.step("Start the prep instance, and empty its dataset volume"):
        road.cloud.client("ec2").start_instances(InstanceIds=[service.instance_id])
        wait_until(f"{SERVICE} to find all done", BOOT_SECONDS, lambda: service.ended_well)
        inside = "find /dataset -mindepth 1 -delete; rm --recursive /data/.prep"
        _inside(road, service, "root", inside)
    with road.narrator.step("On it: python -m prep restore, then snapshot"):
        _inside(road, service, "ec2-user", "venv/bin/python -m prep restore --no-progress")
        _inside(road, service, "ec2-user", "venv/bin/python -m prep snapshot --no-progress", "sys_admin")
    after = road.subject.published()
    figure = f"{after} after {before}"
    road.narrator.check("cluster: restored on the prep instance, snapshot accepted", before != after, figure)


def _inside(road: Road, service: Service, user: str, command: str, capability: str = "") -> None:
    """As the service has it: its folder, its environment, its user."""
    own = ["setpriv", "--reuid", user, "--regid", user, "--init-groups"] if user != "root" else []
    own += ["--inh-caps", f"+{capability}", "--ambient-caps", f"+{capability}"] if capability else []
    script = f"cd {APP} && set -a && . {ENVIRONMENT} && {command}"
    done = in_instance(
        road.cloud, service.instance_id, "env", *_endpoints(service), *own, "bash", "-c", script
    )
    if done.returncode != 0:
        raise RehearsalError(f"on the prep instance: {command} failed", done.stderr.splitlines()[-15:])


def _endpoints(service: Service) -> list[str]:
    """Where the instance finds the embedded AWS and its metadata service, of which AWS's own clients know."""
    environment = json.loads((service.folder / "boot.json").read_text())["environment"]
    return [f"{name}={value}" for name, value in environment.items() if name.startswith("AWS_")]
