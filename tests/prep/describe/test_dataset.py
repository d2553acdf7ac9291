"""`dataset new` and `dataset check` as their user runs them, and what `run` makes of the result."""

import hashlib
import json
import re
import shlex
import signal
import tarfile
import time
from pathlib import Path

import mxnet as mx
import pytest

from prep.datasets import description
from tests.prep import pictures
from tests.prep.commands import call, folders, run, start
from tests.prep.describe.inputs import images, write
from tests.prep.tars import file, special, tar, tar_of

SPLIT = images("set/train/cat", "set/train/dog", "set/val/cat", "set/val/dog")
EXTRA = {"set/README.txt": b"hello", "__MACOSX/set/train/cat/._cat-0.jpg": b"x"}


@pytest.fixture
def zipped(tmp_path: Path) -> Path:
    """A zip archive of two splits, with what does not belong into a data set."""
    return write(tmp_path / "pets.zip", SPLIT | EXTRA)


def new(*arguments: str | Path) -> tuple[int, str, str]:
    done = call("dataset", "new", *map(str, arguments))
    return done.returncode, done.stdout, done.stderr


def names(path: Path) -> list[str]:
    with tarfile.open(path) as tar:
        return tar.getnames()


def test_from_zip_to_mxnet(tmp_path: Path, zipped: Path) -> None:
    toml, to = tmp_path / "pets.toml", tmp_path / "archives"
    code, out, err = new(zipped, "--to", to, "--output", toml)
    assert (code, err) == (0, "")
    assert re.findall(r"^(?:splits)? +(\w+): ([\d,]+) images in 2 classes, layout folders$", out, re.M) == [
        ("train", "4"), ("validation", "4"),
    ]  # fmt: skip
    assert "; other files: 2 (set/README.txt, __MACOSX/set/train/cat/._cat-0.jpg)" in out
    assert sorted(names(to / "pets-train.tar")) == [
        f"{name}/set-train-{name}-{number}.jpg" for name in ("cat", "dog") for number in range(2)
    ]
    done = run("run", "--dataset", str(toml), "--source", str(to), *folders(tmp_path), "--json")
    assert done.returncode == 0, done.stderr
    iterator = mx.io.ImageRecordIter(
        path_imgrec=str(tmp_path / "packed" / "train.rec"), data_shape=(3, 16, 16), batch_size=4
    )
    labels = sorted(iterator.next().label[0].asnumpy().tolist())
    assert labels == [0, 0, 1, 1]
    checked = call("dataset", "check", str(toml), "--archives", str(to))
    assert (checked.returncode, checked.stderr) == (0, "")
    assert checked.stdout == f"{toml}: no mistakes: 2 classes, 8 images; the archives hold that\n"


def test_same_input_same_bytes(tmp_path: Path, zipped: Path) -> None:
    found = []
    for name in ("a", "b"):
        assert (
            new(zipped, "--to", tmp_path / name, "--output", tmp_path / f"{name}.toml", "--name", "pets")[0]
            == 0
        )
        found.append([(path.name, path.read_bytes()) for path in sorted((tmp_path / name).iterdir())])
        time.sleep(1.1)  # a date would show
    assert found[0] == found[1]
    assert (tmp_path / "a.toml").read_text() == (tmp_path / "b.toml").read_text()


def test_plain_archives_stay_where_they_are(tmp_path: Path) -> None:
    for name in ("train", "val"):
        write(tmp_path / f"{name}.tar", images("a", "b"))
    toml = tmp_path / "two.toml"
    code, out, _ = new(tmp_path / "train.tar", tmp_path / "val.tar", "--output", toml, "--json")
    document = json.loads(out)
    assert code == 0
    assert {split["name"]: split["converted"] for split in document["splits"]} == {
        "train": False, "validation": False,
    }  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train.tar", "two.toml", "val.tar"]
    loaded = description.load(str(toml))
    for archive in loaded.archives:
        data = (tmp_path / archive.file).read_bytes()
        assert (archive.bytes, archive.md5) == (len(data), hashlib.md5(data).hexdigest())  # noqa: S324


