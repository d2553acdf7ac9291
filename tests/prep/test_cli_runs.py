"""The command line at work: downloads from a site, a second process, interrupts, a whole run."""

import json
import re
import signal
import subprocess
from pathlib import Path

import boto3
import pytest

from prep import contract
from prep.cli import cli
from prep.command_line import RESUMED, leaves
from prep.owner.cli import owner
from rehearsal.servers.archive import ArchiveServer, Fault
from tests.prep.commands import LONGEST, PREP_SMALL, call, folders, lines, run, start, wait_for
from tests.prep.small_sets import packed_files, place_archives, write_folders
from tests.prep.test_cli import ACCESS_KEY, INTERRUPTED, NO_AWS, SITE, TINY, USERNAME, one_line


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """A description whose archives lie on a server only."""
    return write_folders(tmp_path / "set", TINY)


def fetch(toml: Path, folder: Path, server: ArchiveServer, **env: str) -> "subprocess.CompletedProcess[str]":
    arguments = ["--dataset", str(toml), *folders(folder), "--source", server.url]
    return run("download", *arguments, env={**NO_AWS, **env})


def test_download_mistakes_and_their_remedies(tmp_path: Path, served: Path) -> None:
    archives = served.parent / "archives"
    good = served.read_text()
    with ArchiveServer(archives, USERNAME, ACCESS_KEY) as server:
        one_line(fetch(served, tmp_path, server), 3, r"train.tar: refused \(HTTP 401\)")
        one_line(fetch(served, tmp_path, server, **(SITE | {contract.ENV_ACCESS_KEY: "wrong"})), 3, "refused")
        one_line(
            fetch(served, tmp_path, server, **{contract.ENV_USERNAME: "me"}), 3, "PREP_ACCESS_KEY is not set"
        )
        (archives / "train.tar").rename(archives / "away")
        one_line(fetch(served, tmp_path, server, **SITE), 4, r"train.tar: not found \(HTTP 404\)")
        (archives / "away").rename(archives / "train.tar")
        served.write_text(re.sub('md5 = "[0-9a-f]{8}', 'md5 = "00000000', good))
        one_line(fetch(served, tmp_path, server, **SITE), 5, "its MD5 is .* 00000000.*; the file was removed")
        server.plan = lambda _: Fault(html=True)
        served.write_text(good)
        one_line(fetch(served, tmp_path, server, **SITE), 4, "sent a web page instead of the archive")
        server.plan = None
        done = fetch(served, tmp_path, server, **SITE)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "root" / "archives" / "train.tar").read_bytes() == (
            archives / "train.tar"
        ).read_bytes()
        assert ACCESS_KEY not in done.stderr + done.stdout


def test_credentials_from_a_secret(aws: str, tmp_path: Path, served: Path) -> None:
    assert aws
    arguments = ["--dataset", str(served), *folders(tmp_path), "--secret", "set/credentials"]
    with ArchiveServer(served.parent / "archives", USERNAME, ACCESS_KEY) as server:
        arguments += ["--source", server.url]
        one_line(run("download", *arguments), 3, "secret set/credentials: ResourceNotFoundException")
        client = boto3.client("secretsmanager")
        client.create_secret(Name="set/credentials", SecretString=f'{{"username": "{ACCESS_KEY}"}}')
        one_line(run("download", *arguments), 3, "secret set/credentials: must be JSON of the form")
        client.put_secret_value(
            SecretId="set/credentials",
            SecretString=json.dumps({"username": USERNAME, "access_key": ACCESS_KEY}),
        )
        done = run("download", *arguments)
        assert done.returncode == 0, done.stderr
        for path in (tmp_path / "root").rglob("*"):
            assert not path.is_file() or ACCESS_KEY.encode() not in path.read_bytes()


def test_credentials_show_in_no_process_list(aws: str, tmp_path: Path, served: Path) -> None:
    """Neither among the arguments nor in the environment of a process that got them from a secret."""
    assert aws
    content = json.dumps({"username": USERNAME, "access_key": ACCESS_KEY})
    boto3.client("secretsmanager").create_secret(Name="set/credentials", SecretString=content)
    arguments = ["--dataset", str(served), *folders(tmp_path), "--secret", "set/credentials"]
    plan = lambda _: Fault(stall_after=0, stall_seconds=30)  # noqa: E731
    with ArchiveServer(served.parent / "archives", USERNAME, ACCESS_KEY, plan=plan) as server:
        process = start("download", *arguments, "--source", server.url)
        assert wait_for(lambda: bool(server.requests), process)  # let in, so it has them
        shown = b"".join(Path(f"/proc/{process.pid}/{file}").read_bytes() for file in ("cmdline", "environ"))
        process.kill()
        process.communicate()
    assert b"set/credentials" in shown
    assert ACCESS_KEY.encode() not in shown
    assert USERNAME.encode() not in shown


