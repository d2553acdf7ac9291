"""Fidelity at 256 and quality 90: what goes into the JPEG encoder, ours and im2rec.py's, against the truth.

The truth is a full decode by Pillow (libjpeg-turbo, accurate DCT) and the exact average over each target
pixel's area, in floating point. That is what an antialiased reduction by a box is, with no rounding and no
approximation of the filter, and it is worked out here from its definition, so that it shares nothing with
either side. (Any sharper filter would be a matter of taste.)

Compared is what the encoder codes: Y, Cb and Cr, the latter two at half size, as both sides write 4:2:0. Ours
makes these planes itself. im2rec.py's pixels are its own, its function being run with PNG for encoding, and
are turned into planes here, unrounded, which is in its favour; so is the truth. The table has also the PSNR
of R, G and B before encoding, where only ours has lost chroma already, and after it.
Images that need no shrinking are left out: ours are then the archive's bytes.
"""

import os
import queue
import warnings
from argparse import Namespace
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from io import BytesIO
from pathlib import Path
from statistics import fmean
from types import ModuleType
from typing import Any

import cv2
import numpy as np
from PIL import Image

from bench.measures.pack import PLAN
from bench.report import BenchError, Figure, Result, Table
from bench.rigs import peer
from bench.rigs.reference import Floats, Pixels, area_average, encoder_planes, psnr, rgb_of
from bench.workloads import photographs
from bench.workloads.workload import Given
from prep.images.prepare import Target, prepare
from prep.images.resize import fit
from prep.images.yuv import Frame, encode, shrunk

TARGET = Target(256, 90)
MEAN_DB, CLASS_DB = 40.0, 36.0
# Size classes by how many times the target the short side is: DCT scaling begins to apply at 2, 4 and 8.
CLASSES = (
    (1.25, "up to 1.25 times"),
    (1.5, "1.25 to 1.5 times"),
    (2.0, "1.5 to 2 times"),
    (4.0, "2 to 4 times"),
    (float("inf"), "4 times and more"),
)


@dataclass(frozen=True)
class Side:
    """One image by one side: PSNR in dB of the encoder's planes, of RGB before and after, bytes encoded."""

    planes: float
    before: float
    after: float
    size: int


@dataclass(frozen=True)
class Compared:
    """One image by both."""

    size_class: str
    ours: Side
    peers: Side


def measure(given: Given) -> Result:
    """Every image that has to be shrunk."""
    data = photographs.workload(given, "photographs", PLAN)
    folders = data.folders()
    script = _im2rec()
    cv2.setNumThreads(1)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        paths = [folders / name for _, name in data.listing()]
        compared = [one for one in pool.map(lambda path: _compare(path, script), paths) if one]
    if not compared:
        raise BenchError(f"fidelity: no image is larger than {TARGET.resize}: give some that are")
    return _result(data.text, compared)


def _result(text: str, compared: Sequence[Compared]) -> Result:
    by_class: dict[str, list[Compared]] = defaultdict(list)
    for one in compared:
        by_class[one.size_class].append(one)
    present = [name for _, name in CLASSES if name in by_class]
    ours = {name: fmean(one.ours.planes for one in by_class[name]) for name in present}
    above = {name: ours[name] - fmean(one.peers.planes for one in by_class[name]) for name in present}
    worst, closest = min(present, key=ours.__getitem__), min(present, key=above.__getitem__)
    to_peer = sum(one.ours.size for one in compared) / sum(one.peers.size for one in compared)
    figures = (
        Figure("PSNR, mean", fmean(one.ours.planes for one in compared), "dB", MEAN_DB),
        Figure("PSNR, worst size class", ours[worst], "dB", CLASS_DB, note=worst),
        Figure("PSNR above im2rec.py's, least of the classes", above[closest], "dB", 0.0, note=closest),
        Figure("bytes of shrunk images", to_peer, "times im2rec.py's", 1.0, "most"),
    )
    rows = [
        (
            name,
            side,
            str(len(by_class[name])),
            *_means([one.ours if side == "prep" else one.peers for one in by_class[name]]),
        )
        for name in present
        for side in ("prep", "im2rec.py")
    ]
    header = (
        "short side to target",
        "side",
        "images",
        "planes, dB",
        "least",
        "RGB before, dB",
        "RGB after, dB",
        "KB",
    )
    text += f"; {len(compared):,} of them shrunk to {TARGET.resize} at quality {TARGET.quality}"
    return Result(
        "fidelity", text, figures, tables=(Table("Against an exact area average", header, tuple(rows)),)
    )


