"""`export`: read back by the webdataset package and by Pillow; the same bytes twice; killed and continued."""

import hashlib
import json
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from prep import Records
from prep.errors import DescriptionError, IntegrityError, SpaceError
from prep.export import export as exporting
from prep.export.export import blocks, export
from prep.export.folders import Folder
from prep.export.index import Block, Index, Seldom
from prep.export.webdataset import Shards, key_of
from prep.progress import Progress
from prep.records.access import Sample
from prep.state.layout import Layout
from tests.prep import pictures
from tests.prep.commands import run, start, wait_for
from tests.prep.small_sets import pack, write_folders

SHARD_MIB = 1  # train has about a dozen


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """Packed files of about 12 MiB."""
    folder = tmp_path_factory.mktemp("export")
    rng = np.random.default_rng(1)

    def images(count: int) -> dict[str, bytes]:
        noise = [Image.fromarray(rng.integers(0, 255, (120, 120, 3), np.uint8)) for _ in range(count)]
        return {f"{number}.JPEG": pictures.save(image, "JPEG") for number, image in enumerate(noise)}

    splits = {
        split: {name: images(count) for name in ("cat", "dog", "eel.v2")}
        for split, count in {"train": 300, "validation": 8}.items()
    }
    pack(write_folders(folder / "set", splits), folder)
    return Layout(folder / "packed", folder / "packed")


def shards(layout: Layout, to: Path, *splits: str) -> dict[str, Any]:
    return export(layout, to, "webdataset", splits, SHARD_MIB, Progress(shown=False)).document()


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder, with its SHA-256."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# In a process of its own: webdataset leaves files open, of which Python warns.
READ_BACK = """
import hashlib, json, sys, webdataset
for sample in webdataset.WebDataset(sys.argv[1:], shardshuffle=False, empty_check=False):
    print(json.dumps([sample["__key__"], int(sample["cls"]), hashlib.sha256(sample["jpg"]).hexdigest()]))
"""


def read_back(paths: list[Path]) -> list[list[Any]]:
    """What the webdataset package gives a trainer: key, label, SHA-256 of the image."""
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", READ_BACK, *map(str, paths)], capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("split", ["train", "validation"])
def test_webdataset_reads_the_shards(layout: Layout, tmp_path: Path, split: str) -> None:
    document = shards(layout, tmp_path)
    of = document["splits"][split]
    paths = [tmp_path / block["path"] for block in of["blocks"]]
    assert [path.name for path in paths] == [f"{split}-{number:06}.tar" for number in range(len(paths))]
    expected = [
        [key_of(name, ()), label, hashlib.sha256(image).hexdigest()]
        for image, label, name in Records(layout.packed, split)
    ]
    assert read_back(paths) == expected
    assert of["complete"]
    assert of["images"] == len(expected) == sum(block["images"] for block in of["blocks"])
    assert len(paths) > 2 or split == "validation"
    for path, block in zip(paths, of["blocks"], strict=True):
        assert block["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert block["bytes"] == path.stat().st_size
    assert json.loads((tmp_path / "EXPORT.json").read_text()) == document
    assert (tmp_path / "classes.tsv").read_bytes() == layout.classes.read_bytes()


def test_a_shard_has_nothing_of_the_machine(layout: Layout, tmp_path: Path) -> None:
    shards(layout, tmp_path, "validation")
    with tarfile.open(tmp_path / "validation-000000.tar") as tar:
        facts = {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode, m.type) for m in tar}
    assert facts == {(315532800, 0, 0, "", "", 0o644, tarfile.REGTYPE)}


def test_the_same_bytes_twice(layout: Layout, tmp_path: Path) -> None:
    shards(layout, tmp_path / "a")
    shards(layout, tmp_path / "b", "validation")
    shards(layout, tmp_path / "b", "train")  # one after the other into one folder
    first, second = contents(tmp_path / "a"), contents(tmp_path / "b")
    assert first.pop("EXPORT.json") != second.pop(
        "EXPORT.json"
    )  # its splits are in the order of their export
    assert first == second


def test_an_image_folder(layout: Layout, tmp_path: Path) -> None:
    index = export(layout, tmp_path, "folders", [], SHARD_MIB, Progress(shown=False))
    for split, of in index.splits.items():
        records = list(Records(layout.packed, split))
        expected = {name: hashlib.sha256(image).hexdigest() for image, _, name in records}
        assert contents(tmp_path / split) == expected
        # torchvision's ImageFolder labels by the rank of the class folder.
        ranks = {path.name: rank for rank, path in enumerate(sorted((tmp_path / split).iterdir()))}
        assert [ranks[name.split("/")[0]] for _, _, name in records] == [label for _, label, _ in records]
        digests = [block.sha256 for block in of.blocks]
        images = [image for image, _, _ in records]
        assert digests == [
            hashlib.sha256(b"".join(images[block.first : block.first + block.images])).hexdigest()
            for block in of.blocks
        ]
    assert {path.name for path in tmp_path.iterdir()} == {"EXPORT.json", "classes.tsv", *index.splits}


