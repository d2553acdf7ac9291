"""Random access: every image with its label and name, to any process, in any order."""

import hashlib
import json
import multiprocessing
import pickle
import subprocess
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import cv2
import mxnet as mx
import numpy as np
import pytest

from prep import Records
from prep.errors import DescriptionError, IntegrityError
from prep.records import buckets
from prep.records.dealing import PackSettings
from prep.records.recordio import MAGIC_BYTES
from tests.prep import pictures, small_sets

CLASSES, EACH = 7, 31
COUNT = CLASSES * EACH


def with_magic(jpeg: bytes) -> bytes:
    """A JPEG file that holds RecordIO's magic number at a place where RecordIO splits the record."""
    for pad in range(4):
        comment = bytes(pad) + MAGIC_BYTES + b"x"
        image = jpeg[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[2:]
        if image.index(MAGIC_BYTES) % 4 == 0:
            return image
    raise AssertionError("unreachable")


@pytest.fixture(scope="module")
def truth() -> dict[str, tuple[bytes, int]]:
    """Every image and its label, by name."""
    found = {}
    for label in range(CLASSES):
        for number in range(EACH):
            image = pictures.jpeg(20 + label, 24, label * EACH + number)
            found[f"class{label}/{number}.jpg"] = with_magic(image) if number == 3 else image, label
    return found


@pytest.fixture(scope="module", params=["one file", "parts"])
def packed(
    request: pytest.FixtureRequest,
    truth: dict[str, tuple[bytes, int]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    folder = tmp_path_factory.mktemp("records")
    images: dict[str, dict[str, bytes]] = {}
    for name, (image, _) in truth.items():
        wnid, _, file = name.partition("/")
        images.setdefault(wnid, {})[file] = image
    # A part ends where a bucket ends, with one MiB at least: some large images make several parts.
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "parts":
            patch.setattr(buckets, "BUCKET_BYTES", 1 << 19)
            noise = np.random.default_rng(0).integers(0, 256, (460, 460, 3), np.uint8)
            large = bytes(cv2.imencode(".jpg", noise, [cv2.IMWRITE_JPEG_QUALITY, 99])[1])
            images["class0"] |= {f"large{number}.jpg": large for number in range(12)}
        toml = small_sets.write_folders(folder, {"train": images})
        small_sets.pack(toml, folder, settings=PackSettings(part_mib=int(request.param == "parts")))
    return folder / "packed"


def test_every_image_with_its_label_and_name(packed: Path, truth: dict[str, tuple[bytes, int]]) -> None:
    records = Records(packed)
    seen = {name: (image, label) for image, label, name in records}
    assert len(seen) == len(records)
    assert {name: seen[name] for name in truth} == truth
    one_by_one = [records[place] for place in range(len(records))]
    assert one_by_one == list(records)
    assert records[-1] == one_by_one[-1]
    assert [records.name(place) for place in range(len(records))] == [sample.name for sample in one_by_one]
    assert records.labels.tolist() == [sample.label for sample in one_by_one]
    assert [entry.wnid for entry in records.classes] == [f"class{label}" for label in range(CLASSES)]
    size = sum(path.stat().st_size for path in packed.glob("*.rec"))
    assert records.stored_bytes().sum() == size


def test_parts_are_parts(packed: Path, request: pytest.FixtureRequest) -> None:
    several = request.node.callspec.params["packed"] == "parts"
    assert (len(list(packed.glob("*.rec"))) > 2) is several


def test_the_files_have_the_places_of_all_records(packed: Path) -> None:
    records = Records(packed)
    files = records[::2].files()
    assert [path for path, _ in files] == sorted(packed.glob("*.rec"))
    assert [offsets[-1] for _, offsets in files] == [path.stat().st_size for path, _ in files]
    sizes = np.concatenate([np.diff(offsets) for _, offsets in files])
    assert sizes.tolist() == records.stored_bytes().tolist()


def test_one_file(packed: Path) -> None:
    """Each part alone, without the manifest, is its share of the whole."""
    records = Records(packed)
    place = 0
    for rec in sorted(packed.glob("*.rec")):
        alone = Records(rec)
        assert list(alone) == list(records[place : place + len(alone)])
        assert list(pickle.loads(pickle.dumps(alone[::-1]))) == list(alone)[::-1]  # noqa: S301 - our own
        assert alone.classes == records.classes
        place += len(alone)
    assert place == len(records)


def test_mxnet_reads_the_same(packed: Path) -> None:
    records = Records(packed)
    place = 0
    for rec in sorted(packed.glob("*.rec")):
        reader = mx.recordio.MXIndexedRecordIO(str(rec.with_suffix(".idx")), str(rec), "r")
        for key in reader.keys:
            header, image = mx.recordio.unpack(reader.read_idx(key))
            assert (image, header.label) == records[place][:2]
            place += 1
    assert place == len(records)


def test_no_such_sample(packed: Path) -> None:
    records = Records(packed)
    for place in (len(records), -len(records) - 1):
        with pytest.raises(IndexError):
            records[place]
    assert list(records[0:0]) == []


def test_slices_and_shards_are_views(packed: Path) -> None:
    records = Records(packed)
    names = [sample.name for sample in records]
    assert [sample.name for sample in records[5:50:3]] == names[5:50:3]
    assert [sample.name for sample in records[::-1][2:9]] == names[::-1][2:9]
    shards = [records.shard(rank, 4) for rank in range(4)]
    assert Counter(sample.name for shard in shards for sample in shard) == Counter(names)
    assert max(map(len, shards)) - min(map(len, shards)) <= 1
    with pytest.raises(ValueError, match="rank 4 of 4"):
        records.shard(4, 4)


@pytest.mark.parametrize("block", [1, 8])
def test_an_epoch_is_shuffled_and_shared_equally(packed: Path, block: int) -> None:
    records = Records(packed)
    shares = [records.epoch(3, seed=1, rank=rank, world=4, block=block) for rank in range(4)]
    assert {len(share) for share in shares} == {len(records) // 4}
    order = [share.name(place) for share in shares for place in range(len(share))]
    assert len(set(order)) == len(order) == len(records) // 4 * 4
    alone = records.epoch(3, seed=1, block=block)
    assert [alone.name(place) for place in range(len(order))] == order
    for other in (records, records.epoch(4, seed=1, block=block), records.epoch(3, seed=2, block=block)):
        assert [other.name(place) for place in range(len(order))] != order
    # Blocks of neighbours stay together.
    numbers = {records.name(place): place for place in range(len(records))}
    steps = [numbers[after] - numbers[before] for before, after in pairwise(order)]
    assert sum(step == 1 for step in steps) >= len(steps) * (1 - 1.5 / block)


def test_the_order_of_an_epoch_never_changes(packed: Path) -> None:
    """A run that was begun with another version of NumPy goes on with the same order."""
    order = Records(packed)[:COUNT].epoch(7, seed=5)
    numbers = {Records(packed).name(place): place for place in range(COUNT)}
    assert [numbers[order.name(place)] for place in range(3)] == [44, 76, 176]


def test_a_batch_is_in_the_order_asked_for(packed: Path) -> None:
    records = Records(packed)
    places = [9, 3, 4, 4, 5, 200, 0, 199]
    assert records.__getitems__(places) == [records[place] for place in places]


def test_decoded_images_are_rgb(packed: Path) -> None:
    image, label, name = Records(packed, decode=True)[4]
    expected = cv2.imdecode(np.frombuffer(Records(packed)[4].image, np.uint8), cv2.IMREAD_COLOR)
    assert image.dtype == np.uint8
    assert (image == expected[:, :, ::-1]).all()
    assert (label, name) == Records(packed)[4][1:]


def digests(records: Records) -> list[str]:
    return [hashlib.sha256(image).hexdigest() + name for image, _, name in records]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_read_the_same(packed: Path, method: str) -> None:
    records = Records(packed).epoch(1)
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        halves = list(pool.map(digests, [records.shard(0, 2), records.shard(1, 2)]))
    assert halves == [digests(records[::2]), digests(records[1::2])]


def test_pickle_carries_no_index(packed: Path) -> None:
    records = Records(packed)
    assert len(pickle.dumps(records)) < 500
    assert list(pickle.loads(pickle.dumps(records[3:9]))) == list(records[3:9])  # noqa: S301 - our own


def test_threads_share_it(packed: Path) -> None:
    records = Records(packed)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(records.__getitem__, range(len(records)))) == list(records)


def test_it_imports_neither_opencv_nor_mxnet_nor_boto3() -> None:
    code = "import sys; from prep import Records; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert not {"cv2", "mxnet", "boto3", "scipy"} & {*done.stdout.split()}


def copy(packed: Path, folder: Path) -> Path:
    for path in packed.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def rec_of(folder: Path) -> Path:
    return min(folder.glob("*.rec"))


def test_damage_is_named(packed: Path, tmp_path: Path) -> None:
    folder = copy(packed, tmp_path)
    rec = rec_of(folder)
    data = bytearray(rec.read_bytes())
    data[20] ^= 1  # in the id of the first record
    rec.write_bytes(data)
    with pytest.raises(IntegrityError, match=r"record 0 \(class.*\) is not what the index says: compare"):
        Records(folder)[0]
    data[:4] = b"\0\0\0\0"
    rec.write_bytes(data)
    with pytest.raises(IntegrityError, match="no record begins"):
        Records(folder)[0]


def test_a_name_that_is_no_text_is_damage(packed: Path, tmp_path: Path) -> None:
    folder = copy(packed, tmp_path)
    lst = rec_of(folder).with_suffix(".lst")
    data = bytearray(lst.read_bytes())
    data[data.index(b"class")] = 0xFF
    lst.write_bytes(data)
    with pytest.raises(IntegrityError, match=r"\.lst: line 1 is not UTF-8: compare"):
        Records(folder)[0]


def test_pickle_knows_the_folder_from_everywhere(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(packed)
    pickled = pickle.dumps(Records("."))
    monkeypatch.chdir(tmp_path)
    assert len(pickle.loads(pickled)) == len(Records(packed))  # noqa: S301 - our own


def test_a_file_that_is_cut_short_is_named(packed: Path, tmp_path: Path) -> None:
    folder = copy(packed, tmp_path)
    rec = rec_of(folder)
    opened = Records(folder)
    rec.write_bytes(rec.read_bytes()[:-100])
    with pytest.raises(IntegrityError, match=f"{rec.name}: has .* MANIFEST.json says"):
        Records(folder)
    with pytest.raises(IntegrityError, match=f"{rec.name}: cut short at byte"):
        list(opened)
    rec.unlink()
    with pytest.raises(IntegrityError, match=f"{rec.name}: is missing"):
        Records(folder)


def test_an_index_of_another_file_is_refused(packed: Path, tmp_path: Path) -> None:
    folder = copy(packed, tmp_path)
    idx = rec_of(folder).with_suffix(".idx")
    lines = idx.read_text().splitlines(keepends=True)
    text = "".join(lines)
    for spoilt in (
        "".join(lines[1:]),
        text.replace("\t", " ", 1),
        "".join(lines[::-1]),
        text.replace("1\t", "7\t", 1),
        text.replace("1\t", "x\t", 1),
    ):
        idx.write_text(spoilt)
        document = json.loads((folder / "MANIFEST.json").read_text())
        document["files"][idx.name]["bytes"] = idx.stat().st_size
        (folder / "MANIFEST.json").write_text(json.dumps(document))
        with pytest.raises(IntegrityError, match=r"(idx|lst): "):
            Records(folder)


def test_one_file_that_is_cut_short_or_alone(packed: Path, tmp_path: Path) -> None:
    rec = rec_of(copy(packed, tmp_path))
    rec.write_bytes(rec.read_bytes()[:-100])
    opened = Records(rec)
    with pytest.raises(IntegrityError, match="cut short"):
        opened[-1]
    rec.write_bytes(b"")
    with pytest.raises(IntegrityError, match="ascend to the size"):
        Records(rec)
    rec.with_suffix(".lst").unlink()
    with pytest.raises(IntegrityError, match=r"lst: is missing"):
        Records(rec)


def test_a_wrong_folder_or_split(packed: Path, tmp_path: Path) -> None:
    with pytest.raises(DescriptionError, match=r"has no MANIFEST\.json: give the folder"):
        Records(tmp_path)
    with pytest.raises(DescriptionError, match="no split 'test': give one of train"):
        Records(packed, "test")
    with pytest.raises(DescriptionError, match="there is no such file: give a folder"):
        Records(packed / "nothing.rec")
