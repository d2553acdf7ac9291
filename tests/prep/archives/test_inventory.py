"""The inventory: what the archives hold, noted in passing, and made again when it is lost."""

import zlib
from pathlib import Path

import pytest

from prep.archives import inventory
from prep.errors import IntegrityError
from prep.state.layout import Layout
from rehearsal.checks.truth import read_truth
from tests.prep.small_sets import TINY, job, pack, write_folders

# MXNet 1.9.1 is the last there will be, and asks for names that SciPy is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:Please import `csr_matrix`:DeprecationWarning")


def test_what_the_archives_hold(tmp_path: Path, sample: Path) -> None:
    work = pack(sample, tmp_path)
    for split in read_truth(sample, sample.parent / "archives").splits:
        assert inventory.read(work.layout, split.name) == {
            name: (len(data), zlib.crc32(data)) for name, data in split.images()
        }


@pytest.mark.parametrize("damage", ["gone", "shorter", "torn journal"])
def test_lost_inventory_is_made_again(tmp_path: Path, damage: str) -> None:
    """As the message of `verify` says: run pack again, though all is packed."""
    toml = write_folders(tmp_path / "set", TINY)
    work = pack(toml, tmp_path)
    before = inventory.read(work.layout, "train")
    path = work.layout.journals / "inventory.tsv"
    if damage == "gone":
        path.unlink()
        with work.locked(), pytest.raises(IntegrityError, match=r"inventory.tsv: No such file.*: run pack"):
            work.verify()
    elif damage == "shorter":
        path.write_bytes(path.read_bytes()[:-9])
        with work.locked(), pytest.raises(IntegrityError, match="run pack again"):
            work.verify()
    else:
        journal = work.layout.journals / "inventory.jsonl"
        journal.write_bytes(journal.read_bytes()[:-9])
    with work.locked():
        work.pack()
        assert inventory.read(work.layout, "train") == before
        work.verify()


def test_what_a_kill_left_is_not_counted_twice(tmp_path: Path) -> None:
    toml = write_folders(tmp_path / "set", TINY)
    layout = Layout(tmp_path / "root", tmp_path / "packed")
    layout.journals.mkdir(parents=True)
    (layout.journals / "inventory.tsv").write_text("train\ta/0.jpg\t5\t5\ntrain\ta/")
    work = job(toml, tmp_path)
    with work.locked():
        work.pack()
    assert len(inventory.read(layout, "train")) == 6


def test_damage(tmp_path: Path) -> None:
    layout = Layout(tmp_path, tmp_path)
    layout.journals.mkdir(parents=True)
    path = layout.journals / "inventory.tsv"
    for text in ("train\ta/0.jpg\t5\n", "train\ta/0.jpg\tx\t5\n", "\n"):
        path.write_text(text)
        with pytest.raises(IntegrityError, match=f"{path}: damaged"):
            inventory.read(layout, "train")
    path.write_text("train\ta/0.jpg\t5\t5\n" * 2)
    with pytest.raises(IntegrityError, match=r"split train holds a/0.jpg twice"):
        inventory.read(layout, "train")