def test_linked_where_another_is_converted(tmp_path: Path) -> None:
    """All archives are then in one folder, which --source takes."""
    write(tmp_path / "train.tar", images("a", "b"))
    write(tmp_path / "val.zip", images("a", "b"))
    toml, to = tmp_path / "s.toml", tmp_path / "to"
    assert new(tmp_path / "train.tar", tmp_path / "val.zip", "--to", to, "--output", toml)[0] == 0
    assert sorted(path.name for path in to.iterdir()) == ["s-validation.tar", "train.tar"]
    assert (to / "train.tar").samefile(tmp_path / "train.tar")
    assert call("dataset", "check", str(toml), "--archives", str(to)).returncode == 0
    (to / "train.tar").unlink()
    (to / "train.tar").write_text("mine")
    code, _, err = new(tmp_path / "train.tar", "--to", to, "--output", tmp_path / "t.toml")
    assert (code, (to / "train.tar").read_text()) == (2, "mine")
    assert "train.tar: is there already: move it away" in err


def test_nested_in_a_compressed_tar(tmp_path: Path) -> None:
    write(tmp_path / "train.tar.gz", {f"{name}.tar": tar_of(images(name)) for name in ("n1", "n2")})
    toml, to = tmp_path / "s.toml", tmp_path / "to"
    assert new(tmp_path / "train.tar.gz", "--to", to, "--output", toml)[0] == 0
    assert names(to / "s-train.tar") == [f"{name}/{name}-{i}.jpg" for name in ("n1", "n2") for i in range(2)]
    assert 'layout = "folders"' in toml.read_text()
    assert call("dataset", "check", str(toml), "--archives", str(to)).returncode == 0


@pytest.mark.parametrize("suffix", [".tar", ".zip"])
def test_what_is_no_image_in_inner_tars_is_left_out(tmp_path: Path, suffix: str) -> None:
    extra = {"README.txt": b"hello", "n2/empty.jpg": b""}
    inner = {f"{name}.tar": tar_of(images(name) | extra) for name in ("n1", "n2")}
    archive = write(tmp_path / f"train{suffix}", inner | {"none.tar": tar_of({"notes.txt": b"no class"})})
    toml, to = tmp_path / "s.toml", tmp_path / "to"
    code, out, err = new(archive, "--to", to, "--output", toml)
    assert (code, err) == (0, "")
    assert "4 images; other files: 5 (n1.tar/README.txt, n1.tar/n2/empty.jpg, n2.tar/README.txt)" in out
    assert "train: 4 images in 2 classes, layout folders" in out
    checked = call("dataset", "check", str(toml), "--archives", str(to))
    assert (checked.returncode, checked.stderr) == (0, "")


def test_paths_with_spaces_in_what_comes_next(tmp_path: Path) -> None:
    toml, to = tmp_path / "my pets.toml", tmp_path / "my archives"
    write(tmp_path / "pets.zip", images("a", "b"))
    code, out, _ = new(tmp_path / "pets.zip", "--to", to, "--output", toml, "--name", "pets")
    assert code == 0
    check, rehearse, _ = out.partition("next ")[2].strip().splitlines()
    assert call(*shlex.split(check)[3:]).returncode == 0
    (given,) = shlex.split(rehearse.strip())[2:]
    assert shlex.split(given.removeprefix("ARGS=")) == ["--dataset", str(toml), "--archives", str(to)]


def test_flat_with_devkit(tmp_path: Path, sample: Path) -> None:
    """The generated sample, described anew, says the same as its own description."""
    archives, own = sample.parent / "archives", description.load(str(sample))
    files = [archives / split.archive.file for split in own.splits]
    assert own.devkit is not None
    toml = tmp_path / "again.toml"
    code, _, err = new(*files, "--devkit", archives / own.devkit.file, "--output", toml)
    assert (code, err) == (0, "")
    again = description.load(str(toml))
    shape = [(s.name, s.layout, s.labels, s.images, s.archive.md5) for s in again.splits]
    assert shape == [(s.name, s.layout, s.labels, s.images, s.archive.md5) for s in own.splits]
    assert again.classes == own.classes
    assert call("dataset", "check", str(toml), "--archives", str(archives)).returncode == 0


