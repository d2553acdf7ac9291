"""What goes wrong while a cluster packs: its line, its exit code, and that the same command then finishes."""

import subprocess
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.prep import pictures
from tests.prep.bulk import bulky
from tests.prep.cluster.stand import BUCKET, Stand, here
from tests.prep.s3_proxy import Fault, Request
from tests.prep.small_sets import Images, packed_files, write_folders
from tests.prep.tars import file, header_offsets, tar

WAIT = 20.0  # seconds for which a task is held up at most
Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, large: Path) -> dict[str, str]:
    """SHA-256 of the files that one machine makes of the large data set."""
    folder = tmp_path_factory.mktemp("expected")
    assert here(large, folder).returncode == 0
    return packed_files(folder)


def one_line(done: Done, code: int, message: str) -> None:
    """The mistake is said in one line, after what was noted; no trace, no credential."""
    said = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert said[-1].startswith("error: ")
    assert message in said[-1]
    assert [line for line in said[:-1] if ": looking for " not in line] == []


def written(stand: Stand, operation: str = "PutObject", suffix: str = ".entries") -> list[str]:
    """What was written since the last look."""
    found = [each.key for each in stand.proxy.requests if each.operation == operation]
    stand.proxy.requests.clear()
    return [key for key in found if key.endswith(suffix)]


def times(stand: Stand, packed: str, suffix: str) -> dict[str, datetime]:
    """When each object was written."""
    listed = stand.objects(packed).items()
    return {name: each["LastModified"] for name, each in listed if name.endswith(suffix)}


def refusing(operation: str, suffix: str, after: int = 0) -> Callable[[Request], Fault | None]:
    """Refuse such calls, but for the first ones."""
    left = [after]

    def plan(request: Request) -> Fault | None:
        if request.operation != operation or not request.key.endswith(suffix):
            return None
        left[0] -= 1
        return Fault.DENIED if left[0] < 0 else None

    return plan


@pytest.mark.parametrize(("operation", "suffix", "after"), [
    ("GetObject", "train.tar", 40),
    ("PutObject", ".entries", 5),
    ("CreateMultipartUpload", "train.rec", 0),
    ("UploadPart", "train.rec", 1),
    ("PutObject", "MANIFEST.json", 0),
])  # fmt: skip
def test_s3_refuses(
    stand: Stand, large: Path, expected: dict[str, str], operation: str, suffix: str, after: int
) -> None:
    """What was done before is not done again."""
    source, packed = stand.source(large), stand.place()
    stand.proxy.plan = refusing(operation, suffix, after)
    done = stand.pack(large, source, packed)
    one_line(done, 7, f": allow this role to call {operation}")
    assert "MANIFEST.json" not in stand.objects(packed)
    dealt, merged = times(stand, packed, ".entries"), times(stand, packed, ".lst")
    stand.proxy.plan = None
    written(stand)
    assert stand.pack(large, source, packed).returncode == 0
    sent = {(each.operation, each.key.partition("/")[2]) for each in stand.proxy.requests}
    assert [name for name in dealt if ("PutObject", name) in sent] == [], "dealt again"
    if suffix == "MANIFEST.json":
        assert merged
        assert ("UploadPart", "train.rec") not in sent, "merged again"
    assert stand.files(packed) == expected


def test_ranges_that_are_merged_are_not_merged_again(
    stand: Stand, large: Path, expected: dict[str, str]
) -> None:
    source, packed = stand.source(large), stand.place()
    stand.proxy.plan = refusing("CompleteMultipartUpload", "train.rec")
    one_line(stand.pack(large, source, packed), 7, "CompleteMultipartUpload: AccessDenied")
    assert len(written(stand, "UploadPart", "train.rec")) >= 3
    stand.proxy.plan = None
    assert stand.pack(large, source, packed).returncode == 0
    assert written(stand, "UploadPart", "train.rec") == []
    assert stand.files(packed) == expected


