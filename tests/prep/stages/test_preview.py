"""The preview: the same bytes from the same files, whole or not at all, and nothing that stops a run."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from prep import summary
from prep.errors import IntegrityError
from prep.job import Job
from prep.preview.pictures import BUDGET
from prep.progress import Progress
from prep.records.dealing import PackSettings
from prep.run import run
from prep.stages.preview import preview
from prep.state.layout import Layout
from tests.prep import pictures
from tests.prep.commands import run as run_command
from tests.prep.preview.packed import Item, write_packed
from tests.prep.small_sets import TINY, job, pack, write_folders

pytestmark = pytest.mark.filterwarnings("ignore:Please import `csr_matrix`:DeprecationWarning")
QUIET = Progress(shown=False)


def digests(folder: Path) -> list[str]:
    return [hashlib.sha256((folder / f"preview.{kind}").read_bytes()).hexdigest() for kind in ("html", "png")]


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A folder with packed files and nothing else."""
    folder = tmp_path_factory.mktemp("packed")
    items = [Item(number % 9, f"{number}.jpg", pictures.jpeg(90, 70, number)) for number in range(90)]
    classes = [(f"c{label}", f"class {label}") for label in range(9)]
    return write_packed(folder, classes, {"train": [items[:50], items[50:]], "test": [items[:9]]})


def test_the_same_bytes_on_any_machine(layout: Layout, tmp_path: Path) -> None:
    preview(layout, tmp_path / "a", QUIET, threads=1)
    preview(layout, tmp_path / "b", QUIET, threads=7)
    elsewhere = shutil.copytree(layout.packed, tmp_path / "other place")
    env = {"TZ": "Asia/Tokyo", "LC_ALL": "de_DE.UTF-8", "PYTHONHASHSEED": "5"}
    done = run_command("preview", "--packed", str(elsewhere), env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == [str(elsewhere / "preview.html"), str(elsewhere / "preview.png")]
    assert digests(tmp_path / "a") == digests(tmp_path / "b") == digests(elsewhere)


def test_a_folder_that_is_read_only(layout: Layout, tmp_path: Path) -> None:
    """As on a training machine: nothing is written but into --out."""
    before = {path.name: path.stat().st_mtime_ns for path in layout.packed.iterdir()}
    done = run_command("preview", "--packed", str(layout.packed), "--out", str(tmp_path / "new"), "--json")
    assert done.returncode == 0, done.stderr
    receipt = json.loads(done.stdout)
    assert receipt["counts"] == {"images": 99, "classes": 9, "pictures": 9 * 6 + 9}
    assert sorted(receipt["outputs"]) == [
        str(tmp_path / "new" / f"preview.{kind}") for kind in ("html", "png")
    ]
    assert {path.name: path.stat().st_mtime_ns for path in layout.packed.iterdir()} == before
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["preview.html", "preview.png"]


@pytest.mark.parametrize("place", ["empty", "none"])
def test_nothing_packed(tmp_path: Path, place: str) -> None:
    (tmp_path / "empty").mkdir()
    done = run_command("preview", "--packed", str(tmp_path / place))
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"error: preview: {tmp_path / place} has no MANIFEST.json: give --packed the packed files' folder"
    ]
    assert not (tmp_path / "none").exists()


def test_a_damaged_record_leaves_the_old_preview(layout: Layout, tmp_path: Path) -> None:
    folder = shutil.copytree(layout.packed, tmp_path / "packed")
    here = Layout(folder, folder)
    preview(here, folder, QUIET)
    before = digests(folder)
    rec = folder / "train-00001.rec"
    rec.write_bytes(bytes(rec.stat().st_size))
    with pytest.raises(IntegrityError, match=r"train-00001.rec.*(no record begins|not what the index)"):
        preview(here, folder, QUIET)
    assert digests(folder) == before
    assert not list(folder.glob("*.partial"))


