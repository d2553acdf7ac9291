"""The walk-through of the README, line by line: a real shell runs its commands against the embedded AWS."""

import json
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rehearsal import leftovers
from rehearsal.narrator import RehearsalError
from rehearsal.operator.account import REPOSITORY, in_instance
from rehearsal.operator.readme import Command, walkthrough
from rehearsal.operator.terminal import Terminal
from rehearsal.preparation import Road
from rehearsal.steps.elsewhere import OTHER_REGION

LAPTOP, GPU = "laptop", "GPU instance"
README = REPOSITORY / "README.md"
# What the commands need of this checkout; and what they share with it, as it takes minutes to install.
COPIED = (
    *("Makefile", "app.py", "cdk.json", "package.json", "package-lock.json", "requirements.txt"),
    *("preflight", "prep", "stacks", "userdata"),
)
SHARED = (".venv", "node_modules")


@dataclass(frozen=True)
class Line:
    """How a command of the README is run here."""

    begins: str
    where: str = LAPTOP
    typed: Callable[[Road], str] = lambda _: ""
    seconds: float = 120


# Every command of the walk-through, in its order. A boot, for which `make deploy` waits, may take 20 minutes.
TABLE = (
    Line("make plan"),
    Line("make bootstrap", seconds=300),
    Line("source .venv/bin/activate"),
    Line("read -rp 'user name: ' u", typed=lambda road: f"{road.username}\n{road.access_key}\n"),
    Line('printf \'{"username"'),
    Line("make deploy", seconds=1500),
    Line("python -m prep.owner status --watch", seconds=600),
    Line("aws ssm get-parameter"),
    Line("aws s3 cp s3://BUCKET/ilsvrc2012/packed/preview.html"),
    Line("python -m prep.owner launch", seconds=900),
    Line("aws ec2 run-instances"),
    Line("from prep import Records", GPU),
    Line("python -m prep.owner destroy --stack prep", typed=lambda _: "y\nn\n", seconds=300),
    Line("python -m prep.owner copy"),
    Line('make bootstrap SETTINGS="region=', seconds=300),
    Line("make deploy STACKS=Training", seconds=600),
    Line("aws ec2 terminate-instances"),
    Line("python -m prep.owner destroy --region", typed=lambda _: "y\n", seconds=300),
    Line("python -m prep.owner destroy", typed=lambda _: "y\nn\n", seconds=300),
)

# What the README leaves to its reader, and where the rehearsal differs.
REPLACED: dict[str, Callable[[Road, "Walkthrough"], str]] = {
    r"ilsvrc2012": lambda road, _: road.name,
    r"\bINSTANCE_IDS\b": lambda _, walk: " ".join(walk.gpus),
    r"\bBUCKET\b": lambda road, _: road.output("dataset", "BucketName"),
    r"\bLT_ID\b": lambda road, _: road.output("training", "LaunchTemplateId"),
    r"\bSUBNET_ID\b": lambda road, _: road.output("dataset", "SubnetIds").split(",")[0],
    r"\beu-west-1\b": lambda road, _: elsewhere(road),
    r"--count 4\b": lambda road, _: f"--count {road.wishes.instances[-1]}",
    r'"/data"': lambda road, _: f'"{road.mount}"',
}

# The operator's environment, beside the embedded AWS: what the reader would type or answer.
CDK = {
    "CDK_METHOD": "direct",  # moto loses the outputs of change sets
    "CDK_REQUIRE_APPROVAL": "never",  # nobody reads the list of roles here
    "CDK_NOTICES": "false",  # they come from the internet
    "CDK_PROGRESS": "events",
}


def elsewhere(road: Road) -> str:
    """The other Region."""
    return OTHER_REGION if road.cloud.region != OTHER_REGION else "us-east-1"


def line_of(command: Command) -> Line:
    """The row of the table that is meant: the longest whose beginning the command has.

    Raises:
        RehearsalError: the table has none.
    """
    rows = [line for line in TABLE if command.text.startswith(line.begins)]
    if not rows:
        raise RehearsalError(
            f"README.md has a command that rehearsal/steps/walkthrough.py does not know: {command.text!r}"
        )
    return max(rows, key=lambda line: len(line.begins))


