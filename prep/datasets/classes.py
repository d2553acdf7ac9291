"""Classes: their order, which is their labels, their words, and which images of a flat archive are in them.

A label is the position of the class's wnid in sorted order, as im2rec, torchvision and Keras have it. The
devkit's own ILSVRC2012_ID is another number and leads only from an image's ground truth to its wnid.
"""

import json
import re
import tarfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

from prep.datasets.description import Description, Split
from prep.errors import IntegrityError
from prep.state.files import write_json, write_whole
from prep.state.layout import Layout
from prep.state.names import plain_name, plain_text

GROUND_TRUTH = re.compile(r"validation_ground_truth\.txt$")
META = re.compile(r"(^|/)meta\.mat$")
TRAILING_NUMBER = re.compile(r"(\d+)$")


@dataclass(frozen=True)
class Devkit:
    """What a devkit says: words by wnid, and the wnid of the n-th validation image, from 1."""

    words: Mapping[str, str]
    ground_truth: tuple[str, ...]

    def class_of(self, file_name: str) -> str:
        """The wnid of a validation image by the number at the end of its name.

        Raises:
            IntegrityError: the name has no number, or one without a ground truth.
        """
        match = TRAILING_NUMBER.search(file_name.rpartition(".")[0])
        number = int(match.group(1)) if match else 0
        if not 1 <= number <= len(self.ground_truth):
            raise IntegrityError(
                f"image {file_name}: its name must end in a number from 1 to {len(self.ground_truth)}, "
                "the lines of the devkit's ground truth"
            )
        return self.ground_truth[number - 1]


def read_devkit(path: Path) -> Devkit:
    """Read an ILSVRC devkit archive: `meta.mat` and `*_validation_ground_truth.txt`.

    Raises:
        IntegrityError: one of them is missing or not as in ILSVRC2012_devkit_t12.
    """
    import scipy.io  # heavy, and only data sets with a devkit need it

    no_mat = (scipy.io.matlab.MatReadError, NotImplementedError, TypeError, zlib.error)

    try:
        with tarfile.open(path) as tar:
            meta = scipy.io.loadmat(_member(tar, META), squeeze_me=True)["synsets"]
            truth = _member(tar, GROUND_TRUTH).read().decode().split()
        leaves = [row for row in meta if int(row["num_children"]) == 0]
        where = f"devkit {path}"
        words = {plain_name(str(row["WNID"]), where): plain_text(str(row["words"]), where) for row in leaves}
        wnids = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in leaves}
        return Devkit(words, tuple(wnids[int(number)] for number in truth))
    except OSError as error:
        raise IntegrityError(f"devkit {path}: {error.strerror or error}: download it again") from error
    except (tarfile.TarError, EOFError, KeyError, ValueError, IndexError, *no_mat) as error:
        raise IntegrityError(
            f"devkit {path}: not an ILSVRC devkit ({error!r}): check the description"
        ) from error


def _member(tar: tarfile.TarFile, pattern: re.Pattern[str]) -> IO[bytes]:
    for member in tar:
        if member.isfile() and pattern.search(member.name):
            file = tar.extractfile(member)
            if file is not None:
                return file
    raise KeyError(f"no member like {pattern.pattern}")


def class_finder(description: Description, layout: Layout) -> Callable[[Split], Callable[[str], str]]:
    """For each split, what tells the class of an image in a flat archive.

    The devkit is read beside whatever follows, as SciPy takes long to load; the first to ask waits for it.
    """
    pool = ThreadPoolExecutor(1, "devkit")
    devkit_of = cache(pool.submit(_devkit, description, layout).result)
    pool.shutdown(wait=False)

    def unreachable(file_name: str) -> str:
        raise IntegrityError(f"image {file_name}: lies in no class folder, and the description has no devkit")

    def of(split: Split) -> Callable[[str], str]:
        devkit = devkit_of()
        return devkit.class_of if devkit and split.labels == "devkit" else unreachable

    return of


def labels_of(classes: Iterable[str]) -> dict[str, int]:
    """Label of every class: its rank in sorted order."""
    return {name: label for label, name in enumerate(sorted(classes))}


def write_table(description: Description, layout: Layout, seen: Iterable[str]) -> dict[str, int]:
    """Write `classes.tsv` and return the labels.

    The classes are the devkit's where there is one, else those `seen` in the archives.

    Raises:
        IntegrityError: their number is not the description's, or some that were seen are not among them.
    """
    devkit = _devkit(description, layout)
    seen = set(seen)
    words = devkit.words if devkit else {name: name.replace("_", " ") for name in seen}
    unknown = sorted(seen - words.keys())
    if unknown:
        raise IntegrityError(
            f"class {unknown[0]}: is in the archives but not in the devkit: check the description"
        )
    if len(words) != description.classes:
        raise IntegrityError(
            f"classes: the description says {description.classes}, "
            f"{'the devkit' if devkit else 'the archives'} has {len(words)}: mend [classes] count"
        )
    labels = labels_of(words)
    lines = [f"{label}\t{name}\t{words[name]}\n" for name, label in labels.items()]
    write_whole(layout.classes, "".join(lines).encode())
    return labels


def read_table(layout: Layout) -> list[tuple[str, str]]:
    """(class, words) in the order of their labels, from `classes.tsv`.

    Raises:
        IntegrityError: the file is missing, or its labels are not the ranks of its classes.
    """
    try:
        rows = [line.split("\t") for line in layout.classes.read_text().splitlines()]
    except OSError as error:
        raise IntegrityError(f"{layout.classes}: {error.strerror}: run pack") from error
    if any(len(row) != 3 for row in rows) or [row[0] for row in rows] != [str(n) for n in range(len(rows))]:
        raise IntegrityError(f"{layout.classes}: not label, class and words in order: run pack again")
    table = [(row[1], row[2]) for row in rows]
    if table != sorted(table):
        raise IntegrityError(f"{layout.classes}: classes are not in sorted order: run pack again")
    return table


def write_devkit(layout: Layout, devkit: Devkit) -> None:
    """Keep what a devkit would say, for a copy of the data set that comes without one."""
    write_json(layout.devkit, {"words": dict(devkit.words), "ground_truth": devkit.ground_truth})


def _devkit(description: Description, layout: Layout) -> Devkit | None:
    if description.devkit is None:
        return None
    archive = layout.archives / description.devkit.file
    if archive.exists() or not layout.devkit.exists():
        return read_devkit(archive)
    kept = json.loads(layout.devkit.read_text())
    return Devkit(kept["words"], tuple(kept["ground_truth"]))
