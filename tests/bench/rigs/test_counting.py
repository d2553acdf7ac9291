"""The proxy that counts requests, in front of a real S3 server."""

from pathlib import Path

import boto3
import pytest

from bench.rigs.counting import CountingProxy, kind_of
from rehearsal.servers.s3 import REGION, s3_server

PART = 5 << 20
NAMED = ("ETag", "PartNumber", "ChecksumSHA256")


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/bucket/a/b", "GetObject"),
        ("HEAD", "/bucket/a", "HeadObject"),
        ("PUT", "/bucket/a?x-id=PutObject", "PutObject"),
        ("PUT", "/bucket/a?partNumber=3&uploadId=u", "UploadPart"),
        ("POST", "/bucket/a?uploads", "CreateMultipartUpload"),
        ("POST", "/bucket/a?uploadId=u", "CompleteMultipartUpload"),
        ("DELETE", "/bucket/a?uploadId=u", "AbortMultipartUpload"),
        ("GET", "/bucket/a?uploadId=u", "ListParts"),
        ("GET", "/bucket?list-type=2&prefix=a", "ListObjectsV2"),
        ("POST", "/bucket?delete", "DeleteObjects"),
        ("DELETE", "/bucket/a", "DeleteObject"),
    ],
)
def test_kinds(method: str, path: str, kind: str) -> None:
    assert kind_of(method, path) == kind


def test_it_counts_what_passes_and_changes_nothing(tmp_path: Path) -> None:
    def purpose(key: str) -> str:
        return key.partition("/")[0]

    with s3_server(tmp_path / "s3") as s3, CountingProxy(s3.endpoint, purpose) as proxy:
        client = boto3.client(
            "s3", endpoint_url=proxy.endpoint, region_name=REGION, aws_access_key_id=s3.access_key_id,
            aws_secret_access_key=s3.secret_access_key,
        )  # fmt: skip
        client.create_bucket(Bucket="bucket")
        client.put_object(Bucket="bucket", Key="small/ä b", Body=b"0123456789")
        found = client.get_object(Bucket="bucket", Key="small/ä b", Range="bytes=2-5")["Body"].read()
        assert found == b"2345"
        upload = client.create_multipart_upload(Bucket="bucket", Key="large/x", ChecksumAlgorithm="SHA256")
        parts = [
            client.upload_part(
                Bucket="bucket", Key="large/x", UploadId=upload["UploadId"], PartNumber=number,
                Body=bytes([number]) * PART, ChecksumAlgorithm="SHA256",
            ) | {"PartNumber": number}
            for number in (1, 2)
        ]  # fmt: skip
        client.complete_multipart_upload(
            Bucket="bucket", Key="large/x", UploadId=upload["UploadId"],
            MultipartUpload={"Parts": [{key: part[key] for key in NAMED} for part in parts]},
        )  # fmt: skip
        assert client.head_object(Bucket="bucket", Key="large/x")["ContentLength"] == 2 * PART
        listed = client.list_objects_v2(Bucket="bucket", Prefix="small/")["Contents"]
        assert [each["Key"] for each in listed] == ["small/ä b"]
        with pytest.raises(client.exceptions.NoSuchKey):
            client.get_object(Bucket="bucket", Key="small/none")
    counts = {key: (c.requests, c.sent, c.failed) for key, c in proxy.counts.items()}
    assert counts["UploadPart", "large"][:2] == (2, 2 * PART)
    assert counts["PutObject", "small"][:2] == (1, 10)
    assert counts["GetObject", "small"] == (2, 0, 1)
    assert proxy.counts["GetObject", "small"].received >= 4
    assert {kind for kind, what in counts if what == "large"} == {
        "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "HeadObject",
    }  # fmt: skip
    assert counts["ListObjectsV2", "small"][0] == 1