@pytest.mark.parametrize("form", ["webdataset", "folders"])
def test_killed_and_continued(layout: Layout, tmp_path: Path, form: str) -> None:
    """What was finished stays as it is, nothing half has a final name, and the bytes are the same."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    arguments = ["export", "--packed", str(layout.packed), "--format", form, "--shard-mib", "1", "--to"]
    assert run(*arguments, str(whole)).returncode == 0

    def some() -> bool:
        path = killed / "EXPORT.json"
        return path.exists() and len(json.loads(path.read_text())["splits"]["train"]["blocks"]) >= 1

    process = start(*arguments, str(killed))
    assert wait_for(some, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    state = json.loads((killed / "EXPORT.json").read_text())["splits"]["train"]
    assert not state["complete"]
    there = {path.name for path in killed.iterdir()}
    finished = {block["path"]: (killed / block["path"]) for block in state["blocks"]}
    assert "train" not in there
    for path in killed.glob("*.tar"):
        assert path.read_bytes() == (whole / path.name).read_bytes()
    times = {name: path.stat().st_mtime_ns for name, path in finished.items() if path.exists()}
    assert run(*arguments, str(killed)).returncode == 0
    assert contents(killed) == contents(whole)
    if form == "webdataset":
        assert times == {name: path.stat().st_mtime_ns for name, path in finished.items()}
        assert times


def test_an_interruption_notes_all_blocks(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although the index is not written after each of them."""
    write, index_write = Shards.write, Index.write
    written: list[Index] = []

    def interrupted(self: Shards, number: int, first: int, samples: Iterable[Sample]) -> Block:
        if number == 6:
            raise KeyboardInterrupt
        return write(self, number, first, samples)

    def slow(self: Index, folder: Path) -> None:
        written.append(self)
        time.sleep(0.1)
        index_write(self, folder)

    monkeypatch.setattr(Shards, "write", interrupted)
    monkeypatch.setattr(Index, "write", slow)
    with pytest.raises(KeyboardInterrupt):
        shards(layout, tmp_path, "train")
    noted = json.loads((tmp_path / "EXPORT.json").read_text())["splits"]["train"]
    assert (len(noted["blocks"]), noted["complete"]) == (6, False)
    assert len(written) < 6


def test_the_index_takes_a_twentieth_of_the_time() -> None:
    now, written = 0.0, 0

    def write() -> None:
        nonlocal now, written
        now += 1
        written += 1

    seldom = Seldom(write, lambda: now)
    for _ in range(10_000):  # blocks that take a tenth of a second
        now += 0.1
        seldom()
    assert 0.045 < written / now < 0.05


def test_a_lost_shard_is_written_again(layout: Layout, tmp_path: Path) -> None:
    shards(layout, tmp_path)
    before = contents(tmp_path)
    (tmp_path / "train-000001.tar").unlink()
    (tmp_path / "train-000002.tar").write_bytes(b"short")
    shards(layout, tmp_path)
    assert contents(tmp_path) == before


def test_ctrl_c(layout: Layout, tmp_path: Path) -> None:
    process = start(
        "export", "--packed", str(layout.packed), "--to", str(tmp_path / "to"), "--format", "folders"
    )
    assert wait_for((tmp_path / "to").exists, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1].startswith("interrupted: run the same command again")