def test_second_process_is_refused(tmp_path: Path, served: Path) -> None:
    """While the first goes on."""
    with ArchiveServer(
        served.parent / "archives",
        USERNAME,
        ACCESS_KEY,
        plan=lambda _: Fault(stall_after=0, stall_seconds=30),
    ) as server:
        arguments = ["--dataset", str(served), *folders(tmp_path), "--source", server.url]
        first = start("download", *arguments, env=SITE)
        assert wait_for(lambda: bool(server.requests), first)
        one_line(run("pack", *arguments[:-2]), 2, "root: another prep process is using this folder: wait")
        assert run("status", *arguments[:-2]).returncode == 0
        assert first.poll() is None
        first.kill()
        first.communicate()
    assert "another prep" not in run("pack", *arguments[:-2]).stderr


@pytest.mark.parametrize(
    ("name", "arguments", "continues"),
    [
        ("organize", [], True),
        ("feed", [], False),
        ("plan", [], False),
        ("dataset new", [".", "--output", "x.toml"], False),
    ],
)
def test_only_what_continues_is_said_to(
    name: str, arguments: list[str], continues: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(dict(leaves(cli))[name], "callback", interrupt)
    done = call(*name.split(), *arguments)
    assert done.returncode == 130
    assert done.stderr.strip() == (INTERRUPTED if continues else INTERRUPTED.partition(";")[0])


def test_what_continues_is_a_command() -> None:
    assert {name for group in (cli, owner) for name, _ in leaves(group)} >= RESUMED


# Two seconds are promised, one is taken; the rest is for a busy machine.
AT_ONCE = 6.0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_pack_goes_on(tmp_path: Path, sample: Path, number: signal.Signals) -> None:
    place_archives(sample, tmp_path / "root")
    journal = tmp_path / "packed" / ".packing" / "journal.jsonl"
    command = ["pack", "--dataset", str(sample), *folders(tmp_path)]
    process = start(*command, program=PREP_SMALL)
    assert wait_for(lambda: lines(journal) >= 4, process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=LONGEST)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == INTERRUPTED
    kept = lines(journal)
    assert kept >= 4
    done = run(*command, program=PREP_SMALL)
    assert done.returncode == 0, done.stderr
    assert set(packed_files(tmp_path)) >= {"train.rec", "validation.rec", "MANIFEST.json"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_download_goes_on(tmp_path: Path, served: Path, number: signal.Signals) -> None:
    """Even where the server has fallen silent: a minute later it would be left for good."""
    with ArchiveServer(served.parent / "archives", USERNAME, ACCESS_KEY) as server:
        server.plan = lambda asked: (
            Fault(stall_after=10, stall_seconds=60) if asked.range != "bytes=0-0" else None
        )
        command = ["download", "--dataset", str(served), *folders(tmp_path), "--source", server.url]
        process = start(*command, env=SITE)
        assert wait_for(lambda: len(server.requests) >= 2, process)
        process.send_signal(number)
        _, errors = process.communicate(timeout=AT_ONCE)
        assert process.returncode == 130
        assert errors.splitlines()[-1] == INTERRUPTED
        server.plan = None
        assert run(*command, env=SITE).returncode == 0


def test_whole_run_and_nothing_twice(aws: str, tmp_path: Path, served: Path) -> None:
    """`run` without a volume: every stage but the snapshot; and once more, which does nothing."""
    assert aws
    boto3.client("s3").create_bucket(Bucket="run-bucket")
    with ArchiveServer(served.parent / "archives", USERNAME, ACCESS_KEY) as server:
        env = SITE | {
            contract.ENV_DATASET: str(served),
            contract.ENV_ROOT: str(tmp_path / "root"),
            contract.ENV_PACKED: str(tmp_path / "packed"),
            contract.ENV_SOURCE: server.url,
            contract.ENV_BUCKET: "run-bucket",
            contract.ENV_RESIZE: "32",
        }
        first = run("run", "--json", env=env)
        assert first.returncode == 0, first.stderr
        assert [receipt["stage"] for receipt in json.loads(first.stdout)] == [
            "download", "organize", "pack", "verify", "preview", "backup", "run",
        ]  # fmt: skip
        assert json.loads((tmp_path / "packed" / "MANIFEST.json").read_text())["settings"]["resize"] == 32
        asked = len(server.requests)
        second = run("run", "--json", env=env)
        assert json.loads(second.stdout) == json.loads(first.stdout)
        assert len(server.requests) == asked
    assert re.findall(r"^(\w+): done on ", second.stderr, re.MULTILINE) == [
        "download", "organize", "pack", "verify", "preview", "backup", "run",
    ]  # fmt: skip
