"""Every odd image has the outcome that the table states, and readers see what was in the archive."""

import hashlib
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np
import pytest
from PIL import Image

from prep.images.prepare import Target, UnreadableImageError, prepare
from prep.images.resize import fit
from tests.prep import odd_images, pictures
from tests.prep.commands import REPOSITORY, folders, run
from tests.prep.faults import matches
from tests.prep.odd_images import CONVERTED, CUT, KEPT, KINDS, REDUCED, REFUSED, UNREADABLE, Kind, Outcome
from tests.prep.small_sets import place_archives, write_folders
from tests.prep.tars import file, tar

pytestmark = pytest.mark.filterwarnings("ignore:Please import `csr_matrix`:DeprecationWarning")  # MXNet's
QUALITY = 95
SAME = 3.0  # mean difference, of 255, that an encoding at QUALITY may make of these smooth pictures
TWO_DECODERS = 1.5  # the same, of one JPEG decoded by two libraries


@dataclass(frozen=True)
class Case:
    """A file of some kind, and the target it is packed for."""

    kind: Kind
    large: bool
    resize: int

    @property
    def data(self) -> bytes:
        return odd_images.made(self.kind, self.large)

    @property
    def outcome(self) -> Outcome:
        return (self.kind.large or self.kind.small) if self.large and self.resize else self.kind.small

    def shown(self) -> Image.Image:
        """What a viewer shows of the file in the archive, at the size it is to have."""
        width, height = self.kind.sizes[self.large]
        image = self.kind.seen(width, height) if self.kind.seen else pictures.seen(self.data)
        return image.resize(fit(*image.size, self.resize), Image.Resampling.BOX)


CASES = {
    f"{name} {'large' if large else 'small'} at {resize}": Case(kind, large, resize)
    for name, kind in KINDS.items()
    for large in ([False, True] if kind.large else [False])
    for resize in (0, REDUCED)
}
FILES = {
    ("large" if large else "small", f"{name}.JPEG"): (kind, large)
    for name, kind in KINDS.items()
    for large in ([False, True] if kind.large else [False])
}


def check(case: Case, packed: bytes, care: list[str]) -> None:
    """The outcome's own promise about bytes and reasons, and what Pillow sees."""
    assert len(care) == len(case.outcome.why)
    assert all(matches(*pair) for pair in zip(case.outcome.why, care, strict=True)), care
    if case.outcome.how == KEPT:
        assert packed == case.data
    elif case.outcome.how == CUT:
        assert packed == case.data[: len(packed)]
        assert packed.endswith(b"\xff\xd9")
    else:
        assert b"Exif" not in packed  # or a viewer would turn it once more
    result = pictures.seen(packed)
    assert pictures.difference(result, case.shown()) < SAME


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_prepare(case: Case) -> None:
    target = Target(case.resize, QUALITY)
    if case.outcome.how != UNREADABLE:
        made = prepare(memoryview(case.data), target)
        check(case, made.jpeg, list(made.care))
        assert made.as_is == (case.outcome.how == KEPT)
        return
    with pytest.raises(UnreadableImageError) as caught:
        prepare(memoryview(case.data), target)
    if case.kind is not KINDS["png-bomb"]:  # its limit must be set before this process has loaded OpenCV
        assert matches(case.outcome.why[0], str(caught.value))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Description of a data set of all kinds."""
    images: dict[str, dict[str, bytes]] = {"small": {}, "large": {}}
    for (folder, name), (kind, large) in FILES.items():
        images[folder][name] = odd_images.made(kind, large)
    return write_folders(tmp_path_factory.mktemp("odd") / "set", {"train": images})


@dataclass(frozen=True)
class Packed:
    """What `prep pack` made: its folder, the manifest of the split, and the images as MXNet unpacks them."""

    folder: Path
    arguments: list[str]
    split: dict[str, Any]
    images: dict[str, bytes]


def unpacked(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Name and JPEG of every record, read by MXNet with the list beside it."""
    lines = (folder / "train.lst").read_text(encoding="utf-8").splitlines()
    reader = mx.recordio.MXIndexedRecordIO(str(folder / "train.idx"), str(folder / "train.rec"), "r")
    for line in lines:
        index, label, name = line.split("\t")
        header, image = mx.recordio.unpack(reader.read_idx(int(index)))
        assert (header.id, header.label) == (int(index), float(label))
        yield name, image
    reader.close()


@pytest.fixture(scope="module", params=[0, REDUCED])
def packed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, archive: Path) -> Packed:
    """The data set, packed by the command line."""
    folder = tmp_path_factory.mktemp("packed")
    place_archives(archive, folder / "root")
    arguments = ["--dataset", str(archive), *folders(folder)]
    unreadable = sum(kind.small.how == UNREADABLE for kind in KINDS.values())
    settings = ["--resize", str(request.param), "--quality", str(QUALITY)]
    done = run("pack", *arguments, *settings, "--allow-unreadable", str(unreadable))
    assert done.returncode == 0, done.stderr
    facts = json.loads((folder / "packed" / "MANIFEST.json").read_text())["splits"]["train"]
    return Packed(folder / "packed", arguments, facts, dict(unpacked(folder / "packed")))


