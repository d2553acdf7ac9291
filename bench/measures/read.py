"""What a trainer gets: our reader beside MXNet's, NVIDIA DALI's and a plain folder read by PyTorch.

The same images for all: two sets, photographs of ImageNet's sizes and small pictures of 64 by 64, packed by
prep; the folder holds the bytes of their records as files. The same task for all, which
bench/rigs/readers/task.py states: one epoch, shuffled; whole decoding to RGB, a random part resized to a
square; batches of unsigned bytes that one process gets. One reader decodes less, and says so.

Cold, the files are on a volume held to gp3's 3,000 requests and 125 MiB a second, and no page of them is in
memory. Warm, all are in memory. Each reader runs in turn, several rounds, of which the first does not count.
A worker is what the reader calls so: a process of ours and of PyTorch's, a thread of MXNet's and DALI's.
"""

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.report import Figure, Result, Table
from bench.rigs import ours, pythons
from bench.rigs.disks import GP3, MIB, Disk, check, clear, disk, drop_caches
from bench.rigs.process import run
from bench.workloads import photographs, thumbnails
from bench.workloads.photographs import Plan
from bench.workloads.workload import SCRATCH, Given, Workload, made, scratch, workload
from prep import Records

OURS, FOLDER = "prep's Batches", "image folder"
DALI, DALI_CROP, MXNET = "DALI", "DALI, crop only", "ImageRecordIter"
BYTES = ", bytes only"
STATES = ("cold", "warm")
WORKERS = (1, 2)


@dataclass(frozen=True)
class Set:
    """A set of images: the side of the square that training takes, and images a batch."""

    name: str
    side: int
    batch: int
    make: Callable[[Given], Workload]


