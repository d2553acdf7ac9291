"""Names from outside: what may become a path, and what ends with one line."""

import json
from pathlib import Path
from typing import Any

import boto3
import pytest

from prep.errors import IntegrityError
from prep.records import manifest
from prep.stages.adopt import adopt
from prep.state.names import plain_name, plain_text, relative_path
from tests.prep.small_sets import BUCKET, TINY, job, pack, write_folders

HOSTILE = [
    "/somewhere/absolute.txt",
    "../up.rec",
    "a/../../b.rec",
    "..",
    ".",
    "",
    "train.rec\n",
    "a\tb.rec",
    "\x1b[2Jtrain.rec",
    "x" * 256,
    "\udcff.rec",
    None,
    7,
]
NO_PACKED_FILE = ["MANIFEST.json", ".packing", "receipt.json", "train.rec.partial", "-train.rec", "Train.rec"]


@pytest.mark.parametrize("name", HOSTILE)
def test_refused(name: Any) -> None:
    with pytest.raises(IntegrityError, match=r"from there: .* is no name for a file in a data set"):
        plain_name(name, "from there")


@pytest.mark.parametrize("name", ["n01440764", "n01440764_10026.JPEG", "ü.jpg", "a b.png", "._a.jpg", "..."])
def test_taken(name: str) -> None:
    assert plain_name(name, "from there") == name


@pytest.mark.parametrize("name", ["/a/b", "a/../b", "..", "", "a/\nb"])
def test_relative_path_refused(name: str) -> None:
    with pytest.raises(IntegrityError, match="is no name"):
        relative_path(name, "archive")


def test_text_of_one_column() -> None:
    assert plain_text("tench, Tinca tinca", "x") == "tench, Tinca tinca"
    with pytest.raises(IntegrityError, match="control characters"):
        plain_text("tench\t0", "x")


def hostile_manifest(packed: Path, name: Any) -> bytes:
    facts = json.loads((packed / "MANIFEST.json").read_text())
    facts["files"][name] = {"bytes": 5, "sha256": "0" * 64}
    return json.dumps(facts).encode()


@pytest.mark.parametrize("name", [name for name in HOSTILE if isinstance(name, str)] + NO_PACKED_FILE)
def test_manifest_of_a_bucket(aws: str, tmp_path: Path, name: str) -> None:
    """The fault as it was found: `restore` wrote wherever the manifest in the bucket told it to."""
    assert aws
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    toml = write_folders(tmp_path / "set", TINY)
    pack(toml, tmp_path)
    s3.put_object(
        Bucket=BUCKET, Key="tiny/packed/MANIFEST.json", Body=hostile_manifest(tmp_path / "packed", name)
    )
    target = job(toml, tmp_path / "restored", bucket=BUCKET)
    with target.locked(), pytest.raises(IntegrityError, match=f"s3://{BUCKET}/tiny/packed/MANIFEST.json: "):
        target.restore(["packed"])
    assert [path for path in (tmp_path / "restored" / "packed").rglob("*") if path.is_file()] == []
    assert not Path("/somewhere").exists()


@pytest.mark.parametrize("part", ["/etc/passwd", "../../root", "train\n"])
def test_manifest_on_disk(tmp_path: Path, part: str) -> None:
    """A part's name leads to files that verify reads and backup sends."""
    work = pack(write_folders(tmp_path / "set", TINY), tmp_path)
    facts = json.loads(work.layout.manifest.read_text())
    facts["splits"]["train"]["parts"] = [part]
    work.layout.manifest.write_text(json.dumps(facts))
    with work.locked(), pytest.raises(IntegrityError, match=r"MANIFEST.json: .* is no name"):
        work.verify()
    with pytest.raises(IntegrityError, match="is no name"):
        manifest.read(work.layout)


def test_receipt_of_a_backup(aws: str, tmp_path: Path) -> None:
    assert aws
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    work = pack(write_folders(tmp_path / "set", TINY), tmp_path)
    work = job(tmp_path / "set" / "tiny.toml", tmp_path, bucket=BUCKET)
    with work.locked():
        work.backup()
        path = work.layout.receipts / "backup.json"
        facts = json.loads(path.read_text())
        facts["outputs"] = {f"s3://{BUCKET}/other/secret.txt": {"bytes": 1, "checksum": "x"}}
        path.write_text(json.dumps(facts))
        with pytest.raises(IntegrityError, match=r"secret.txt' is no object of tiny: run backup again"):
            work.check_backup()


@pytest.mark.parametrize("wnid", ["../../escaped", "/abs", "a/b"])
def test_lists_of_a_copy(tmp_path: Path, wnid: str) -> None:
    """Kaggle's lists name classes, which become folders."""
    data = tmp_path / "copy" / "ILSVRC" / "Data" / "CLS-LOC"
    (data / "train" / "n1").mkdir(parents=True)
    (data / "val").mkdir()
    (data / "train" / "n1" / "a.JPEG").write_bytes(b"x")
    (data / "val" / "ILSVRC2012_val_00000001.JPEG").write_bytes(b"x")
    (tmp_path / "copy" / "LOC_synset_mapping.txt").write_text("n1 thing\n")
    (tmp_path / "copy" / "LOC_val_solution.csv").write_text(
        f"ImageId,PredictionString\nILSVRC2012_val_00000001,{wnid} 1 2 3 4\n"
    )
    work = job(write_folders(tmp_path / "set", TINY), tmp_path)
    with pytest.raises(IntegrityError, match="is no name for a file"):
        adopt(tmp_path / "copy", work.layout, work.progress)
    assert not (tmp_path / "root" / "validation").exists()