MISTAKES = {
    "not there": (["none.tar"], 2, r"none.tar: No such file or directory: check the path"),
    "no archive": (["notes.txt"], 2, r"notes.txt: is no tar or zip archive: unpack it, and give the folder"),
    "cut short": (["short.tar"], 5, r"short.tar: damaged .*: get it again"),
    "cut short, compressed": (["short.tar.gz"], 5, r"short.tar.gz: damaged .*: get it again"),
    "damaged zip": (["bad.zip", "--to", "to"], 5, r"bad.zip: damaged .*: get it again"),
    "escapes": (["evil.zip"], 5, r"evil.zip: '../x.jpg' is not a valid file name .*: don't trust it"),
    "same names": (["twice.zip", "--to", "to"], 5, r"second a/1.jpg of split train: rename it, or"),
    "no name": (["good.tar", "--name", "My Pets"], 2, r"name 'My Pets': must be .*: give --name"),
    "title too long": (["good.tar", "--title", "t" * 201], 2, r"would be wrong: title: .*: shorten it"),
    "no address": (["good.tar", "--url", "ftp://x"], 2, r"url 'ftp://x/good.tar' must be a web .*: correct"),
    "split as a folder": (["--split", "archives=good.tar"], 2, r"\[splits.archives\]: .*: give the split"),
    "no toml": (["good.tar", "--output", "x.txt"], 2, r"x.txt does not end in .toml. See .* --help"),
    "no split's name": (["good.tar", "--split", "good.tar"], 2, r"is not NAME=FILE, such as train=pets.tar"),
    "undecided": (["good.zip"], 2, r"not all is clear, and nothing was written: give the options"),
}  # fmt: skip


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    good = images("cat", "dog")
    for name in ("good.tar", "good.zip", "good.tar.gz"):
        write(folder / name, good)
    (folder / "notes.txt").write_text("hello")
    for name in ("tar", "tar.gz"):
        data = (folder / f"good.{name}").read_bytes()
        (folder / f"short.{name}").write_bytes(data[: len(data) // 2 + 100])
    data = bytearray((folder / "good.zip").read_bytes())
    data[200:230] = bytes(30)
    (folder / "bad.zip").write_bytes(data)
    write(folder / "evil.zip", {"../x.jpg": pictures.jpeg(8, 8, 1)})
    twice = {f"{top}/{name}/1.jpg": pictures.jpeg(8, 8, 1) for top in ("x", "y") for name in "ab"}
    write(folder / "twice.zip", twice)
    return folder


@pytest.mark.parametrize(("arguments", "code", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes(tmp_path: Path, inputs: Path, arguments: list[str], code: int, message: str) -> None:
    """One line with a remedy; and no file under its final name."""
    given = [re.sub(r"^(archives=)?(\w+\.\w.*)", rf"\1{inputs}/\2", each) for each in arguments]
    given = [str(tmp_path / "to") if each == "to" else each for each in given]
    output = [] if "--output" in given else ["--output", str(tmp_path / "new.toml")]
    found, out, err = new(*given, *output)
    assert (found, out) == (code, "")
    assert re.search(message, err.splitlines()[-1]), err
    assert [path for path in tmp_path.rglob("*") if path.suffix in (".toml", ".tar")] == []


def test_links_are_left_out(tmp_path: Path) -> None:
    """Of an archive, and of a folder, from which a link may lead anywhere."""
    files = [file(name, data) for name, data in images("a", "b").items()]
    (tmp_path / "x.tar").write_bytes(tar([*files, special("a/link.jpg", tarfile.SYMTYPE, "/etc/passwd")]))
    write(tmp_path / "x", images("a", "b"))
    (tmp_path / "x" / "a" / "link.jpg").symlink_to("/etc/passwd")
    for name in ("x.tar", "x"):
        to, toml = tmp_path / f"to-{name}", tmp_path / f"{Path(name).stem}-{len(name)}.toml"
        code, out, _ = new(tmp_path / name, "--to", to, "--output", toml, "--name", "x")
        assert code == 0
        assert "; other files: 1 (a/link.jpg)" in out
        assert len(names(to / "x-train.tar")) == 4


def test_nothing_is_overwritten(tmp_path: Path, zipped: Path) -> None:
    toml, to = tmp_path / "pets.toml", tmp_path / "to"
    toml.write_text("mine")
    code, _, err = new(zipped, "--to", to, "--output", toml)
    assert (code, toml.read_text()) == (2, "mine")
    assert f"{toml}: is there already: move it away, or give another name" in err
    toml.unlink()
    to.mkdir()
    (to / "pets-train.tar").write_text("mine")
    assert new(zipped, "--to", to, "--output", toml)[0] == 2
    assert (to / "pets-train.tar").read_text() == "mine"


def test_interrupted(tmp_path: Path) -> None:
    """Nothing that looks whole is left, and the same command succeeds afterwards."""
    big = write(tmp_path / "big.zip", {f"{name}/1.jpg": b"\0" * 80_000_000 for name in "ab"})
    toml, to = tmp_path / "big.toml", tmp_path / "to"
    command = ["dataset", "new", str(big), "--to", str(to), "--output", str(toml)]
    process = start(*command)
    deadline = time.monotonic() + 30
    while not list(to.glob("*.partial")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.splitlines()[-1].startswith("interrupted: run the same command again")
    assert [path.name for path in to.iterdir()] == ["big-train.tar.partial"]
    assert not toml.exists()
    assert run(*command).returncode == 0
    assert [path.name for path in to.iterdir()] == ["big-train.tar"]


def test_check_finds_every_mistake(tmp_path: Path, zipped: Path) -> None:
    toml, to = tmp_path / "pets.toml", tmp_path / "to"
    assert new(zipped, "--to", to, "--output", toml)[0] == 0
    good = toml.read_text()
    toml.write_text(good.replace("count = 2", "count = 0").replace("images = 4", "imges = 4"))
    done = call("dataset", "check", str(toml))
    assert done.returncode == 2
    places = [line.split(":")[0] for line in done.stdout.splitlines()]
    assert places == ["[classes]"] + ["[splits.train]"] * 2 + ["[splits.validation]"] * 2
    assert done.stderr == f"error: {toml}: 5 mistakes: do what is said for each, then check again\n"
    document = json.loads(call("dataset", "check", str(toml), "--json").stdout)
    assert (document["valid"], len(document["mistakes"])) == (False, 5)
    assert all(each["remedy"] for each in document["mistakes"])


def test_check_of_archives_finds_every_mistake(tmp_path: Path, zipped: Path) -> None:
    toml, to = tmp_path / "pets.toml", tmp_path / "to"
    assert new(zipped, "--to", to, "--output", toml)[0] == 0
    wrong = toml.read_text().replace("count = 2", "count = 3").replace("images = 4", "images = 5")
    toml.write_text(re.sub(r'bytes = \d+\nmd5 = "..', 'bytes = 7\nmd5 = "00', wrong, count=1))
    done = call("dataset", "check", str(toml), "--archives", str(to))
    assert done.returncode == 5
    said = done.stdout
    assert re.search(
        r"archive pets-train.tar: has \d+ bytes, the description says 7: write bytes = \d+", said
    )
    assert re.search(r'archive pets-train.tar: its MD5 is (\w+), .*: write md5 = "\1"', said)
    assert len(re.findall(r"tar holds 4 images, the description says 5: write images = 4", said)) == 2
    assert "[classes]: the archives have 2 classes, the description says 3: write count = 2" in said
    assert len(said.splitlines()) == 5
    toml.write_text(wrong.replace('"folders"', '"nested"'))
    (to / "pets-validation.tar").unlink()
    said = call("dataset", "check", str(toml), "--archives", str(to)).stdout
    assert "layout 'nested': archive" in said
    assert f"archive pets-validation.tar: is not in {to}: put it there, or correct file" in said


def test_check_finds_what_pack_would_refuse(tmp_path: Path) -> None:
    """Two images with one name, and empty images."""
    good = images("a", "b", each=4)
    write(tmp_path / "s.tar", good)
    toml = tmp_path / "s.toml"
    assert new(tmp_path / "s.tar", "--output", toml)[0] == 0
    odd = [("a/a-0.jpg", b"1"), ("x/b/b-0.jpg", b"1"), *((f"a/{number}.jpg", b"") for number in range(4))]
    (tmp_path / "s.tar").write_bytes(tar([file(*each) for each in [*good.items(), *odd]]))
    said = call("dataset", "check", str(toml), "--archives", str(tmp_path)).stdout
    where = "[splits.train]: s.tar: images that"
    assert f"{where} have the name of another: 2 (a/a-0.jpg, b/b-0.jpg): rename or remove them\n" in said
    assert f"{where} are empty: 4 (a/0.jpg, a/1.jpg, a/2.jpg, …): get them again, or remove them\n" in said


def test_check_goes_on_after_a_missing_archive(tmp_path: Path, zipped: Path) -> None:
    toml, to = tmp_path / "pets.toml", tmp_path / "to"
    assert new(zipped, "--to", to, "--output", toml)[0] == 0
    (to / "pets-train.tar").unlink()
    data = bytearray((to / "pets-validation.tar").read_bytes())
    data[600] ^= 1  # in a picture
    (to / "pets-validation.tar").write_bytes(data)
    said = call("dataset", "check", str(toml), "--archives", str(to)).stdout.splitlines()
    assert [line.split(":")[0] for line in said] == ["archive pets-train.tar", "archive pets-validation.tar"]
    assert "its MD5 is " in said[1]