PHOTOGRAPHS = Set(
    "photographs", 224, 128,
    lambda given: photographs.workload(given, "photographs-read", Plan(20, 80, 20)),
)  # fmt: skip
SMALL = Set(
    "small pictures", 56, 512,
    lambda _: workload(
        Given(), "thumbnails", lambda folder: thumbnails.write(folder, "thumbnails", Plan(20, 600, 0))
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Reader:
    """A reader: the module that runs it, the Python that has it, and what it reads."""

    module: str
    python: Path
    folder: bool
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ran:
    """An epoch: images, seconds of the whole process, and seconds without its start and imports."""

    images: int
    seconds: float
    inner: float


@dataclass(frozen=True)
class Rate:
    """Images a second: the median of some rounds, least and most; `inner` is without the start."""

    images: int
    whole: float
    inner: float
    least: float
    most: float


Key = tuple[str, str, int]
"""State, reader, workers."""


def measure(given: Given, rounds: int) -> Result:
    """Both sets, or the user's own; each reader runs `rounds` times after one that does not count."""
    check()
    readers = _readers()
    figures: list[Figure] = []
    tables: list[Table] = []
    texts = []
    clear(SCRATCH / "read")
    for which in (PHOTOGRAPHS,) if given.images or given.archives else (SMALL, PHOTOGRAPHS):
        data = which.make(given)
        packed, folder = _packed(data)
        with _volume(packed, folder) as volume:
            rates = _race(which, readers, volume, rounds)
        figures += _figures(which, rates)
        tables.append(_table(which, rates, packed, folder))
        texts.append(data.text)
    return Result(
        "read", "; ".join(texts), tuple(figures), {"rounds": rounds, "notes": _notes()}, tuple(tables)
    )


def _readers() -> dict[str, Reader]:
    here, dali, torch = Path(sys.executable), pythons.with_dali(), pythons.with_torch()
    return {
        OURS: Reader("ours", here, False),
        MXNET: Reader("mxnet_iter", here, False),
        DALI: Reader("dali", dali, False),
        DALI_CROP: Reader("dali", dali, False, ("--crop-only",)),
        FOLDER: Reader("folder", torch, True),
        OURS + BYTES: Reader("ours", here, False, ("--raw",)),
        FOLDER + BYTES: Reader("folder", torch, True, ("--raw",)),
    }


def _packed(data: Workload) -> tuple[Path, Path]:
    """The set as prep packs it, and a folder of class folders with the bytes of its records."""

    def make(folder: Path) -> None:
        place = ours.beside(folder, data.archives, data.description)
        ours.prep(place, "pack")
        for image, _, name in Records(place.packed, "train"):
            path = folder / "folder" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(image)

    whole = made(data.archives.parent / "to-read", make)
    return whole / "packed", whole / "folder"


@contextlib.contextmanager
def _volume(packed: Path, folder: Path) -> Iterator[Disk]:
    """A volume with both on it."""
    place = scratch("read")
    held = sum(path.stat().st_size for path in packed.iterdir())
    files = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    size = 2 * (held + sum(files) + 4096 * len(files)) + 128 * MIB
    with disk(place, "volume", GP3, size) as volume:
        shutil.copytree(packed, volume.mount / "packed")
        shutil.copytree(folder, volume.mount / "folder")
        yield volume
    shutil.rmtree(place, ignore_errors=True)


def _race(which: Set, readers: dict[str, Reader], volume: Disk, rounds: int) -> dict[Key, Rate]:
    """Run the readers in turn, cold and warm, at each number of workers."""
    found: dict[Key, list[Ran]] = defaultdict(list)
    for _ in range(rounds + 1):
        for name, reader in readers.items():
            for workers in WORKERS:
                read = partial(_run, which, reader, volume.mount, workers)
                drop_caches([volume])
                with volume.held():
                    found["cold", name, workers].append(read())
                if not name.endswith(BYTES):
                    _warm(volume.mount / ("folder" if reader.folder else "packed"))
                    found["warm", name, workers].append(read())
    return {key: _rate(runs[1:]) for key, runs in found.items()}


def _run(which: Set, reader: Reader, mount: Path, workers: int) -> Ran:
    """One epoch by a process of its own."""
    data = mount / "folder" if reader.folder else mount / "packed" / "train.rec"
    numbers = ("--workers", str(workers), "--size", str(which.side), "--batch", str(which.batch))
    command: list[str | Path] = [
        reader.python,
        "-m",
        f"bench.rigs.readers.{reader.module}",
        data,
        *numbers,
        *reader.options,
    ]
    log = SCRATCH / "read" / "readers.log"
    done = run(command, log, environment={"PYTHONWARNINGS": "ignore"})
    told = json.loads(done.output.splitlines()[-1])
    return Ran(told["images"], done.seconds, told["seconds"])


def _warm(folder: Path) -> None:
    """Have all files in memory."""
    subprocess.run(["grep", "-rqF", "not in any image, as it is text", folder], check=False)  # noqa: S603, S607
    os.sync()


def _rate(runs: Sequence[Ran]) -> Rate:
    whole = [run.images / run.seconds for run in runs]
    return Rate(
        runs[-1].images,
        statistics.median(whole),
        statistics.median(run.images / run.inner for run in runs),
        min(whole),
        max(whole),
    )


def _figures(which: Set, rates: dict[Key, Rate]) -> list[Figure]:
    """The ratios, without the start of each process: on ImageNet an epoch is not over in seconds."""
    figures = []
    for state in STATES:
        for workers in WORKERS:
            title = f"read {which.name}, {state}, {workers} worker{'' if workers == 1 else 's'}"
            mine, folder = rates[state, OURS, workers], rates[state, FOLDER, workers]
            others = {name: rates[state, name, workers] for name in (DALI, DALI_CROP, MXNET, FOLDER)}
            best = max(others, key=lambda name: others[name].inner)
            note = f"{mine.inner:,.0f} against {folder.inner:,.0f} images/s"
            least = 5.0 if which is SMALL and state == "cold" else 1.0
            figures += [
                Figure(title, mine.inner / folder.inner, "times the folder", least, note=note),
                Figure(f"{title}, with process start", mine.whole / folder.whole, "times the folder"),
                Figure(
                    title,
                    mine.inner / others[best].inner,
                    "times the fastest other",
                    1.0,
                    note=f"{best}: {others[best].inner:,.0f} images/s",
                ),
            ]
    for workers in WORKERS:
        mine, folder = (rates["cold", name + BYTES, workers] for name in (OURS, FOLDER))
        title = f"read {which.name}, cold, bytes only, {workers} worker{'' if workers == 1 else 's'}"
        note = f"{mine.inner:,.0f} against {folder.inner:,.0f} images/s"
        figures.append(Figure(title, mine.inner / folder.inner, "times the folder", note=note))
    return figures


def _table(which: Set, rates: dict[Key, Rate], packed: Path, folder: Path) -> Table:
    """The rates; MiB/s are of what the reader reads: the `.rec` file, or the files of the folder."""
    images = len(Records(packed, "train"))
    record = (packed / "train.rec").stat().st_size / images
    file = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / images
    rows = [
        (
            state,
            name,
            str(workers),
            str(rate.images),
            f"{rate.inner:,.0f}",
            f"{rate.inner * (file if name.startswith(FOLDER) else record) / MIB:.1f}",
            f"{rate.whole:,.0f}",
            f"{rate.least:,.0f} to {rate.most:,.0f}",
        )
        for (state, name, workers), rate in sorted(rates.items(), key=lambda entry: entry[0][0])
    ]
    header = ("cache", "reader", "workers", "images", "images/s", "MiB/s", "with start", "least to most")
    return Table(f"{which.name}, squares of {which.side}", header, tuple(rows))


def _notes() -> list[str]:
    return [
        "the task of all: one epoch, shuffled; each image decoded whole to RGB, a random 8 to 100 % of its "
        "area resized bilinearly to the square; batches of unsigned bytes in one process. DALI, crop only, "
        "decodes no more than the crop needs, which is less work; Pillow, which reads the folder, always "
        "filters against aliasing, which is more",
        "order: ours takes blocks of 64 neighbours in random order; DALI reads in order and shuffles in a "
        "buffer of 1,024; ImageRecordIter reads in order and shuffles in chunks; the folder is shuffled file "
        "by file. The .rec file itself is shuffled",
        f"cold: {GP3.name}; the device reads 1 MiB ahead. The loop device adds no latency, as EBS does; that "
        "is in favour of the folder, whose workers read one file after the other",
        "workers: processes of ours and of PyTorch's DataLoader, threads of DALI and ImageRecordIter; "
        "images/s are without the start of the process, its imports included",
    ]