def _means(sides: Sequence[Side]) -> tuple[str, ...]:
    return (
        f"{fmean(side.planes for side in sides):.1f}",
        f"{min(side.planes for side in sides):.1f}",
        f"{fmean(side.before for side in sides):.1f}",
        f"{fmean(side.after for side in sides):.1f}",
        f"{fmean(side.size for side in sides) / 1000:.1f}",
    )


def _im2rec() -> ModuleType:
    """The peer's script as a module; it runs nothing when it is imported."""
    path = peer.script()
    spec = spec_from_file_location("im2rec", path)
    if spec is None or spec.loader is None:
        raise BenchError(f"{path}: can't be loaded")
    module = module_from_spec(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mxnet's, of old NumPy names
        spec.loader.exec_module(module)
    return module


def _compare(path: Path, script: ModuleType) -> Compared | None:
    """One image, or None if it needs no shrinking or is no ordinary colour JPEG."""
    data = path.read_bytes()
    with Image.open(BytesIO(data)) as picture:
        if picture.format != "JPEG" or picture.mode != "RGB" or picture.getexif().get(0x0112, 1) != 1:
            return None
        short = min(picture.size)
        if short <= TARGET.resize:
            return None
        full = np.asarray(picture)
    size_class = next(name for limit, name in CLASSES if short / TARGET.resize < limit)
    view = memoryview(data)
    fed, ours = _fed(view, (full.shape[1], full.shape[0])), prepare(view, TARGET).jpeg
    if encode(fed, TARGET.quality) != ours:
        raise BenchError(
            f"{path}: prep no longer encodes what is measured here: correct bench/measures/fidelity.py"
        )
    pixels = _decoded(_peers(script, path, ".png", 1))
    return Compared(
        size_class,
        _side(fed.planes, rgb_of(fed.planes), ours, full),
        _side(encoder_planes(pixels), pixels, _peers(script, path, ".jpg", TARGET.quality), full),
    )


def _fed(data: memoryview, size: tuple[int, int]) -> Frame:
    """What prep gives its encoder."""
    return shrunk(data, fit(*size, TARGET.resize))


def _side(planes: Sequence[Pixels | Floats], pixels: Pixels | Floats, jpeg: bytes, full: Pixels) -> Side:
    """`full` is the whole picture; the others are what was made of it."""
    truth = area_average(full, pixels.shape[1], pixels.shape[0])
    return Side(
        psnr(planes, encoder_planes(truth)),
        psnr([pixels], [truth]),
        psnr([_decoded(jpeg)], [truth]),
        len(jpeg),
    )


def _peers(script: ModuleType, path: Path, encoding: str, quality: int) -> bytes:
    """What im2rec.py packs of an image, without its record's header."""
    arguments = Namespace(
        root=str(path.parent),
        pack_label=False,
        pass_through=False,
        color=1,
        center_crop=False,
        resize=TARGET.resize,
        quality=quality,
        encoding=encoding,
    )
    packed: queue.Queue[tuple[int, bytes | None, Any]] = queue.Queue()
    script.image_encode(arguments, 0, [0, path.name, 0.0], packed)
    _, record, _ = packed.get_nowait()
    if record is None:
        raise BenchError(f"{path}: im2rec.py can't read it: give images that it can")
    return bytes(script.mx.recordio.unpack(record)[1])


def _decoded(data: bytes) -> Pixels:
    with Image.open(BytesIO(data)) as picture:
        return np.asarray(picture.convert("RGB"))
