"""What is said of a cluster's packed files: the same bytes, another byte, a file too few, something left."""

import io
from types import SimpleNamespace
from typing import Any

import pytest

from rehearsal.narrator import Narrator
from rehearsal.operator.account import Cloud
from rehearsal.steps import cluster as steps

SAME = "cluster: the bytes of one machine in every file"
LEFT = "cluster: nothing is left of its work in S3"
FILES = {"train.rec": b"records", "train.idx": b"0\t0\n", "classes.tsv": b"n0\n", "MANIFEST.json": b"{}"}


@pytest.fixture
def road(cloud: Cloud, request: pytest.FixtureRequest) -> Any:
    """As much of a road as the steps look at: packed files in a bucket, a snapshot, a narrator."""
    bucket = f"bucket-{abs(hash(request.node.name))}"
    cloud.client("s3").create_bucket(Bucket=bucket)
    volume = cloud.client("ec2").create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    snapshot = cloud.client("ec2").create_snapshot(VolumeId=volume)["SnapshotId"]
    return SimpleNamespace(
        cloud=cloud,
        name="sample",
        splits={"train": 1},
        narrator=Narrator(stream=io.StringIO()),
        output=lambda *_: bucket,
        subject=SimpleNamespace(published=lambda: snapshot),
        bucket=bucket,
    )


def put(road: Any, **files: bytes) -> None:
    for name, data in (FILES | files).items():
        road.cloud.client("s3").put_object(Bucket=road.bucket, Key=f"sample/packed/{name}", Body=data)


def results(road: Any) -> dict[str, tuple[bool, str]]:
    return {what: (ok, figure) for what, ok, figure in road.narrator.rows}


def test_the_same_bytes(road: Any) -> None:
    put(road, **{"preview.html": b"a page", ".prep/pack.json": b"{}"})
    reference = steps.take_away_packed(road)
    assert set(reference) == set(FILES)
    assert steps._keys(road) == []
    put(road)
    steps.compare_packed(road, reference)
    assert results(road)[SAME][0]
    assert results(road)[LEFT][0]


@pytest.mark.parametrize("name", sorted(FILES))
def test_another_byte_or_no_file(road: Any, name: str) -> None:
    put(road)
    reference = steps.take_away_packed(road)
    put(road, **{name: FILES[name] + b"x"})
    steps.compare_packed(road, reference)
    assert results(road)[SAME] == (False, f"different or missing: {name}")
    road.cloud.client("s3").delete_object(Bucket=road.bucket, Key=f"sample/packed/{name}")
    steps.compare_packed(road, reference)
    assert results(road)[SAME] == (False, f"different or missing: {name}")


def test_what_is_left(road: Any) -> None:
    put(road)
    reference = steps.take_away_packed(road)
    put(road, **{".packing/plan.json": b"{}"})
    steps.leave_an_upload(road)
    steps.compare_packed(road, reference)
    ok, figure = results(road)[LEFT]
    assert not ok
    assert figure == (
        "sample/packed/.packing/plan.json, sample/packed/.packing/train.upload.json, sample/packed/train.rec"
    )