def test_an_aborted_upload_is_merged_again(stand: Stand, large: Path, expected: dict[str, str]) -> None:
    """A bucket may have a rule that ends uploads after some days. Nothing is dealt again."""
    source, packed = stand.source(large), stand.place()
    stand.proxy.plan = refusing("CompleteMultipartUpload", "train.rec")
    one_line(stand.pack(large, source, packed), 7, "CompleteMultipartUpload: AccessDenied")
    (upload,) = stand.uploads(packed)
    stand.s3.abort_multipart_upload(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])
    # The next driver begins another upload, and merges nothing: the parts of the first do not count there.
    stand.proxy.plan = refusing("UploadPart", "train.rec")
    one_line(stand.pack(large, source, packed), 7, "UploadPart: AccessDenied")
    stand.proxy.plan = None
    written(stand)
    assert stand.pack(large, source, packed).returncode == 0
    assert stand.files(packed) == expected
    assert written(stand) == []


def test_an_upload_that_ends_meanwhile(stand: Stand, large: Path, expected: dict[str, str]) -> None:
    """It was aborted after all its parts had been sent."""
    source, packed = stand.source(large), stand.place()

    def plan(request: Request) -> None:
        if request.operation == "CompleteMultipartUpload":
            for each in stand.uploads(packed):
                stand.s3.abort_multipart_upload(Bucket=BUCKET, Key=each["Key"], UploadId=each["UploadId"])

    stand.proxy.plan = plan
    one_line(stand.pack(large, source, packed), 7, "S3 has lost it: run again; it is merged again")
    stand.proxy.plan = None
    assert stand.pack(large, source, packed).returncode == 0
    assert stand.files(packed) == expected


@pytest.mark.parametrize("fault", [Fault.SLOW_DOWN, Fault.NO_REPLY, Fault.DAMAGED])
def test_what_passes_is_not_noticed(
    stand: Stand, large: Path, expected: dict[str, str], fault: Fault
) -> None:
    """Busy, silent, or a part that arrives damaged: the call is repeated."""
    seen: dict[str, int] = {}

    def plan(request: Request) -> Fault | None:
        seen[request.operation] = seen.get(request.operation, 0) + 1
        hit = request.operation in ("UploadPart", "CompleteMultipartUpload", "CreateMultipartUpload")
        return fault if hit and seen[request.operation] == 1 and faulty(request) else None

    def faulty(request: Request) -> bool:
        return fault is not Fault.DAMAGED or request.operation == "UploadPart"

    packed = stand.place()
    stand.proxy.plan = plan
    done = stand.pack(large, stand.source(large), packed)
    assert done.returncode == 0, done.stderr
    left = stand.uploads(packed)
    for each in left:  # nobody has heard of the upload whose begin had no reply
        stand.s3.abort_multipart_upload(Bucket=BUCKET, Key=each["Key"], UploadId=each["UploadId"])
    assert len(left) == (fault is Fault.NO_REPLY)
    assert stand.files(packed) == expected


def other_image(toml: Path) -> bytes:
    """The archive, with another byte in an image."""
    data = (toml.parent / "archives" / "train.tar").read_bytes()
    place = header_offsets(data)[30] + 512 + 1000
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def test_an_archive_that_is_replaced(stand: Stand, large: Path, expected: dict[str, str]) -> None:
    """Its reads fail; what was made of it is not used. The other one is refused by its digest."""
    source, packed = stand.source(large), stand.place()
    key = f"{source.removeprefix(f's3://{BUCKET}/')}/train.tar"

    def plan(request: Request) -> None:
        if request.key.endswith(".entries"):
            stand.put(key, other_image(large))
            stand.proxy.plan = None

    stand.proxy.plan = plan
    one_line(stand.pack(large, source, packed), 4, "train.tar: was replaced")
    done = stand.pack(large, source, packed)
    one_line(done, 5, "; nothing was made of it: put the right file there, or correct the description")
    assert "train.tar: its MD5 is " in done.stderr
    assert [name for name in stand.objects(packed) if name != ".packing/plan.json"] == []
    stand.put(key, (large.parent / "archives" / "train.tar").read_bytes())
    assert stand.pack(large, source, packed).returncode == 0
    assert stand.files(packed) == expected


def images_around_a_tar(number: int) -> Images:
    """Images of half a megabyte; one of 3 MB has a tar archive after its end."""
    inner = tar([file(f"a/{index}.jpg", pictures.jpeg(30, 30, index) * 30) for index in range(120)])
    whole = pictures.jpeg(20, 20, 3)
    odd = whole + bytes(-len(whole) % 512) + inner
    assert len(inner) > 2 << 20
    files = {f"{index:02d}.jpg": odd if index == number else bulky(500_000, index) for index in range(40)}
    return {"a": files}


