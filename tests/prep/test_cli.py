"""The command line as a process: one line for each mistake, the right exit code, no secret, no trace."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from prep import contract
from prep.cli import cli
from prep.owner.cli import COMMANDS
from prep.stages.status import STAGES
from tests.prep import pictures
from tests.prep.commands import folders, run
from tests.prep.small_sets import Images, place_archives, write_folders

USERNAME, ACCESS_KEY = "someone", "hush/hush"
SITE = {contract.ENV_USERNAME: USERNAME, contract.ENV_ACCESS_KEY: ACCESS_KEY}
TINY: dict[str, Images] = {
    "train": {
        "cat": {"1.jpg": pictures.jpeg(40, 30, 1), "2.png": pictures.save(pictures.picture(40, 30), "PNG")},
        "dog": {"1.jpg": pictures.jpeg(60, 80, 2), "3.jpg": pictures.jpeg(20, 20, 3)},
    }
}
NO_AWS: dict[str, str | None] = {
    "AWS_ACCESS_KEY_ID": None,
    "AWS_SECRET_ACCESS_KEY": None,
    "AWS_SESSION_TOKEN": None,
    "AWS_PROFILE": None,
    "AWS_REGION": None,
    "AWS_DEFAULT_REGION": None,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Description of a small data set whose archives are in place."""
    toml = write_folders(tmp_path / "set", TINY)
    place_archives(toml, tmp_path / "root")
    return toml


def one_line(done: "subprocess.CompletedProcess[str]", code: int, message: str) -> None:
    """The mistake is said in one line on standard error, and that is all."""
    assert "Traceback" not in done.stderr
    said = [
        line
        for line in done.stderr.splitlines()
        if not line.startswith(("pack: ", "download: ", "organize: "))
    ]
    assert len(said) == 1, done.stderr
    assert re.search(message, said[0]), said[0]
    assert said[0].startswith("error: ")
    assert (done.returncode, done.stdout) == (code, "")
    assert ACCESS_KEY not in done.stderr


INTERRUPTED = "interrupted: run the same command again; it continues where it stopped"
MISTAKES: dict[str, tuple[list[str], int, str]] = {
    "unknown command": (["pakc"], 2, "No such command 'pakc'"),
    "unknown option": (["pack", "--reszie", "3"], 2, "No such option.*--reszie"),
    "no number": (["pack", "--resize", "large"], 2, "'--resize': 'large' is not a valid int"),
    "quality 0": (["pack", "--quality", "0"], 2, "'--quality': 0 is not in the range 1<=x<=100"),
    "no thread": (["pack", "--threads", "0"], 2, "'--threads': 0 is not in the range"),
    "unknown data set": (
        ["pack", "--dataset", "imagenet"],
        2,
        "'imagenet': no such description: give one of",
    ),
    "no description": (["pack", "--dataset", "/none.toml"], 2, "/none.toml: No such file"),
    "no bucket": (["backup"], 2, "backup: no bucket: give --bucket or set PREP_BUCKET"),
    "no volume": (["snapshot"], 2, "snapshot: no volume: give --volume or set PREP_VOLUME"),
    "wrong choice": (["snapshot", "--snapshot-of", "both"], 2, "'both' is not one of 'packed', 'work'"),
    "in S3, here": (
        ["pack", "--packed", "s3://b/p"],
        2,
        "--packed: is an address in S3: give a folder, or add",
    ),
    "a cluster, here": (["verify", "--address", "a:1"], 2, "--address: only with --on ray: add it"),
    "archives in S3, here": (["pack", "--source", "s3://b/p"], 2, "--source: only with --on ray: add it"),
    "no place for work": (["pack", "--on", "spark"], 2, "'spark' is not one of 'here', 'ray'"),
    "on ray, no source": (["pack", "--on", "ray"], 2, "--source: with --on ray, give an address like s3://"),
    "on ray, a folder": (
        ["pack", "--on", "ray", "--source", "s3://b/a"],
        2,
        "--packed: with --on ray, give an address like s3://",
    ),
    "on ray, threads": (["pack", "--on", "ray", "--threads", "2"], 2, "--threads: not with --on ray"),
    "on ray, folders": (["pack", "--on", "ray", "--from-folders"], 2, "--from-folders: not with --on ray"),
    "not downloaded": (["pack"], 5, "ILSVRC2012_img_train.tar: not there: run download first"),
    "not packed": (["verify"], 5, "MANIFEST.json: No such file or directory: run pack"),
    "not verified": (["snapshot", "--volume", "vol-1"], 5, "MANIFEST.json: No such file"),
    "root is a file": (["pack", "--root", "/dev/null"], 1, "/dev/null/.prep: Not a directory: check --root"),
    "root below a file": (
        ["pack", "--root", "/dev/null/x"],
        1,
        "/dev/null/x.*: Not a directory: check --root",
    ),
    "root can't be made": (["pack", "--root", "/proc/x"], 1, "/proc/x.*: No such file .*: check --root"),
}


