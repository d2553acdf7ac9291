"""Archives as users have them, made in the test."""

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from tests.prep import pictures
from tests.prep.tars import tar_of

Files = Mapping[str, bytes]
COMPRESSIONS: dict[str, Literal["w:gz", "w:xz", "w:bz2"]] = {
    ".gz": "w:gz", ".tgz": "w:gz", ".xz": "w:xz", ".bz2": "w:bz2",
}  # fmt: skip


def images(*folders: str, each: int = 2) -> dict[str, bytes]:
    """Some images in each folder; each has a name of its own."""
    return {
        f"{folder}/{folder.replace('/', '-')}-{number}.jpg".lstrip("/"): pictures.jpeg(24, 20, number)
        for folder in folders
        for number in range(each)
    }


def write(path: Path, files: Files) -> Path:
    """An archive of the kind that its name says, or a folder."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
    elif kind := COMPRESSIONS.get(path.suffix):
        with tarfile.open(path, kind) as tar:
            for name, data in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    elif path.suffix == ".tar":
        path.write_bytes(tar_of(files))
    else:
        for name, data in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)
    return path
