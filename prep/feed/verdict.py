"""Whether a machine feeds a target, what it lacks, and which setting mends it: by measured numbers alone."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prep import contract
from prep.feed.gpus import Wanted
from prep.feed.loaders import Rate
from prep.feed.volume import Reading

MIB = 1 << 20
NEAR = 0.7  # a rate of at least so much of another is limited by the same thing
APART = 0.5  # a rate of less than so much of another has a cause of its own
SPARE = 1.1  # what a setting is to give beyond what is needed
# gp3's limits: https://docs.aws.amazon.com/ebs/latest/userguide/general-purpose.html
GP3_THROUGHPUT, GP3_IOPS, IOPS_PER_MIB = 2000, 80_000, 4
# MLPerf Storage's ResNet-50: https://github.com/mlcommons/storage/blob/main/configs/dlio/workload/resnet50_h100.yaml
MLPERF_SAMPLE_BYTES, MLPERF_BATCH, MLPERF_SECONDS, MLPERF_UTILIZATION = 114_660, 400, 0.224, 0.9
MLPERF_SAMPLES_PER_SECOND = MLPERF_UTILIZATION * MLPERF_BATCH / MLPERF_SECONDS

LOADING, THROUGHPUT, REQUESTS, MEMORY = "lazy loading", "volume MiB/s", "volume requests/s", "memory"
CORES, LOADERS = "decoding", "loader processes"
FIRST = "first epoch"


@dataclass(frozen=True)
class Smaller:
    """What --resize 256 --quality 90 does to a sample of these images: bytes and decoding rate, as ratios."""

    size: float
    decoding: float


@dataclass(frozen=True)
class Measured:
    """All that was measured.

    `first` is of blocks that had probably not been read since the volume was made, `later` of the same blocks
    again, from the disk. `memory_records` is of one process. `fits`: the split fits into this machine's
    memory beside all else.
    """

    images: int
    size: int
    fits: bool
    cores: int
    loaders: int
    first_stream: Reading
    first_records: Reading
    later_stream: Reading
    later_records: Reading
    requests: Reading
    memory_records: Reading
    decoding: Mapping[int, Rate]
    first_batches: Rate
    later_batches: Rate
    smaller: Smaller

    @property
    def image_bytes(self) -> float:
        """Mean bytes of a record."""
        return self.size / self.images

    def images_per_second(self, reading: Reading) -> float:
        """A rate of bytes in images."""
        return reading.bytes_per_second / self.image_bytes

    @property
    def readers(self) -> int:
        """How many processes read from memory at the same time."""
        return min(self.loaders, self.cores)


@dataclass(frozen=True)
class Epoch:
    """What an epoch gets: images a second in batches, and what limits them."""

    name: str
    images_per_second: float
    volume: float
    decoding: float
    limit: str
    in_memory: bool


@dataclass(frozen=True)
class Answer:
    """An epoch beside the target: whether it starves, and the remedies, most useful first."""

    epoch: Epoch
    starves: bool
    remedies: tuple[str, ...]


def epochs(found: Measured) -> tuple[Epoch, Epoch]:
    """The first epoch and the later ones."""
    later = found.images_per_second(found.later_stream)
    if found.fits:
        later = found.images_per_second(found.memory_records) * found.readers
    first = found.images_per_second(found.first_stream)
    return (
        _epoch(FIRST, found, found.first_batches, first, in_memory=False),
        _epoch("later epochs", found, found.later_batches, later, in_memory=found.fits),
    )


def _epoch(name: str, found: Measured, batches: Rate, volume: float, in_memory: bool) -> Epoch:
    rate = batches.per_second
    decoding = found.decoding[found.loaders].per_second
    if rate < APART * min(volume, decoding):
        limit = LOADERS
    elif decoding <= volume:
        limit = CORES
    else:
        limit = MEMORY if in_memory else _limit_of_volume(found, name == FIRST)
    return Epoch(name, rate, volume, decoding, limit, in_memory)


def _limit_of_volume(found: Measured, first: bool) -> str:
    if first and found.first_stream.bytes_per_second < APART * found.later_stream.bytes_per_second:
        return LOADING
    sent = found.later_stream.requests / found.later_stream.seconds
    return REQUESTS if sent >= NEAR * found.requests.per_second else THROUGHPUT


def judge(found: Measured, wanted: Wanted) -> tuple[Answer, Answer]:
    """The two epochs beside a target."""
    first, later = epochs(found)
    return _answer(found, first, wanted), _answer(found, later, wanted)


def _answer(found: Measured, epoch: Epoch, wanted: Wanted) -> Answer:
    target = wanted.images_per_second
    if epoch.images_per_second >= target:
        return Answer(epoch, False, ())
    remedies: list[str] = []
    if epoch.volume < target:
        remedies += (
            [_memory_remedy(found, epoch)] if epoch.in_memory else _volume_remedies(found, epoch, target)
        )
    if epoch.decoding < target:
        remedies += _core_remedies(found, epoch, target)
    if not remedies:
        remedies.append(
            f"--loaders {_more_loaders(found)}: volume and cores suffice, but each process reads and decodes "
            "in turn; more processes overlap the two"
        )
    short = min(epoch.volume, epoch.decoding)
    gain = min(
        epoch.volume / found.smaller.size if epoch.volume < target else math.inf,
        epoch.decoding * found.smaller.decoding if epoch.decoding < target else math.inf,
    )
    if math.isfinite(gain) and gain > short * SPARE:
        remedies.append(
            f"pack with --resize 256 --quality 90: of a sample, {found.smaller.size:.0%} of the bytes and "
            f"{found.smaller.decoding:.1f} times the decoding rate; about {gain:,.0f} images/s"
        )
    return Answer(epoch, True, tuple(remedies))


def _memory_remedy(found: Measured, epoch: Epoch) -> str:
    if found.loaders < found.cores:
        return f"--loaders {found.cores}: {found.loaders} read {epoch.volume:,.0f} images/s from memory"
    return f"memory gives {epoch.volume:,.0f} images/s: use fewer GPUs on this machine, or smaller images"


def _volume_remedies(found: Measured, epoch: Epoch, target: float) -> list[str]:
    remedies, settings = [], []
    if _limit_of_volume(found, epoch.name == FIRST) == LOADING:
        settings.append("initialization_rate=300")
        remedies.append(
            f"{_deploy(settings)}: AWS then loads the volume at 300 MiB/s in the background "
            f"({found.size / MIB / 300 / 60:.0f} min for this split); now blocks load as they are first read"
        )
        if found.images_per_second(found.later_stream) >= target:
            return remedies
    mib = math.ceil(target * found.image_bytes * SPARE / MIB)
    if mib > GP3_THROUGHPUT:
        remedies.append(
            f"no gp3 volume gives the {mib:,} MiB/s: use fewer GPUs on this machine, or smaller images"
        )
    elif mib <= contract.GP3_THROUGHPUT:
        remedies.append(
            f"{mib} MiB/s are needed, and gp3 gives {contract.GP3_THROUGHPUT} by default: look at the "
            "volume's type and state, and at the instance type's EBS bandwidth"
        )
    else:
        iops = max(contract.GP3_IOPS, mib * IOPS_PER_MIB)
        settings += [f"restored_volume_throughput={mib}", f"restored_volume_iops={iops}"]
        remedies.append(f"{_deploy(settings)}: if the instance type's EBS bandwidth allows {mib:,} MiB/s")
    return remedies


def _deploy(settings: Sequence[str]) -> str:
    """How settings get to a volume: each deployment takes all of them; volumes that are there keep theirs."""
    joined = " ".join(settings)
    return f'make deploy STACKS=Training SETTINGS="{joined}" with your other settings, then new instances'


def _core_remedies(found: Measured, epoch: Epoch, target: float) -> list[str]:
    best = max(found.decoding.values(), key=lambda rate: rate.per_second)
    if found.loaders < found.cores and best.per_second > epoch.decoding * SPARE:
        more = f"--loaders {best.processes}: decode {best.per_second:,.0f} images/s on this machine"
        if best.per_second >= target:
            return [more]
        return [more, _larger(found, best, target)]
    return [_larger(found, best, target)]


def _larger(found: Measured, best: Rate, target: float) -> str:
    cores = math.ceil(round(target * SPARE / best.per_second * found.cores, 6))
    return (
        f"a larger instance: {found.cores} cores decode {best.per_second:,.0f} images/s, so about {cores} "
        "such cores are needed; or let the GPU decode (NVIDIA DALI, device='mixed')"
    )


def _more_loaders(found: Measured) -> int:
    return max(found.cores, found.loaders * 2)


def accelerators(found: Measured) -> dict[str, float]:
    """How many H100 of MLPerf Storage's ResNet-50 each part keeps busy for 90 % of the time."""
    need = MLPERF_SAMPLES_PER_SECOND
    return {
        "volume, first epoch": found.first_stream.bytes_per_second / (need * MLPERF_SAMPLE_BYTES),
        "volume, later epochs": found.later_stream.bytes_per_second / (need * MLPERF_SAMPLE_BYTES),
        "memory": found.memory_records.bytes_per_second * found.readers / (need * MLPERF_SAMPLE_BYTES),
        "decoding": max(rate.per_second for rate in found.decoding.values()) / need,
        "batches, first epoch": found.first_batches.per_second / need,
        "batches, later epochs": found.later_batches.per_second / need,
    }