@pytest.mark.parametrize(("arguments", "code", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes(tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    given = [] if code == 2 and arguments[0] == "pakc" else folders(tmp_path)
    # The later of two options counts.
    one_line(run(arguments[0], *given, *arguments[1:], env=NO_AWS), code, message)


def test_options_from_the_environment_are_checked_too(tmp_path: Path) -> None:
    done = run("pack", *folders(tmp_path), env={contract.ENV_QUALITY: "101"})
    one_line(done, 2, "'--quality'.*101 is not in the range")


def test_no_aws_credentials(tmp_path: Path, tiny: Path) -> None:
    arguments = ["--dataset", str(tiny), *folders(tmp_path)]
    assert run("pack", *arguments).returncode == 0
    env = NO_AWS | {"AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    one_line(run("backup", *arguments, "--bucket", "b", env=env), 3, "no AWS credentials: run `aws conf")


def test_nothing_from_an_archive_steers_the_terminal(tmp_path: Path) -> None:
    toml = write_folders(tmp_path / "set", {"train": {"a": {"red\x1b[31m.jpg": pictures.jpeg(20, 20, 1)}}})
    place_archives(toml, tmp_path / "root")
    done = run("pack", "--dataset", str(toml), *folders(tmp_path))
    one_line(done, 5, r"train\.tar: .*red")
    assert "\x1b" not in done.stderr


def test_nothing_from_a_description_steers_the_terminal(tmp_path: Path) -> None:
    toml = write_folders(tmp_path / "set", TINY)
    toml.write_text(toml.read_text().replace("[splits.train]", '[splits."\\u001b[2J\\nerror: train"]'))
    done = run("pack", "--dataset", str(toml), *folders(tmp_path))
    one_line(done, 2, r"lower-case letters, digits and underscores")
    assert "\x1b" not in done.stderr


def test_nothing_from_a_receipt_steers_the_terminal(tmp_path: Path, tiny: Path) -> None:
    arguments = ["--dataset", str(tiny), *folders(tmp_path)]
    assert run("pack", *arguments).returncode == 0
    path = tmp_path / "root" / ".prep" / "pack.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"finished": "\x1b[2Jnow\nverify done"}))
    shown, again = run("status", *arguments), run("pack", *arguments)
    assert [line[:10].strip() for line in shown.stdout.splitlines()] == [
        "tiny: not",
        "",
        "stages",
        "",
        "next",
    ]
    assert "\x1b" not in shown.stdout
    assert len(again.stderr.splitlines()) == 1
    assert "\x1b" not in shown.stdout + again.stderr


def test_a_long_complaint_of_aws_is_one_line(aws: str, tmp_path: Path, tiny: Path) -> None:
    """boto3 says what is wrong with a bucket's name in two lines."""
    assert aws
    done = run("restore", "--dataset", str(tiny), *folders(tmp_path), "--bucket", "no bucket")
    one_line(done, 7, "Invalid bucket name")


def test_words_of_the_decoder_stay_off_the_terminal(tmp_path: Path) -> None:
    """libjpeg writes them to standard error itself, in `pack` where it shrinks and in `verify` always."""
    images = {f"{number}.jpg": pictures.jpeg(200, 150, number) for number in range(4)}
    images["2.jpg"] = pictures.damaged_inside(images["2.jpg"])
    toml = write_folders(tmp_path / "set", {"train": {"a": images}})
    place_archives(toml, tmp_path / "root")
    arguments = ["--dataset", str(toml), *folders(tmp_path)]
    packed = run("pack", "--resize", "50", *arguments)
    assert packed.returncode == 0
    kept = run("pack", *arguments)
    verified = run("verify", *arguments)
    assert (kept.returncode, verified.returncode) == (0, 0)
    assert "1 damaged" in verified.stderr
    for done in (packed, kept, verified):
        assert "JPEG data" not in done.stderr + done.stdout


def test_helps() -> None:
    """Every command's help, with an exit code of 0 and on standard output."""
    top = run("--help")
    assert (top.returncode, top.stderr) == (0, "")
    assert set(STAGES) | {"run", "status"} <= set(cli.commands)
    for name, command in cli.commands.items():
        assert re.search(rf"^  {name} ", top.stdout, re.MULTILINE)
        done = run(name, "-h") if name == "pack" else None
        text = (
            done.stdout if done else command.get_help(command.make_context(name, [], resilient_parsing=True))
        )
        assert text.startswith("Usage: ")
        if command in COMMANDS or name in set(STAGES) - {"preview"}:  # which needs no description
            assert "--dataset" in text
            assert ("--packed" in text) != (command in COMMANDS)  # the owner's work on no folder
        assert len(command.help or "") > 20
    for secret in ("--username", "--access-key", "--password"):
        assert secret not in top.stdout


def test_without_a_command() -> None:
    done = run()
    assert done.returncode == 2
    assert "Usage: python -m prep" in done.stderr
    assert "Traceback" not in done.stderr


def test_result_goes_to_standard_output(tmp_path: Path, tiny: Path) -> None:
    arguments = ["--dataset", str(tiny), *folders(tmp_path)]
    silent = run("pack", *arguments)
    assert (silent.returncode, silent.stdout) == (0, "")
    assert silent.stderr.startswith("pack: done in ")
    done = run("pack", "--json", *arguments)
    receipt = json.loads(done.stdout)
    assert (receipt["stage"], receipt["counts"]) == ("pack", {"train": 4})
    assert str(tmp_path / "packed" / "train.rec") in receipt["outputs"]


def test_relative_folders(tmp_path: Path, tiny: Path) -> None:
    done = run("pack", "--dataset", str(tiny), "--root", os.path.relpath(tmp_path / "root"), "--packed",
               os.path.relpath(tmp_path / "packed"))  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "packed" / "train.rec").exists()


def test_status(tmp_path: Path, tiny: Path) -> None:
    arguments = ["--dataset", str(tiny), *folders(tmp_path)]
    fresh = run("status", *arguments)
    assert fresh.returncode == 0
    assert f"stages    not begun: {', '.join(STAGES)}" in fresh.stdout
    assert fresh.stdout.splitlines()[-1].startswith("next      python -m prep run --dataset ")
    assert run("pack", *arguments).returncode == 0
    (tmp_path / "root" / ".prep" / "journals" / "organize.jsonl").write_text('{"settings": {}}\n')
    text = run("status", *arguments).stdout
    assert re.search(r" pack: done, \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ, [\d.]+ s\n", text)
    assert re.search(r" organize: begun, 0.0 GB of the archives\n", text)
    table = json.loads(run("status", "--json", *arguments).stdout)
    run_of_it = table.pop("run")
    assert (run_of_it["verdict"], run_of_it["status"]) == ("not begun", None)
    assert {stage: facts["state"] for stage, facts in table.items()} == {
        stage: {"pack": "done", "organize": "begun"}.get(stage, "not begun") for stage in STAGES
    }
    assert table["pack"]["counts"] == {"train": 4}


def test_status_of_nothing(tmp_path: Path) -> None:
    """Looks, and makes nothing."""
    done = run("status", *folders(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []
