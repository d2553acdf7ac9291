"""Adopt: Kaggle's copy of ImageNet, unpacked on a disk. Its images are files already, so they are linked.

The copy is that of the "ImageNet Object Localization Challenge". It contains the images in
`ILSVRC/Data/CLS-LOC/train/<wnid>/*.JPEG` and `ILSVRC/Data/CLS-LOC/val/*.JPEG`, the words of the classes in
`LOC_synset_mapping.txt` ("n01440764 tench, Tinca tinca"), and the classes of the validation images in
`LOC_val_solution.csv` ("ILSVRC2012_val_00000001,n01751748 111 108 …").
"""

import csv
import errno
import os
import time
from pathlib import Path

from prep.datasets.classes import Devkit, write_devkit
from prep.errors import DescriptionError, IntegrityError
from prep.progress import Progress
from prep.state.files import disk_errors, sync_file_system
from prep.state.layout import Layout
from prep.state.names import plain_name, plain_text
from prep.state.receipts import Receipt

DATA = Path("ILSVRC/Data/CLS-LOC")


def adopt(copy: Path, layout: Layout, progress: Progress) -> Receipt:
    """Link the copy's images into the class folders that organize would write; existing links are kept.

    Raises:
        DescriptionError: the folder does not hold such a copy, or is on another file system than `root`.
        IntegrityError: its lists are damaged, or do not contain a validation image.
    """
    begun = time.monotonic()
    devkit = _read_lists(copy)
    train = sorted(path for path in (copy / DATA / "train").glob("*/*") if path.is_file())
    validation = sorted((copy / DATA / "val").glob("*"))
    if not train or not validation:
        raise DescriptionError(
            f"{copy / DATA}: there are no images in train/<wnid>/ and val/: give Kaggle's top folder"
        )
    links = [(path, layout.images("train") / _named(path.parent) / _named(path)) for path in train]
    links += [
        (path, layout.images("validation") / devkit.class_of(path.name) / _named(path)) for path in validation
    ]
    task = "link images"
    progress.add(task, len(links))
    with disk_errors(layout.root):
        for path, name in links:
            _link(path, name)
            progress.advance(task, 1)
        sync_file_system(layout.root)
        write_devkit(layout, devkit)
    counts = {"train": len(train), "validation": len(validation)}
    return Receipt("adopt", {}, {"copy": str(copy)}, {}, counts, round(time.monotonic() - begun, 1))


def _named(path: Path) -> str:
    """The name of a file or a class folder of the copy; one that is a link would lead out of the copy."""
    if path.is_symlink():
        raise IntegrityError(f"{path}: is a link: put what it leads to in its place")
    return plain_name(path.name, str(path.parent))


def _read_lists(copy: Path) -> Devkit:
    try:
        lines = (copy / "LOC_synset_mapping.txt").read_text().splitlines()
        where = f"{copy}/LOC_synset_mapping.txt"
        words = {
            plain_name(wnid, where): plain_text(text, where)
            for wnid, text in (line.split(" ", 1) for line in lines)
        }
        with (copy / "LOC_val_solution.csv").open(newline="") as file:
            rows = sorted(
                (row["ImageId"], plain_name(row["PredictionString"].split()[0], file.name))
                for row in csv.DictReader(file)
            )
    except OSError as error:
        raise DescriptionError(f"{error.filename}: {error.strerror}: give Kaggle's top folder") from error
    except (ValueError, LookupError, AttributeError, csv.Error) as error:
        raise IntegrityError(
            f"{copy}: LOC_synset_mapping.txt or LOC_val_solution.csv is damaged ({error!r}): unpack the copy "
            "again"
        ) from error
    return Devkit(words, tuple(wnid for _, wnid in rows))


def _link(path: Path, name: Path) -> None:
    name.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, name)
    except FileExistsError:
        if not name.samefile(path):
            raise IntegrityError(f"{name}: another file has this name: move it away") from None
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        raise DescriptionError(
            f"{path}: is on another disk than {name.parent}: give a --root on the disk of the copy"
        ) from error
