"""The sample's development kit: meta.mat and the validation ground truth, as ILSVRC2012's devkit has them."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat  # type: ignore[import-untyped, unused-ignore]

FOLDER: Final = "ILSVRC2012_devkit_t12"
_FIELDS: Final = ("ILSVRC2012_ID", "WNID", "words", "gloss", "num_children", "children", "wordnet_height",
                  "num_train_images")  # fmt: skip
# A MAT-file starts with 116 bytes of text, where scipy puts the time of writing.
_HEADER: Final = b"MATLAB 5.0 MAT-file, a sample in the form of ILSVRC2012's".ljust(116)


@dataclass(frozen=True)
class Synset:
    """A class: its WordNet id, its words, what it means, and its number in the devkit (not its label)."""

    wnid: str
    words: str
    gloss: str
    ilsvrc_id: int


def meta_mat(synsets: Sequence[Synset], images_per_class: int) -> bytes:
    """meta.mat: the classes by their ILSVRC2012_ID, then their ancestors, which have children."""
    ordered = sorted(synsets, key=lambda synset: synset.ilsvrc_id)
    ids = [synset.ilsvrc_id for synset in ordered]
    half = (len(ids) + 1) // 2
    groups = [group for group in (ids[:half], ids[half:]) if group]
    ancestors = len(ids) + 1
    rows: list[tuple[int, str, str, str, Sequence[int], int, int]] = [
        (synset.ilsvrc_id, synset.wnid, synset.words, synset.gloss, (), 0, images_per_class)
        for synset in ordered
    ]
    parents = list(range(ancestors + 1, ancestors + 1 + len(groups)))
    rows.append((ancestors, "n00001740", "entity", "that which exists", parents, 2, 0))
    for parent, group in zip(parents, groups, strict=True):
        rows.append((parent, f"n0000{parent:04d}", f"group {parent}", "some of the classes", group, 1, 0))
    table: NDArray[Any] = np.zeros((len(rows), 1), dtype=[(field, object) for field in _FIELDS])
    for place, (number, wnid, words, gloss, children, height, images) in enumerate(rows):
        below = np.atleast_2d(np.asarray(children, dtype=np.uint16))
        counts = np.uint16(below.size), below, np.uint8(height), np.uint16(images)
        table[place, 0] = (np.uint16(number), wnid, words, gloss, *counts)
    file = io.BytesIO()
    savemat(file, {"synsets": table})
    return _HEADER + file.getvalue()[len(_HEADER) :]


def ground_truth(ilsvrc_ids: Sequence[int]) -> bytes:
    """The class of each validation image, in the order of their names."""
    return "".join(f"{number}\n" for number in ilsvrc_ids).encode()
