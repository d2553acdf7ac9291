"""Classes: their labels, their words, and the class of each image in a flat archive.

The label of a class is the rank of its wnid in sorted order, as in im2rec, torchvision and Keras. The devkit
has another number for each class, ILSVRC2012_ID. It is used only to find the wnid of an image by its ground
truth.
"""

import json
import lzma
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
    """The contents of a devkit: the words of each wnid, and the wnids of validation images 1, 2, 3 …"""

    words: Mapping[str, str]
    ground_truth: tuple[str, ...]

    def class_of(self, file_name: str) -> str:
        """The wnid of a validation image, found by the number at the end of its name.

        Raises:
            IntegrityError: the name has no number, or the ground truth has no such line.
        """
        match = TRAILING_NUMBER.search(file_name.rpartition(".")[0])
        number = int(match.group(1)) if match else 0
        if not 1 <= number <= len(self.ground_truth):
            raise IntegrityError(
                f"image {file_name}: its name must end in a number from 1 to {len(self.ground_truth)}, "
                "the lines of the devkit's ground truth: correct the archive, or devkit in the description"
            )
        return self.ground_truth[number - 1]


def read_devkit(path: Path) -> Devkit:
    """Read an ILSVRC devkit archive: `meta.mat` and `*_validation_ground_truth.txt`.

    Raises:
        IntegrityError: one of them is missing or differs in form from that in ILSVRC2012_devkit_t12.
    """
    import scipy.io  # slow to import, and needed only for data sets with a devkit

    # SciPy's reader trusts the numbers in the file: a spoilt one can raise nearly anything.
    no_mat = (scipy.io.matlab.MatReadError, NotImplementedError, NameError, MemoryError, zlib.error)

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
    except (tarfile.TarError, lzma.LZMAError, EOFError, LookupError, ValueError, TypeError, *no_mat) as error:
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
    """Return a function that returns, for a split, the function that finds an image's class by its file name.

    The devkit is read in the background, because SciPy takes long to load. The first call waits for it.
    """
    pool = ThreadPoolExecutor(1, "devkit")
    devkit_of = cache(pool.submit(_devkit, description, layout).result)
    pool.shutdown(wait=False)

    return lambda split: class_of_file(split, devkit_of())


def class_of_file(split: Split, devkit: Devkit | None) -> Callable[[str], str]:
    """The function that finds the class of an image of a split by its file name, in a flat archive."""
    return devkit.class_of if devkit and split.labels == "devkit" else _unreachable


def _unreachable(file_name: str) -> str:
    raise IntegrityError(
        f"image {file_name}: lies in no class folder, and the description has no devkit: name it in [classes]"
    )


def labels_of(classes: Iterable[str]) -> dict[str, int]:
    """The label of every class, which is its rank in sorted order."""
    return {name: label for label, name in enumerate(sorted(classes))}


def write_table(description: Description, layout: Layout, seen: Iterable[str]) -> dict[str, int]:
    """Write `classes.tsv` and return the labels.

    Raises:
        IntegrityError: as `class_table`.
    """
    labels, text = class_table(description, _devkit(description, layout), seen)
    write_whole(layout.classes, text)
    return labels


def class_table(
    description: Description, devkit: Devkit | None, seen: Iterable[str]
) -> tuple[dict[str, int], bytes]:
    """The label of each class, and the text of `classes.tsv`: lines of label, class and words.

    The classes are those of the devkit if there is one; otherwise they are those `seen` in the archives.

    Raises:
        IntegrityError: the description says another number, or a class in the archives is not in the devkit.
    """
    seen = set(seen)
    words = devkit.words if devkit else {name: name.replace("_", " ") for name in seen}
    unknown = sorted(seen - words.keys())
    if unknown:
        raise IntegrityError(
            f"class {unknown[0]}: is in the archives but not in the devkit: check the description"
        )
    if len(words) != description.classes:
        raise IntegrityError(
            f"classes: the description says {description.classes}, but there are {len(words)} in "
            f"{'the devkit' if devkit else 'the archives'}: correct [classes] count"
        )
    labels = labels_of(words)
    lines = [f"{label}\t{name}\t{words[name]}\n" for name, label in labels.items()]
    return labels, "".join(lines).encode()


def read_table(layout: Layout) -> list[tuple[str, str]]:
    """(class, words) in the order of their labels, from `classes.tsv`.

    Raises:
        IntegrityError: the file is missing, or its labels are not the ranks of its classes.
    """
    try:
        text = layout.classes.read_bytes()
    except OSError as error:
        raise IntegrityError(f"{layout.classes}: {error.strerror}: run pack") from error
    return parse_table(text, str(layout.classes))


def parse_table(text: bytes, where: str) -> list[tuple[str, str]]:
    """(class, words) in the order of their labels, from the text of `classes.tsv`.

    Raises:
        IntegrityError: its labels are not the ranks of its classes; the message begins with `where`.
    """
    rows = [line.split("\t") for line in text.decode("utf-8", "replace").splitlines()]
    if any(len(row) != 3 for row in rows) or [row[0] for row in rows] != [str(n) for n in range(len(rows))]:
        raise IntegrityError(f"{where}: its lines are not label, class and words in order: run pack again")
    table = [(row[1], row[2]) for row in rows]
    if table != sorted(table):
        raise IntegrityError(f"{where}: classes are not in sorted order: run pack again")
    return table


def write_devkit(layout: Layout, devkit: Devkit) -> None:
    """Keep the contents of a devkit, for a copy of the data set that comes without one."""
    write_json(layout.devkit, {"words": dict(devkit.words), "ground_truth": devkit.ground_truth})


def _devkit(description: Description, layout: Layout) -> Devkit | None:
    if description.devkit is None:
        return None
    archive = layout.archives / description.devkit.file
    if archive.exists() or not layout.devkit.exists():
        return read_devkit(archive)
    where = str(layout.devkit)
    try:
        kept = json.loads(layout.devkit.read_bytes())
        words = {plain_name(wnid, where): plain_text(text, where) for wnid, text in kept["words"].items()}
        return Devkit(words, tuple(plain_name(wnid, where) for wnid in kept["ground_truth"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(f"{where}: damaged ({error!r}): remove it and run adopt again") from error
