"""The S3 server: it keeps what it is given, and wants a signature."""

from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from rehearsal.servers.s3 import REGION, S3ServerError, s3_server


def test_it_keeps_objects_and_refuses_strangers(tmp_path: Path) -> None:
    with s3_server(tmp_path / "s3") as server:
        keys = {"aws_access_key_id": server.access_key_id, "aws_secret_access_key": server.secret_access_key}
        client = boto3.client("s3", endpoint_url=server.endpoint, region_name=REGION, **keys)  # type: ignore[call-overload]
        client.create_bucket(Bucket="backup")
        client.put_object(Bucket="backup", Key="a/b", Body=b"content", ChecksumAlgorithm="SHA256")
        assert client.get_object(Bucket="backup", Key="a/b")["Body"].read() == b"content"
        wrong = keys | {"aws_secret_access_key": "wrong"}
        stranger = boto3.client("s3", endpoint_url=server.endpoint, region_name=REGION, **wrong)  # type: ignore[call-overload]
        with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
            stranger.get_object(Bucket="backup", Key="a/b")
    with pytest.raises(Exception, match="Could not connect"):
        client.list_buckets()
    assert not (tmp_path / "s3" / "identities.json").exists()


def test_without_the_command_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(S3ServerError, match="pip install"), s3_server(tmp_path):
        pass