@pytest.mark.parametrize("checked", [True, False])
def test_an_image_that_contains_an_archive(tmp_path: Path, stand: Stand, checked: bool) -> None:
    """It misleads the search for boundaries; the headers are then read one by one. The digest is right."""
    toml = write_folders(tmp_path / "set", {"train": images_around_a_tar(36)})
    assert here(toml, tmp_path).returncode == 0
    source, packed = stand.source(toml, checked=checked), stand.place()
    digest = ".packing/train/digest-train.tar.json"
    dealt: list[str] = []
    noted = [checked]

    def plan(request: Request) -> None:
        """After some units, the others wait until the digest is under way: it must begin anew."""
        if request.operation == "PutObject" and request.key.endswith(".entries"):
            dealt.append(request.key)
        if request.operation == "GetObject" and request.key.endswith("train.tar") and len(dealt) > 4:
            deadline = time.monotonic() + WAIT
            while not noted[0] and time.monotonic() < deadline:
                noted[0] = digest in stand.objects(packed)
                time.sleep(0.05)

    stand.proxy.plan = plan
    done = stand.pack(toml, source, packed)
    assert done.returncode == 0, done.stderr
    assert "looking for its members one by one" in done.stderr
    assert noted == [True]
    assert stand.files(packed) == packed_files(tmp_path)


def test_a_damaged_archive(tmp_path: Path, stand: Stand) -> None:
    """The same words as on one machine, but for the place of the archive."""
    toml = write_folders(tmp_path / "set", {"train": images_around_a_tar(-1)})
    archive = toml.parent / "archives" / "train.tar"
    data = bytearray(archive.read_bytes())
    data[header_offsets(bytes(data))[20] + 150] ^= 0xFF  # its checksum
    archive.write_bytes(data)
    done = stand.pack(toml, stand.source(toml), stand.place())
    one_line(done, 5, "train.tar: damaged header at byte ")


def test_a_node_with_another_codec(stand: Stand, large: Path, expected: dict[str, str]) -> None:
    source, packed = stand.source(large), stand.place()
    arguments = stand.command(large, source, packed)
    answer: dict[str, Any] = stand.resident.call("tests.prep.cluster.resident:with_another_codec", arguments)
    done = Done(arguments, answer["code"], answer["out"], answer["err"])
    one_line(done, 8, "that of the driver is another: install the same packages on all nodes, then run again")
    assert times(stand, packed, ".entries") == {}
    assert stand.pack(large, source, packed).returncode == 0  # with the nodes' own
    assert stand.files(packed) == expected


def test_other_settings_remove_what_is_there(stand: Stand, large: Path, expected: dict[str, str]) -> None:
    """What is whole, what is half done with its upload, and what is not ours, which stays."""
    source, packed = stand.source(large), stand.place()
    stand.put(f"{packed.removeprefix(f's3://{BUCKET}/')}/notes.txt", b"mine")
    done = stand.pack(large, source, packed, "--part-mib", "8", "--resize", "0")
    assert done.returncode == 0, done.stderr
    stand.proxy.plan = refusing("UploadPart", "train.rec", 1)
    one_line(stand.pack(large, source, packed, "--seed", "3"), 7, "UploadPart: AccessDenied")
    assert not [name for name in stand.objects(packed) if name.startswith(("train-", "MANIFEST", ".prep/p"))]
    assert len(stand.uploads(packed)) == 1
    stand.proxy.plan = None
    assert stand.pack(large, source, packed).returncode == 0
    found = stand.files(packed)
    assert found.pop("notes.txt")
    assert found == expected


def test_a_file_that_is_gone_is_made_again(stand: Stand, large: Path, expected: dict[str, str]) -> None:
    source, packed = stand.source(large), stand.place()
    assert stand.pack(large, source, packed).returncode == 0
    key = f"{packed.removeprefix(f's3://{BUCKET}/')}/train.lst"
    stand.s3.delete_object(Bucket=BUCKET, Key=key)
    assert stand.pack(large, source, packed).returncode == 0
    assert stand.files(packed) == expected