def photograph() -> bytes:
    """A JPEG of 500 by 375 pixels with as much detail as a photograph has."""
    coarse = np.random.default_rng(0).integers(0, 256, (75, 100, 3), np.uint8)
    return pictures.save(Image.fromarray(coarse).resize((500, 375), Image.Resampling.BICUBIC), "JPEG")


def test_the_budget_at_a_thousand_classes(tmp_path: Path) -> None:
    """ImageNet's shape: a picture of each class in each split; the page stays below 16 MB."""
    image = photograph()
    classes = [(f"n{label:08}", f"words {label}, more words") for label in range(1000)]
    items = [Item(label, f"{number}.jpg", image) for number in range(2) for label in range(1000)]
    layout = write_packed(tmp_path, classes, {"train": [items], "validation": [items[:1000]]})
    assert preview(layout, tmp_path, QUIET).counts["pictures"] == 2000
    assert 8 << 20 < layout.preview.stat().st_size < 16 << 20
    assert layout.contact_sheet.stat().st_size < 4 << 20


def test_the_budget_at_more_classes_than_pictures(tmp_path: Path) -> None:
    tiny = pictures.jpeg(8, 8)
    classes = [(f"n{label:08}", f"words {label}") for label in range(BUDGET + 10)]
    items = [Item(label, f"{label}.jpg", tiny) for label in range(len(classes))]
    layout = write_packed(tmp_path, classes, {"train": [items], "test": [items]})
    assert preview(layout, tmp_path, QUIET).counts["pictures"] == BUDGET
    page = layout.preview.read_text()
    assert page.count("<article ") == len(classes)
    assert page.count("<img ") == BUDGET


@pytest.fixture
def work(tmp_path: Path) -> Job:
    return job(write_folders(tmp_path / "set", TINY), tmp_path, with_organize=False)


def test_a_run_makes_it_once(work: Job) -> None:
    with work.locked():
        done = run(work)
        made = work.layout.preview.stat().st_mtime_ns
        again = run(work)
    assert [receipt.stage for receipt in done] == ["download", "pack", "verify", "preview", "run"]
    assert again == done
    assert work.layout.preview.stat().st_mtime_ns == made
    assert f"preview: {work.layout.preview}" in summary.of_run(work, done)
    assert set(json.loads(work.layout.manifest.read_text())["files"]) == {
        "classes.tsv", "train.rec", "train.idx", "train.lst",
    }  # fmt: skip
    work.layout.preview.unlink()
    with work.locked():
        assert [receipt.stage for receipt in run(work)] == [receipt.stage for receipt in done]
    assert work.layout.preview.exists()


def test_a_failure_does_not_stop_the_run(work: Job, capfd: pytest.CaptureFixture[str]) -> None:
    in_the_way = work.layout.packed / "preview.html.partial"
    in_the_way.mkdir(parents=True)
    with work.locked():
        done = run(work)
    assert [receipt.stage for receipt in done] == ["download", "pack", "verify", "run"]
    assert "preview: not made: [Errno 21] Is a directory" in capfd.readouterr().err
    assert "no preview was made" in summary.of_run(work, done)
    in_the_way.rmdir()
    with work.locked():
        assert [receipt.stage for receipt in run(work)][-2:] == ["preview", "run"]


def test_other_settings_leave_no_old_preview(work: Job, tmp_path: Path) -> None:
    """Packing begins anew: what is there to be seen must not be of the files before."""
    with work.locked():
        run(work)
    pack(tmp_path / "set" / "tiny.toml", tmp_path, settings=PackSettings(resize=8))
    assert not any(path.exists() for path in work.layout.previews)


def test_the_manifest_knows_the_size_before(work: Job) -> None:
    with work.locked():
        run(work)
    facts = json.loads(work.layout.manifest.read_text())["splits"]["train"]
    assert facts["source_bytes"] == sum(
        len(image) for files in TINY["train"].values() for image in files.values()
    )


def test_a_folder_that_cannot_be_written(layout: Layout) -> None:
    done = run_command("preview", "--packed", str(layout.packed), "--out", "/proc/new", "--no-progress")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "/proc/new" in done.stderr
    assert "--out" in done.stderr
