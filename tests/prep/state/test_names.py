"""Names from outside: what may become a path, and what ends with one line."""

import json
from pathlib import Path
from typing import Any

import boto3
import pytest

from prep.errors import IntegrityError
from prep.progress import Progress
from prep.records import manifest
from prep.stages.adopt import adopt
from prep.state import receipts
from prep.state.layout import Layout
from prep.state.names import plain_name, plain_text, relative_path
from prep.state.receipts import Receipt
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
    with pytest.raises(IntegrityError, match=r"from there: .* is not a valid file name in a data set"):
        plain_name(name, "from there")


@pytest.mark.parametrize("name", ["n01440764", "n01440764_10026.JPEG", "ü.jpg", "a b.png", "._a.jpg", "..."])
def test_taken(name: str) -> None:
    assert plain_name(name, "from there") == name


@pytest.mark.parametrize("name", ["/a/b", "a/../b", "..", "", "a/\nb"])
def test_relative_path_refused(name: str) -> None:
    with pytest.raises(IntegrityError, match="is not a valid file name"):
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
    with work.locked(), pytest.raises(IntegrityError, match=r"MANIFEST.json: .* is not a valid file name"):
        work.verify()
    with pytest.raises(IntegrityError, match="is not a valid file name"):
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
        with pytest.raises(IntegrityError, match=r"secret.txt' is not an object of tiny: run backup again"):
            work.check_backup()


@pytest.mark.parametrize(
    "facts", [{}, {"bytes": "1", "checksum": "x"}, {"bytes": 1}, {"bytes": 1, "checksum": 2}]
)
def test_receipt_of_a_backup_that_lacks(aws: str, tmp_path: Path, facts: dict[str, Any]) -> None:
    assert aws
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    work = job(write_folders(tmp_path / "set", TINY), tmp_path, bucket=BUCKET)
    outputs = {f"s3://{BUCKET}/tiny/archives/train.tar": facts}
    with work.locked():
        receipts.write(work.layout, Receipt("backup", {}, {}, outputs))
        with pytest.raises(IntegrityError, match=r"receipt of the backup: .*: run backup again"):
            work.check_backup()


def test_receipt_of_an_odd_name(aws: str, tmp_path: Path) -> None:
    """What lies among the receipts is sent under its name."""
    assert aws
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    work = pack(write_folders(tmp_path / "set", TINY), tmp_path, bucket=BUCKET)
    (work.layout.receipts / "a\nb.json").write_text("{}")
    with work.locked(), pytest.raises(IntegrityError, match="is not a valid file name"):
        work.backup()
    keys = [item["Key"] for item in boto3.client("s3").list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert not [key for key in keys if "\n" in key]


def kaggle_copy(folder: Path, prediction: str = "n1 1 2 3 4") -> Path:
    """The images of the smallest copy: one in each split."""
    data = folder / "ILSVRC" / "Data" / "CLS-LOC"
    (data / "train" / "n1").mkdir(parents=True)
    (data / "val").mkdir()
    (data / "train" / "n1" / "a.JPEG").write_bytes(b"x")
    (data / "val" / "ILSVRC2012_val_00000001.JPEG").write_bytes(b"x")
    (folder / "LOC_synset_mapping.txt").write_text("n1 thing\n")
    (folder / "LOC_val_solution.csv").write_text(
        f"ImageId,PredictionString\nILSVRC2012_val_00000001,{prediction}\n"
    )
    return data


def adopt_refuses(tmp_path: Path, message: str) -> None:
    """In one line, and nothing is linked."""
    work = job(write_folders(tmp_path / "set", TINY), tmp_path)
    with pytest.raises(IntegrityError, match=message) as caught:
        adopt(tmp_path / "copy", work.layout, work.progress)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "root").glob("*/*/*.JPEG"))


@pytest.mark.parametrize("wnid", ["../../escaped", "/abs", "a/b"])
def test_lists_of_a_copy(tmp_path: Path, wnid: str) -> None:
    """Kaggle's lists name classes, which become folders."""
    kaggle_copy(tmp_path / "copy", f"{wnid} 1 2 3 4")
    adopt_refuses(tmp_path, "LOC_val_solution.csv: .* is not a valid file name")


@pytest.mark.parametrize("row", ["", f"n1 {'1' * 200_000}", "\x00"])
def test_spoilt_lists_of_a_copy(tmp_path: Path, row: str) -> None:
    data = kaggle_copy(tmp_path / "copy", row)
    adopt_refuses(tmp_path, "LOC_val_solution.csv|is not a valid file name")
    (data.parents[2] / "LOC_val_solution.csv").write_text(
        "ImageId,PredictionString\nILSVRC2012_val_00000001\n"
    )
    with pytest.raises(IntegrityError, match=r"LOC_val_solution\.csv is damaged"):
        adopt(tmp_path / "copy", Layout(tmp_path / "root", tmp_path / "packed"), Progress(shown=False))


@pytest.mark.parametrize("name", ["train/n1/b\n.JPEG", "train/n\t2/b.JPEG", "val/\x1b[2J_1.JPEG"])
def test_names_in_a_copy(tmp_path: Path, name: str) -> None:
    """A zip file named them."""
    path = kaggle_copy(tmp_path / "copy") / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x")
    adopt_refuses(tmp_path, "is not a valid file name")


@pytest.mark.parametrize("name", ["train/n1/b.JPEG", "train/n2", "val/b_1.JPEG"])
def test_links_in_a_copy(tmp_path: Path, name: str) -> None:
    """A zip file can hold links; what they lead to must not be packed, nor sent to a bucket."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "secret.JPEG").write_bytes(b"x")
    link = kaggle_copy(tmp_path / "copy") / name
    link.symlink_to(elsewhere / "secret.JPEG" if "." in name else elsewhere)
    adopt_refuses(tmp_path, f"{link}: is a link")