def test_the_command(layout: Layout, tmp_path: Path) -> None:
    arguments = [
        "export",
        "--packed",
        str(layout.packed),
        "--to",
        str(tmp_path / "to"),
        "--format",
        "webdataset",
    ]
    done = run(*arguments, "--split", "validation", env={"COLUMNS": "80"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("validation: 24 images, ")
    assert done.stdout.endswith(f" in {tmp_path / 'to'}/validation-000000.tar\n")
    assert json.loads(run(*arguments, "--json").stdout) == json.loads(
        (tmp_path / "to/EXPORT.json").read_text()
    )
    done = run(*arguments, "--shard-mib", "7")
    assert (done.returncode, done.stdout) == (2, "")
    assert "has an export with --shard-mib 1024, not 7: give another folder with --to" in done.stderr


class TestRefused:
    def test_other_files(self, layout: Layout, tmp_path: Path) -> None:
        (tmp_path / "train-000000.tar").write_bytes(b"someone's")
        with pytest.raises(DescriptionError, match=r"has train-000000\.tar, but no EXPORT\.json"):
            shards(layout, tmp_path)
        assert (tmp_path / "train-000000.tar").read_bytes() == b"someone's"

    def test_other_packed_files(self, layout: Layout, tmp_path: Path) -> None:
        shards(layout, tmp_path / "to", "validation")
        shutil.copytree(layout.packed, tmp_path / "other")
        manifest = tmp_path / "other" / "MANIFEST.json"
        digest = json.loads(manifest.read_text())["files"]["validation.rec"]["sha256"]
        manifest.write_text(manifest.read_text().replace(digest, "0" * 64))
        with pytest.raises(DescriptionError, match="its validation comes from other packed files"):
            shards(Layout(tmp_path / "other", tmp_path / "other"), tmp_path / "to")

    def test_unknown_split(self, layout: Layout, tmp_path: Path) -> None:
        with pytest.raises(DescriptionError, match="no split 'val': give one of train, validation"):
            shards(layout, tmp_path / "to", "val")
        assert not (tmp_path / "to").exists()

    def test_no_packed_files(self, tmp_path: Path) -> None:
        with pytest.raises(DescriptionError, match=r"has no MANIFEST\.json: give the folder of the packed"):
            shards(Layout(tmp_path, tmp_path), tmp_path / "to")

    def test_folder_below_a_file(self, layout: Layout, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(DescriptionError, match="Not a directory: give a folder with --to"):
            shards(layout, tmp_path / "file" / "to")

    def test_two_at_once(self, layout: Layout, tmp_path: Path) -> None:
        with (
            exporting._locked(tmp_path / "to"),
            pytest.raises(DescriptionError, match="another export writes to it: wait until it ends"),
        ):
            shards(layout, tmp_path / "to")

    def test_damaged_index(self, layout: Layout, tmp_path: Path) -> None:
        (tmp_path / "EXPORT.json").write_text("{}")
        with pytest.raises(IntegrityError, match=r"EXPORT.json: damaged .*give another folder with --to"):
            shards(layout, tmp_path)

    def test_too_little_room(self, layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(exporting, "SPARE", 1 << 60)
        with pytest.raises(SpaceError, match="GB needed: make room, or give another folder with --to"):
            shards(layout, tmp_path)


@pytest.mark.parametrize(
    ("name", "taken", "key"),
    [
        ("n01440764/n01440764_10026.JPEG", [], "n01440764/n01440764_10026"),
        ("cat/1.jpg", ["cat/2"], "cat/1"),
        ("cat/1.png", [], "cat/1_png"),
        ("cat.v2/a.b.jpeg", [], "cat_v2/a_b"),
        ("cat/1.jpeg", ["cat/1"], "cat/1_jpeg"),
        ("cat/1.jpeg", ["cat/1", "cat/1_jpeg", "cat/1_jpeg_2"], "cat/1_jpeg_3"),
    ],
)
def test_keys_have_no_dots(name: str, taken: list[str], key: str) -> None:
    assert key_of(name, taken) == key


def test_no_two_samples_of_a_shard_have_the_same_key(tmp_path: Path) -> None:
    """Nor if others lie between them."""
    names = ["c/a.b.jpg", "c/x.jpg", "c/a_b.jpg", "c/y.jpg", "c/a_b_jpg.jpg", "c/a.b.jpeg", "c/a_b.JPG"]
    block = Shards(tmp_path, "train").write(0, 0, [Sample(name.encode(), 0, name) for name in names])
    with tarfile.open(tmp_path / block.path) as tar:
        members = tar.getnames()
    assert (block.images, len(set(members))) == (len(names), 2 * len(names))
    assert members[0::4] == ["c/a_b.jpg", "c/a_b_jpg.jpg", "c/a_b_jpg_jpg.jpg", "c/a_b_JPG.jpg"]


def test_a_name_that_leads_elsewhere(tmp_path: Path) -> None:
    writers: list[exporting.Writer] = [Shards(tmp_path, "x"), Folder(tmp_path, "x")]
    for writer in writers:
        writer.begin()
        with pytest.raises(IntegrityError, match="not a valid file name"):
            writer.write(0, 0, [Sample(b"", 0, "../up.jpg")])
    assert sorted(tmp_path.parent.glob("up*")) == []


def test_blocks_cover_all_records_once() -> None:
    rng = np.random.default_rng(1)
    for count in (0, 1, 2, 500):
        sizes = rng.integers(1, 300, count)
        runs = blocks(sizes, 1000)
        assert [number for run in runs for number in run] == list(range(count))
        assert all(sizes[run.start : run.stop].sum() < 1300 for run in runs)
