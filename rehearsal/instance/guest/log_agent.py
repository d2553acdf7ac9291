"""The CloudWatch agent of an instance of the rehearsal: what files hold goes to streams of a log group.

As `amazon-cloudwatch-agent-ctl -a fetch-config … -c file:CONFIG` it makes and starts the agent's service; as
`run CONFIG` it is that service. Like the real one, it makes its streams, but no group that is there.
"""

# ruff: noqa: S603, S607 (fixed commands, found on the PATH)

import json
import os
import shlex
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from urllib.request import Request, urlopen

HOME = Path("/opt/aws/amazon-cloudwatch-agent")
UNIT = Path("/etc/systemd/system/amazon-cloudwatch-agent.service")
PAUSE = 1.0


def install() -> None:
    """What the package brings."""
    for name in ("bin", "etc"):
        (HOME / name).mkdir(parents=True, exist_ok=True)
    control = HOME / "bin" / "amazon-cloudwatch-agent-ctl"
    control.write_text(f'#!/bin/sh\nexec {_command()} "$@"\n')
    control.chmod(0o755)


def _command() -> str:
    path = f"PYTHONPATH={os.environ['PYTHONPATH']}"
    return shlex.join(["env", path, sys.executable, "-B", "-m", "rehearsal.instance.guest.log_agent"])


def start(config: str) -> int:
    UNIT.write_text(
        f"[Service]\nExecStart={_command()} run {config}\n"
        f"Environment=AWS_DEFAULT_REGION={os.environ['AWS_DEFAULT_REGION']}\n"
        "[Install]\nWantedBy=multi-user.target\n"
    )
    return subprocess.run(["systemctl", "enable", "--now", UNIT.name], check=False).returncode


def run(config: str) -> None:
    files = json.loads(Path(config).read_text())["logs"]["logs_collected"]["files"]["collect_list"]
    sent = dict.fromkeys(range(len(files)), 0)
    for file in files:
        _logs("create-log-stream", *_stream(file))
    while True:
        for number, file in enumerate(files):
            path = Path(file["file_path"])
            text = path.read_bytes()[sent[number] :] if path.exists() else b""
            whole = text[: text.rfind(b"\n") + 1]
            if whole and _put(file, whole.decode(errors="replace")):
                sent[number] += len(whole)
        time.sleep(PAUSE)


def _put(file: dict[str, str], text: str) -> bool:
    now = int(time.time() * 1000)
    events = [{"timestamp": now, "message": line} for line in text.splitlines() if line.strip()]
    return not events or _logs("put-log-events", *_stream(file), "--log-events", json.dumps(events))


def _stream(file: dict[str, str]) -> list[str]:
    name = file["log_stream_name"].replace("{instance_id}", _instance_id())
    return ["--log-group-name", file["log_group_name"], "--log-stream-name", name]


@cache
def _instance_id() -> str:
    service = os.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"].rstrip("/") + "/latest"
    asked = Request(  # noqa: S310 (the metadata service's address)
        f"{service}/api/token", method="PUT", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    )
    with urlopen(asked, timeout=10) as answer:  # noqa: S310
        token = answer.read().decode()
    asked = Request(  # noqa: S310
        f"{service}/meta-data/instance-id", headers={"X-aws-ec2-metadata-token": token}
    )
    with urlopen(asked, timeout=10) as answer:  # noqa: S310
        return str(answer.read().decode())


def _logs(*words: str) -> bool:
    return subprocess.run(["aws", "logs", *words], stdout=subprocess.DEVNULL, check=False).returncode == 0


if __name__ == "__main__":
    if sys.argv[1] == "run":
        run(sys.argv[2])
    sys.exit(start(sys.argv[sys.argv.index("-c") + 1].removeprefix("file:")))
