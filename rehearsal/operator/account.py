"""The rehearsal as its operator: the embedded AWS as a process, and calls with the operator's key."""

# ruff: noqa: S603, S607 (fixed commands, found on the PATH)

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from rehearsal.narrator import RehearsalError

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Cloud:
    """A running embedded AWS."""

    process: "subprocess.Popen[str]"
    folder: Path
    endpoint: str
    key: str
    secret: str
    region: str
    account: str
    calls: Path
    token: str = ""  # of a role's temporary credentials

    def environment(self, home: Path) -> dict[str, str]:
        """For the operator's commands: this cloud, this key, and nothing of the user's own AWS settings."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CDK_"))}
        bin_folder = str(Path(sys.executable).parent)
        if self.token:
            kept["AWS_SESSION_TOKEN"] = self.token
        return kept | {
            "PATH": f"{bin_folder}:{kept.get('PATH', '/usr/bin:/bin')}",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true",
            "CDK_HOME": str(home),
            "CDK_DISABLE_VERSION_CHECK": "1",
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1",
        }

    def client(self, service: str, config: Config | None = None) -> Any:
        return boto3.client(
            service,  # type: ignore[call-overload, unused-ignore]
            endpoint_url=self.endpoint,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            aws_session_token=self.token or None,
            region_name=self.region,
            config=config,
        )

    def as_role(self, arn: str, session: str) -> "Cloud":
        """The same embedded AWS, called with a role's credentials; an instance's session is its id."""
        given = self.client("sts").assume_role(RoleArn=arn, RoleSessionName=session)["Credentials"]
        return replace(
            self,
            key=given["AccessKeyId"],
            secret=given["SecretAccessKey"],
            token=given["SessionToken"],
            account=arn.split(":")[4],
        )

    def instance(self, instance_id: str) -> Path:
        return self.folder / "instances" / instance_id

    def instance_pid(self, instance_id: str) -> int:
        """The host's number for the instance's process 1."""
        return int((self.instance(instance_id) / "pid").read_text())

    def judged_calls(self) -> list[dict[str, Any]]:
        """What the judge at the door was asked: a line of calls.jsonl for each call of an instance."""
        return read_lines(self.calls)

    def refused_calls(self) -> list[str]:
        """Every call that the judge at the door refused, once each, except those made to be refused."""
        lines = []
        for entry in self.judged_calls():
            if not entry["allowed"] and not entry["trial"]:
                note = f"; {entry['note']}" if entry["note"] else ""
                lines.append(
                    f"{entry['permission']} was refused to role {entry['role']} on {entry['resource']} "
                    f"(call {entry['call']} of {entry['instance']}{note})"
                )
        return list(dict.fromkeys(lines))

    def calls_made(self) -> int:
        return sum(not entry["trial"] for entry in self.judged_calls())

    def hold(self, call: str) -> None:
        """Keeps a call waiting from now on, such as "s3:PutObject KEY", and no other one any more.

        "s3:PutObject KEY part" is the next part of an upload.
        """
        (self.folder / "held").unlink(missing_ok=True)
        partial = self.folder / "hold.partial"
        partial.write_text(call)
        partial.rename(self.folder / "hold")

    def is_held(self) -> bool:
        """Whether the call is waiting."""
        return (self.folder / "held").exists()

    def release(self) -> None:
        (self.folder / "hold").unlink(missing_ok=True)

    def stop(self) -> None:
        """Ends every instance in order; 60 s is what a handful of them take at the very most."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


def start_cloud(folder: Path, log: Path, region: str = "us-east-1") -> Cloud:
    """Starts the embedded AWS. The kernel ends it, and with it every instance, when this process is gone."""
    folder.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [
                "setpriv",
                "--pdeathsig",
                "TERM",
                sys.executable,
                "-m",
                "rehearsal.cloud.server",
                str(folder),
                region,
            ],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=REPOSITORY,
            start_new_session=True,
        )
    assert process.stdout is not None  # noqa: S101 (it is a pipe)
    # 60 s: importing moto takes two seconds, on a busy machine ten.
    ready, _, _ = select.select([process.stdout], [], [], 60)
    line = process.stdout.readline() if ready else ""
    if not line:
        process.kill()
        raise RehearsalError("the embedded AWS did not start", tail(log))
    facts = json.loads(line)
    return Cloud(
        process,
        folder,
        facts["endpoint"],
        facts["key"],
        facts["secret"],
        facts["region"],
        facts["account"],
        Path(facts["calls"]),
    )


def in_instance(cloud: Cloud, instance_id: str, *command: str) -> "subprocess.CompletedProcess[str]":
    """Runs a command in an instance as its root, as through Session Manager. At most 5 minutes."""
    enter = ["nsenter", "--target", str(cloud.instance_pid(instance_id))]
    enter += ["--mount", "--pid", "--uts", "--root"]
    environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
    return subprocess.run(
        [
            *enter,
            "env",
            "--chdir=/",
            "-i",
            *(f"{name}={value}" for name, value in environment.items()),
            *command,
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def wait_until(what: str, seconds: float, answer: Callable[[], bool]) -> None:
    """Asks twice a second until the answer is yes."""
    deadline = time.monotonic() + seconds
    while not answer():
        if time.monotonic() > deadline:
            raise RehearsalError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.5)


def read_lines(log: Path) -> list[dict[str, Any]]:
    """The objects of a file with one JSON object a line; none if it is not there yet."""
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def tail(log: Path, lines: int = 15) -> list[str]:
    try:
        return log.read_text(errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        return []