def test_packed(packed: Packed, request: pytest.FixtureRequest) -> None:
    """Every file of the archive is a record, whose picture MXNet and Pillow read alike, or is named."""
    resize = request.node.callspec.params["packed"]
    named = set()
    for (folder, file_name), (kind, large) in FILES.items():
        name, case = f"{folder}/{file_name}", Case(kind, large, resize)
        if case.outcome.how == UNREADABLE:
            assert matches(case.outcome.why[0], packed.split["unreadable"][name]), name
            assert name not in packed.images
            continue
        check(case, packed.images[name], packed.split["care"].get(name, []))
        named |= {name} if case.outcome.why else set()
        by_mxnet = Image.fromarray(mx.image.imdecode(packed.images[name]).asnumpy())
        assert pictures.difference(by_mxnet, pictures.seen(packed.images[name])) < TWO_DECODERS, name
        assert pictures.difference(by_mxnet, case.shown()) < SAME + TWO_DECODERS, name
    assert set(packed.split["care"]) == named
    assert len(packed.images) + len(packed.split["unreadable"]) == len(FILES) == packed.split["images"]


def test_verified(packed: Packed) -> None:
    done = run("verify", *packed.arguments)
    assert done.returncode == 0, done.stderr
    assert "read by MXNet" in done.stderr


def test_unreadable_ones_fail_the_stage_by_name(tmp_path: Path, archive: Path) -> None:
    place_archives(archive, tmp_path / "root")
    done = run("pack", "--dataset", str(archive), *folders(tmp_path), "--allow-unreadable", "2")
    assert done.returncode == 5
    said = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    count = sum(kind.small.how == UNREADABLE for kind in KINDS.values())
    assert len(said) == 1
    assert re.search(
        rf"pack: {count} unreadable images: small/\S+ .*; …: .* --allow-unreadable {count} ", said[0]
    )
    assert not (tmp_path / "packed" / "MANIFEST.json").exists()


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED)
def test_refused(tmp_path: Path, refused: odd_images.Refused) -> None:
    toml = write_folders(tmp_path / "set", {"train": {"c": {"a.JPEG": b"x"}}}, images=len(refused.names))
    members = [file(f"c/{name}", pictures.jpeg(20, 10, seed)) for seed, name in enumerate(refused.names)]
    place_archives(toml, tmp_path / "root")
    archive = tmp_path / "root" / "archives" / "train.tar"
    archive.unlink()
    before = (toml.parent / "archives" / "train.tar").read_bytes()
    archive.write_bytes(tar(members))
    toml.write_text(
        toml.read_text()
        .replace(md5(before), md5(archive.read_bytes()))
        .replace(f"bytes = {len(before)}", f"bytes = {archive.stat().st_size}")
    )
    done = run("pack", "--dataset", str(toml), *folders(tmp_path))
    assert (done.returncode, done.stdout) == (5, "")
    assert matches(f"error: {refused.message}", done.stderr.splitlines()[-1]), done.stderr
    assert "Traceback" not in done.stderr


def test_profile_is_kept_as_is_and_dropped_when_encoded(
    packed: Packed, request: pytest.FixtureRequest
) -> None:
    """What the table says of colour profiles."""
    reduced = request.node.callspec.params["packed"] != 0
    for folder, kept in (("small", True), ("large", not reduced)):
        with Image.open(io.BytesIO(packed.images[f"{folder}/icc-profile.JPEG"])) as image:
            assert ("icc_profile" in image.info) == kept


def test_grey_stays_grey(packed: Packed) -> None:
    for folder in ("small", "large"):
        assert pictures.header(packed.images[f"{folder}/grey.JPEG"])[1] == "L"


def test_turned_pictures_are_told_apart() -> None:
    """The picture and the tolerance are such that none of the wrong orientations would pass."""
    upright = pictures.picture(64, 64)
    for operation in Image.Transpose:
        assert pictures.difference(upright, upright.transpose(operation)) > 5 * (SAME + TWO_DECODERS)
    assert np.asarray(upright).std() > SAME


def test_enough_kinds() -> None:
    assert len(KINDS) + len(REFUSED) >= 25
    assert {kind.small.how for kind in KINDS.values()} == {KEPT, CUT, CONVERTED, UNREADABLE}


def test_document_is_current() -> None:
    """`python -m tests.prep.odd_images > docs/odd-images.md` makes it so."""
    assert (REPOSITORY / "docs" / "odd-images.md").read_text(encoding="utf-8") == odd_images.document()
