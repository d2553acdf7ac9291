"""Whole files, journals that survive a kill, and a file over memory."""

import errno
import io
import json
import os
from pathlib import Path

import pytest

from prep.errors import SpaceError
from prep.state.files import MOST_PIECES, append, disk_errors, sha256_of, write_json, write_whole
from prep.state.journal import Journal, parse_line
from prep.state.memory_file import MemoryFile
from tests.prep.commands import journal_lines


def reopened(path: Path, settings: dict[str, object] | None = None) -> Journal:
    return Journal(path, {"a": 1} if settings is None else settings)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal with three entries."""
    path = tmp_path / "below" / "a.jsonl"
    journal = reopened(path)
    assert journal.fresh
    for number in range(3):
        journal.append({"number": number, "text": "é\n"})
    return path


def numbers(journal: Journal) -> list[int]:
    return [entry["number"] for entry in journal.entries]


def test_journal_keeps(path: Path) -> None:
    journal = reopened(path)
    assert (numbers(journal), journal.fresh) == ([0, 1, 2], False)
    journal.append({"number": 3})
    assert numbers(journal) == [0, 1, 2, 3]
    assert numbers(reopened(path)) == [0, 1, 2, 3]


def test_entry_is_on_disk_when_append_returns(path: Path) -> None:
    journal = reopened(path)
    journal.append({"number": 3})
    assert [json.loads(line) for line in journal_lines(path)[1:]] == journal.entries


def test_an_entry_changes_no_size(path: Path) -> None:
    """So that its flush is one write; where the space that was written ahead ends, more is written ahead."""
    journal = reopened(path)
    size = path.stat().st_size
    for number in range(3, 100):
        journal.append({"number": number})
    assert path.stat().st_size == size
    journal.append({"number": 100, "text": "x" * size})
    assert path.stat().st_size > 2 * size
    journal.append({"number": 101})
    assert numbers(reopened(path)) == list(range(102))


def test_torn_last_line_at_every_byte(path: Path) -> None:
    whole = "".join(journal_lines(path)).encode()
    ends = [place for place, byte in enumerate(whole, 1) if byte == 0x0A]
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        journal = reopened(path)
        assert numbers(journal) == list(range(max(0, sum(end <= length for end in ends) - 1)))
        assert journal.fresh == (length < ends[0])
        journal.append({"number": 9})
        again = reopened(path)
        assert numbers(again)[-1] == 9
        assert not again.fresh


def test_what_follows_a_damaged_line_is_dropped(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1] + b"\0\0\0\n" + lines[3])
    assert numbers(reopened(path)) == [0]


@pytest.mark.parametrize("settings", [{}, {"a": 2}, {"a": 1, "b": 1}])
def test_other_settings_begin_anew(path: Path, settings: dict[str, object]) -> None:
    journal = reopened(path, settings)
    assert (journal.fresh, journal.entries) == (True, [])
    assert not reopened(path, settings).fresh


def test_settings_are_compared_as_json(tmp_path: Path) -> None:
    """A tuple comes back from the file as a list: no other setting."""
    reopened(tmp_path / "a", {"size": (1, 2)})
    assert not reopened(tmp_path / "a", {"size": (1, 2)}).fresh


@pytest.mark.parametrize("line", [b"", b"\n", b"{}", b'{"a": 1', b"[1]\n", b"3\n", b"\xff\n", b'{"a"}\n'])
def test_parse_line(line: bytes) -> None:
    assert parse_line(line) is None


def test_write_whole(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.json"
    write_json(path, {"é": [1]})
    assert path.read_text() == '{\n  "é": [\n    1\n  ]\n}\n'
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


def test_write_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk is full the old file is still there, whole."""
    path = tmp_path / "a"
    write_whole(path, b"old")

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SpaceError, match="disk is full"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"


def test_disk_errors(tmp_path: Path) -> None:
    for number in (errno.ENOSPC, errno.EDQUOT):
        with pytest.raises(SpaceError, match=f"{tmp_path}: the disk is full"), disk_errors(tmp_path):
            raise OSError(number, "full")
    with pytest.raises(PermissionError), disk_errors(tmp_path):
        raise PermissionError(errno.EACCES, "no")


def test_full_disk_for_real() -> None:
    with (
        pytest.raises(SpaceError),
        disk_errors(Path("/dev")),
        Path("/dev/full").open("wb", buffering=0) as file,
    ):
        file.write(b"x")


def test_sha256_of(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abcdef")
    digest = sha256_of(path, 3)
    # The example of FIPS 180-2.
    assert digest.hexdigest() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    digest.update(b"def")
    assert digest.hexdigest() == sha256_of(path).hexdigest()


def test_memory_file() -> None:
    data = bytes(range(100))
    ours, theirs = MemoryFile(memoryview(data)), io.BytesIO(data)
    for offset, whence in ((0, 0), (10, 0), (5, 1), (-3, 2), (0, 2), (200, 0), (-1, 1)):
        assert ours.seek(offset, whence) == theirs.seek(offset, whence)
        for size in (0, 7, 1000, -1, None):
            assert ours.read(size) == theirs.read(size)
            assert ours.tell() == theirs.tell()
    assert ours.readable()
    assert ours.seekable()
    ours.seek(0)
    assert b"".join(iter(lambda: ours.read(7), b"")) == data


@pytest.mark.parametrize("most", [None, 1, 1000])
def test_append(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int | None) -> None:
    """More pieces than one call takes, and calls that write less than they were given."""
    pieces = [bytes([number % 251]) * (number % 7) for number in range(MOST_PIECES * 2 + 3)]
    if most:
        writev = os.writev
        monkeypatch.setattr(os, "writev", lambda file, some: writev(file, [b"".join(some)[:most]]))
    with (tmp_path / "a").open("ab", buffering=0) as file:
        append(file, pieces[:10])
        append(file, [memoryview(piece) for piece in pieces[10:]])
    assert (tmp_path / "a").read_bytes() == b"".join(pieces)
