"""Kaggle's copy of ImageNet, unpacked on a disk: its images are files already, so they are linked.

As the "ImageNet Object Localization Challenge" has it: `ILSVRC/Data/CLS-LOC/train/<wnid>/*.JPEG` and
`val/*.JPEG`, `LOC_synset_mapping.txt` ("n01440764 tench, Tinca tinca") for the words, and
`LOC_val_solution.csv` ("ILSVRC2012_val_00000001,n01751748 111 108 …") for the validation images' classes.
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
    """Link the copy's images into class folders, as organize would make them; what is linked already stays.

    Raises:
        DescriptionError: the folder is no such copy, or on another file system than `root`.
        IntegrityError: its lists are damaged, or a validation image is in none.
    """
    begun = time.monotonic()
    devkit = _read_lists(copy)
    train = sorted(path for path in (copy / DATA / "train").glob("*/*") if path.is_file())
    validation = sorted((copy / DATA / "val").glob("*"))
    if not train or not validation:
        raise DescriptionError(
            f"{copy / DATA}: has no train/<wnid>/ and val/ with images: give Kaggle's top folder"
        )
    task = "link images"
    progress.add(task, len(train) + len(validation))
    with disk_errors(layout.root):
        for path in train:
            _link(path, layout.images("train") / path.parent.name / path.name)
            progress.advance(task, 1)
        for path in validation:
            _link(path, layout.images("validation") / devkit.class_of(path.name) / path.name)
            progress.advance(task, 1)
        sync_file_system(layout.root)
        write_devkit(layout, devkit)
    counts = {"train": len(train), "validation": len(validation)}
    return Receipt("adopt", {}, {"copy": str(copy)}, {}, counts, round(time.monotonic() - begun, 1))


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
                (row["ImageId"], plain_name(row["PredictionString"].split()[0], f"{copy}/{file.name}"))
                for row in csv.DictReader(file)
            )
    except OSError as error:
        raise DescriptionError(f"{error.filename}: {error.strerror}: give Kaggle's top folder") from error
    except (ValueError, KeyError, IndexError) as error:
        raise IntegrityError(
            f"{copy}: LOC_synset_mapping.txt or LOC_val_solution.csv is damaged: {error!r}"
        ) from error
    return Devkit(words, tuple(wnid for _, wnid in rows))


def _link(path: Path, name: Path) -> None:
    name.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, name)
    except FileExistsError:
        if not name.samefile(path):
            raise IntegrityError(f"{name}: another file is there: move it away") from None
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        raise DescriptionError(
            f"{path}: is on another disk than {name.parent}: give a --root on its disk"
        ) from error
