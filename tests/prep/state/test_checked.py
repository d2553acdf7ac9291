"""The record of files that were found whole."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from prep.state.checked import CheckedFiles, version_of


def test_files_noted_at_the_same_time_are_all_known(tmp_path: Path) -> None:
    """By downloads and a pass, each with an object of its own: a file that is lost is read whole again."""
    files = [tmp_path / f"{number}.tar" for number in range(20)]
    for path in files:
        path.write_bytes(path.name.encode())
    record = tmp_path / "checked.json"
    noted = [CheckedFiles(record) for _ in files]
    with ThreadPoolExecutor(4) as pool:
        versions = map(version_of, files)
        list(pool.map(CheckedFiles.note, noted, files, ["d"] * len(files), versions))
    assert all(CheckedFiles(record).knows(path, "d") for path in files)


def test_another_version_or_digest_is_not_known(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(b"a")
    checked = CheckedFiles(tmp_path / "checked.json")
    assert not checked.knows(path, "d")
    checked.note(path, "d", version_of(path), [1, "etag"])
    assert checked.knows(path, "d")
    assert not checked.knows(path, "e")
    assert checked.fetched_version(path) == [1, "etag"]
    path.write_bytes(b"ab")
    assert not checked.knows(path, "d")
