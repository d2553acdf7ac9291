"""Small data sets for tests, on disk: archives, descriptions and the folders that stages work in."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prep.datasets import description
from prep.job import Job
from prep.progress import Progress
from prep.state.checked import CheckedFiles, version_of
from prep.state.layout import Layout
from tests.prep import pictures
from tests.prep.tars import tar_of

Images = Mapping[str, Mapping[str, bytes]]
"""Class → file name → image file."""

BUCKET = "backup-bucket"
TINY: Mapping[str, Images] = {
    "train": {name: {f"{number}.jpg": pictures.jpeg(20, 20, number) for number in range(3)} for name in "ab"}
}


def write_folders(
    folder: Path, splits: Mapping[str, Images], *, classes: int | None = None, images: int | None = None
) -> Path:
    """Write a data set of class folders, an archive a split; returns the path of its description.

    `classes` and `images` are what the description claims, where that is not the truth.
    """
    archives = folder / "archives"
    archives.mkdir(parents=True)
    names = {name for of in splits.values() for name in of}
    text = f'name = "tiny"\ntitle = "Tiny"\n\n[classes]\ncount = {classes or len(names)}\n'
    for split, of in splits.items():
        files = {f"{name}/{file}": data for name, inside in of.items() for file, data in inside.items()}
        data = tar_of(files)
        (archives / f"{split}.tar").write_bytes(data)
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        text += (
            f'\n[[archives]]\nfile = "{split}.tar"\nurl = "https://example.invalid/{split}.tar"\n'
            f'bytes = {len(data)}\nmd5 = "{md5}"\n'
            f'\n[splits.{split}]\narchive = "{split}.tar"\nlayout = "folders"\nlabels = "path"\n'
            f"images = {images or len(files)}\n"
        )
    path = folder / "tiny.toml"
    path.write_text(text)
    return path


def place_archives(toml: Path, root: Path) -> None:
    """Put the archives beside a description where `download` would have put them."""
    (root / "archives").mkdir(parents=True, exist_ok=True)
    for path in (toml.parent / "archives").iterdir():
        os.link(path, root / "archives" / path.name)


def job(toml: Path, folder: Path, **options: Any) -> Job:
    """A job that works below `folder`, with the archives in place."""
    layout = Layout(folder / "root", folder / "packed")
    if not layout.archives.exists():
        place_archives(toml, layout.root)
    return Job(description.load(str(toml)), layout, Progress(shown=False), **options)


def note_checked(work: Job) -> None:
    """Have the archives known as checked, as after a download: a pass need not read them for their digest."""
    checked = CheckedFiles(work.layout.checked)
    for archive in work.description.archives:
        path = work.layout.archives / archive.file
        checked.note(path, archive.digest, version_of(path))


def pack(toml: Path, folder: Path, **options: Any) -> Job:
    """Pack the data set; returns the job."""
    work = job(toml, folder, **options)
    with work.locked():
        work.pack()
    return work


def packed_files(folder: Path) -> dict[str, str]:
    """SHA-256 of every packed file below `folder`, by name."""
    files = sorted(path for path in (folder / "packed").rglob("*") if path.is_file())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
