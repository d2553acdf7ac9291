"""Every fault of S3, by the real command line and a real server: its line, and that a rerun finishes."""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from rehearsal.servers.s3 import S3Server, s3_server
from tests.prep.bulk import bulk
from tests.prep.commands import folders, run
from tests.prep.faults import S3, S3Fault, matches
from tests.prep.hasty import HASTY
from tests.prep.s3_proxy import S3Proxy
from tests.prep.small_sets import place_archives

BUCKET = "faults"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """SeaweedFS, with a bucket."""
    with s3_server(tmp_path_factory.mktemp("s3")) as running:
        client(running).create_bucket(Bucket=BUCKET)
        yield running


def client(server: S3Server) -> Any:
    """A client of the server itself, without the proxy."""
    return boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        region_name="us-east-1",
        aws_access_key_id=server.access_key_id,
        aws_secret_access_key=server.secret_access_key,
    )


@pytest.fixture(scope="module")
def toml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Description of a data set whose archive is three units of the real size."""
    return bulk(tmp_path_factory.mktemp("bulk") / "set", 20, 1_000_000)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory, toml: Path) -> Path:
    """A folder with the data set, packed."""
    folder = tmp_path_factory.mktemp("packed")
    place_archives(toml, folder / "root")
    assert run("pack", "--dataset", str(toml), *folders(folder)).returncode == 0
    return folder


def stored(s3: Any) -> dict[str, str]:
    """SHA-256 of every object but the receipts, by key."""
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]
    return {
        key: hashlib.sha256(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()).hexdigest()
        for key in keys
        if "/receipts/" not in key
    }


def end_uploads(s3: Any) -> None:
    for upload in s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []):
        s3.abort_multipart_upload(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])


def clear(s3: Any) -> None:
    end_uploads(s3)
    for item in s3.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        s3.delete_object(Bucket=BUCKET, Key=item["Key"])


def expected(packed: Path) -> dict[str, str]:
    """What an undisturbed backup leaves."""
    files = {f"tiny/archives/{path.name}": path for path in (packed / "root" / "archives").iterdir()}
    files |= {f"tiny/packed/{path.name}": path for path in (packed / "packed").iterdir() if path.is_file()}
    return {key: hashlib.sha256(path.read_bytes()).hexdigest() for key, path in files.items()}


@pytest.mark.parametrize("fault", S3.values(), ids=S3)
def test_fault(tmp_path: Path, server: S3Server, toml: Path, packed: Path, fault: S3Fault) -> None:
    s3 = client(server)
    clear(s3)
    for name in ("root", "packed"):
        shutil.copytree(packed / name, tmp_path / name)
    command = ["backup", "--dataset", str(toml), *folders(tmp_path), "--bucket", BUCKET]
    with S3Proxy(server.endpoint) as proxy:
        env = server.environment() | {"AWS_ENDPOINT_URL": proxy.endpoint}
        proxy.plan = fault.plan(lambda: end_uploads(s3))
        done = run(*command, env=env, program=HASTY)
        said = [line for line in done.stderr.splitlines() if ": trying again in " not in line]
        assert (done.returncode, done.stdout) == (fault.code, ""), done.stderr
        assert server.secret_access_key not in done.stderr
        if fault.code:
            assert matches(f"error: {fault.says}", said[0]), said
            assert len(said) == 1
            assert not (tmp_path / "root" / ".prep" / "backup.json").exists()
            if fault.ended:
                end_uploads(s3)
            proxy.plan = None
            proxy.requests.clear()
            again = run(*command, env=env, program=HASTY)
            assert again.returncode == 0, again.stderr
            begun = {
                request.key for request in proxy.requests if request.operation == "CreateMultipartUpload"
            }
            assert ("tiny/archives/train.tar" not in begun) == fault.kept
        else:
            assert [line.split(":")[0] for line in said] == ["backup"]
        assert s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) == []
    assert stored(s3) == expected(packed)
    if not fault.code:
        return
    check = ["verify", "--dataset", str(toml), *folders(tmp_path), "--against", f"s3://{BUCKET}"]
    assert run(*check, env=server.environment()).returncode == 0
