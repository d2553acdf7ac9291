"""Before the first step: the data, the archive server's credentials, the embedded AWS, the command line."""

# ruff: noqa: S603 (fixed commands, found on the PATH)

import hashlib
import json
import secrets
import shutil
import subprocess
import tempfile
import tomllib
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rehearsal.findings import Subject
from rehearsal.leftovers import Item, listing
from rehearsal.narrator import Narrator, RehearsalError
from rehearsal.operator.account import Cloud, start_cloud
from rehearsal.operator.cdk import Cdk
from rehearsal.sample.generate import make_sample
from rehearsal.servers.archive import ArchiveServer
from rehearsal.servers.mailbox import Mailbox

OWNER = "owner@example.org"  # nothing is sent there: see servers/mailbox.py
BATCH = 24  # images of a first batch, and tiles of an instance on the contact sheet


@dataclass(frozen=True)
class Wishes:
    """What to rehearse: the options of the command line."""

    output: Path
    description: Path | None
    archives: Path | None
    instances: tuple[int, ...]  # how many at once, wave after wave; the last wave stays
    settings: dict[str, str]
    without: tuple[str, ...]
    keep: bool
    full: bool = False
    rate: int | None = None  # bytes a second of the archive server
    cluster: int = 0  # most workers; 0: no cluster


@dataclass
class Road:
    """What the steps hand on."""

    wishes: Wishes
    narrator: Narrator
    stack: ExitStack
    description: Path
    archives: Path
    name: str
    splits: dict[str, int]  # name → images
    cloud: Cloud
    cdk: Cdk
    site: ArchiveServer
    mailbox: Mailbox
    settings: dict[str, str]  # of the stacks, as they are deployed now
    mount: str
    username: str
    access_key: str
    before: set[Item]  # what the account had before the first step

    @property
    def subject(self) -> Subject:
        return Subject(self.cloud, self.name, self.description, self.archives, self.mount)

    def output(self, part: str, name: str) -> str:
        """An output of one of the stacks: `part` is dataset, prep or training."""
        stacks = self.cloud.client("cloudformation").describe_stacks(StackName=f"{self.name}-{part}")
        return next(
            str(output["OutputValue"])
            for output in stacks["Stacks"][0]["Outputs"]
            if output["OutputKey"] == name
        )


def prepare(wishes: Wishes, narrator: Narrator, stack: ExitStack) -> Road:
    """Data, archive server, embedded AWS."""
    output = wishes.output
    state = output / "cloud"
    shutil.rmtree(state, ignore_errors=True)  # of a run that was killed
    for name in ("cdk", "logs", "batches"):
        shutil.rmtree(output / name, ignore_errors=True)
        (output / name).mkdir(parents=True)
    for name in ("contact-sheet.png", "preview.html", "report.json"):
        (output / name).unlink(missing_ok=True)
    if wishes.description is None or wishes.archives is None:
        with narrator.step("Make a sample data set in the shape of ILSVRC2012"):
            description, made = sample(output / "sample")
            archives = description.parent / "archives"
            size = sum(file.stat().st_size for file in archives.iterdir())
            narrator.note(f"{size / 1e6:.0f} MB in {archives}{'' if made else ', from an earlier run'}")
    else:
        description, archives = wishes.description.resolve(), wishes.archives.resolve()
    facts = read_description(description)
    with narrator.step("Start the embedded AWS"):
        cloud = start_cloud(state, output / "logs" / "cloud.log", wishes.settings.get("region", "us-east-1"))
        stack.callback(_stop_cloud, cloud, keep=wishes.keep)
        narrator.note(cloud.endpoint)
    home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rehearsal-cdk-")))
    cdk = Cdk(output / "cdk", cloud.environment(home), narrator, zones(cloud))
    mount = wishes.settings.get("mount_point", "/data")
    name = str(facts["name"])
    splits = {split: int(each.get("images", BATCH)) for split, each in facts["splits"].items()}
    username, access_key = "rehearsal", secrets.token_hex(20)
    site = stack.enter_context(ArchiveServer(archives, username, access_key, rate=wishes.rate))
    mailbox = stack.enter_context(Mailbox())
    settings = {"dataset": str(description), "source": site.url, "notify": OWNER} | wishes.settings
    return Road(
        wishes=wishes,
        narrator=narrator,
        stack=stack,
        description=description,
        archives=archives,
        name=name,
        splits=splits,
        cloud=cloud,
        cdk=cdk,
        site=site,
        mailbox=mailbox,
        settings=settings,
        mount=mount,
        username=username,
        access_key=access_key,
        before=listing(cloud),
    )


def sample(folder: Path) -> tuple[Path, bool]:
    """The generated data set's description, and whether it had to be made.

    The same code makes the same bytes, so what an earlier run made with it is used again.
    """
    digest = hashlib.sha256()
    for module in sorted((Path(__file__).parent / "sample").glob("*.py")):
        digest.update(module.read_bytes())
    mark = folder / "made-by.json"
    if mark.exists():
        facts = json.loads(mark.read_text())
        description = folder / facts["description"]
        if facts["code"] == digest.hexdigest() and description.exists():
            return description, False
    shutil.rmtree(folder, ignore_errors=True)
    description = make_sample(folder)
    mark.write_text(json.dumps({"code": digest.hexdigest(), "description": description.name}))
    return description, True


def zones(cloud: Cloud) -> dict[str, object]:
    """The zones of the region, as the command line would look them up and keep them.

    With them in its context it runs the app once, not twice.
    """
    found = cloud.client("ec2").describe_availability_zones()["AvailabilityZones"]
    key = f"availability-zones:account={cloud.account}:region={cloud.region}"
    return {key: [zone["ZoneName"] for zone in found]}


def read_description(path: Path) -> dict[str, Any]:
    """The description, as far as the rehearsal needs it; its rules are the app's and prep's."""
    try:
        facts = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RehearsalError(f"{path}: not a data set description: {error}") from None
    if not isinstance(facts.get("name"), str) or not isinstance(facts.get("splits"), dict):
        raise RehearsalError(f"{path}: not a data set description: it needs a name and splits")
    return facts


def _stop_cloud(cloud: Cloud, *, keep: bool) -> None:
    cloud.stop()
    if not keep:
        shutil.rmtree(cloud.folder, ignore_errors=True)


def make_secret(road: Road) -> None:
    """As the README has it: the value comes from a file, so that it shows in no process list."""
    name = road.wishes.settings.get("secret_name", f"{road.name}/credentials")
    secret = json.dumps({"username": road.username, "access_key": road.access_key})
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(secret)
        file.flush()
        command = ["aws", "secretsmanager", "create-secret", "--name", name]
        done = subprocess.run(
            [*command, "--secret-string", f"file://{file.name}"],
            capture_output=True,
            text=True,
            check=False,
            env=dict(road.cdk.environment),
        )
    if done.returncode != 0:
        raise RehearsalError("the secret could not be created", done.stderr.splitlines()[-5:])
