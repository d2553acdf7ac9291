"""What a training program does first: read a batch of the mounted data set with MXNet's ImageRecordIter.

Stands alone, as such a program would: `python first_batch.py MOUNT OUT_DIR [--images N] [--split train]`
writes OUT_DIR/batch.npz (images: uint8, RGB, N x 224 x 224 x 3; labels: int; words: str) and prints one line
of JSON.
"""

import argparse
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_SIDE: Final = 224  # what ImageNet models take
_SHORT_SIDE: Final = 256  # resized to this before the centre is cut out, as is usual in training


def read_words(mount: Path) -> dict[int, str]:
    """Each label's words, from classes.tsv."""
    rows = (line.split("\t") for line in (mount / "classes.tsv").read_text().splitlines())
    return {int(label): words for label, _, words in rows}


def read_batch(mount: Path, split: str, images: int) -> tuple[NDArray[np.uint8], list[int]]:
    """The first `images` images of a split as the iterator gives them, and their labels."""
    with warnings.catch_warnings():
        # MXNet 1.9.1 uses names that NumPy has deprecated since.
        warnings.simplefilter("ignore")
        from mxnet.io import ImageRecordIter  # type: ignore[import-untyped, unused-ignore]

    reader: Any = ImageRecordIter(
        path_imgrec=str(mount / f"{split}.rec"),
        path_imgidx=str(mount / f"{split}.idx"),
        data_shape=(3, _SIDE, _SIDE),
        batch_size=images,
        resize=_SHORT_SIDE,
        rand_crop=False,
        rand_mirror=False,
        shuffle=False,
        verbose=False,
    )
    batch = reader.next()
    pixels = batch.data[0].asnumpy().transpose(0, 2, 3, 1).astype(np.uint8)
    labels = [int(label) for label in batch.label[0].asnumpy()]
    return pixels, labels


def main() -> int:
    """Read the batch, write it, say what is in it."""
    parser = argparse.ArgumentParser(description="Read a first batch of a mounted data set.")
    parser.add_argument("mount", type=Path)
    parser.add_argument("out", type=Path, metavar="out_dir")
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--split", default="train")
    options = parser.parse_args()
    missing = [
        name
        for name in ("classes.tsv", f"{options.split}.rec", f"{options.split}.idx")
        if not (options.mount / name).is_file()
    ]
    if missing:
        print(f"read a batch from {options.mount}: {missing[0]} isn't there; is it mounted?", file=sys.stderr)
        return 1
    started = time.monotonic()
    try:
        pixels, labels = read_batch(options.mount, options.split, options.images)
    except RuntimeError as error:  # MXNet's own error is one; its text goes on with a C++ stack
        reason = str(error).strip().splitlines()[-1]
        print(f"read a batch from {options.mount}: MXNet: {reason}", file=sys.stderr)
        return 1
    seconds = round(time.monotonic() - started, 3)
    named = read_words(options.mount)
    words = [named.get(label, "not in classes.tsv") for label in labels]
    options.out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        options.out / "batch.npz", images=pixels, labels=np.array(labels), words=np.array(words)
    )
    print(json.dumps({"images": len(labels), "labels": labels, "words": words, "seconds": seconds}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