@dataclass
class Walkthrough:
    """The README's reader, who has come to some step."""

    road: Road
    checkout: Path
    terminal: Terminal
    commands: list[Command]
    gpus: list[str] = field(default_factory=list)
    done: list[dict[str, str]] = field(default_factory=list)  # each command and how it went, for the report

    def step(self, number: int, *, from_line: int = 0, to_line: int | None = None) -> list[str]:
        """Runs the commands of a step of the README, or some of them; gives the lines that they wrote.

        Raises:
            RehearsalError: one ended with another exit status than it should.
        """
        chosen = [command for command in self.commands if command.step == number][from_line:to_line]
        said: list[str] = []
        for command in chosen:
            said += self._run(command)
        return said

    def configure(self, settings: Mapping[str, str]) -> None:
        """Writes settings into cdk.json, beside those that are always there."""
        configuration = json.loads((REPOSITORY / "cdk.json").read_text())
        configuration["context"] |= settings
        (self.checkout / "cdk.json").write_text(json.dumps(configuration))

    def start(self, road: Road, _count: int) -> list[str]:
        """Training instances by the commands of step 4; gives their ids."""
        before = set(leftovers.instances(road.cloud))
        self.step(4, to_line=-1)
        self.gpus = [each for each in leftovers.instances(road.cloud) if each not in before]
        return self.gpus

    def _run(self, command: Command) -> list[str]:
        line = line_of(command)
        shown = command.text.splitlines()[0]
        with self.road.narrator.step(f"README, step {command.step}: {shown}"):
            text = self._replaced(command.text)
            if line.where == LAPTOP:
                status, said = self.terminal.run(
                    text, line.typed(self.road), line.seconds, self.road.narrator.note
                )
            else:
                status, said = self._on_instance(command, text)
            if status != 0:
                raise RehearsalError(
                    f"README, step {command.step}: {shown!r} ended with exit status {status}", said[-25:]
                )
            self.done.append({"step": str(command.step), "command": command.text, "where": line.where})
            self.road.narrator.note("")
        return said

    def _on_instance(self, command: Command, text: str) -> tuple[int, list[str]]:
        """On a training instance, which has the programs of this machine; as if prep were installed there."""
        program = ["sh", "-c"] if command.language == "sh" else [sys.executable, "-B", "-c"]
        installed = ["env", f"PYTHONPATH={REPOSITORY}"]
        done = in_instance(self.road.cloud, self.gpus[0], *installed, *program, text)
        return done.returncode, (done.stdout + done.stderr).splitlines()

    def _replaced(self, text: str) -> str:
        for pattern, value in REPLACED.items():
            if re.search(pattern, text):
                replacement = value(self.road, self)
                text = re.sub(pattern, lambda _, new=replacement: new, text)  # type: ignore[misc]
        return text

    def check(self) -> None:
        """A row of the result: every command of the README was run, in its order."""
        ok = [row["command"] for row in self.done] == [command.text for command in self.commands]
        figure = f"{len(self.done)} of {len(self.commands)} commands"
        self.road.narrator.check("the README's walk-through, line by line", ok, figure)
        path = self.road.wishes.output / "walkthrough.json"
        path.write_text(json.dumps(self.done, indent=1) + "\n")


def begin(road: Road) -> Walkthrough:
    """A fresh checkout with the settings of the rehearsal, and a terminal there."""
    checkout = road.cdk.folder / "checkout"
    _check_out(checkout)
    (checkout / "cdk.context.json").write_text(json.dumps(road.cdk.context))
    environment = _of_a_user(road.cdk.environment) | CDK | {"PREP_DATASET": road.name}
    terminal = Terminal(environment, checkout, road.wishes.output / "logs" / "walkthrough.log")
    road.stack.callback(terminal.close)
    walk = Walkthrough(road, checkout, terminal, walkthrough(README.read_text()))
    walk.configure(road.settings)
    return walk


def _check_out(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in COPIED:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder)
    for name in SHARED:
        (folder / name).symlink_to((REPOSITORY / name).resolve())
    (folder / ".cache").mkdir()
    for name in ("python", "node"):  # `make` need not install them: the rehearsal runs with them
        (folder / ".cache" / name).touch()


def _of_a_user(environment: Mapping[str, str]) -> dict[str, str]:
    """Without what `make rehearse` was called with, and settings of prep."""
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(("MAKE", "MFLAGS", "PREP_")) and name not in ("ARGS", "SETTINGS", "STACKS")
    }
