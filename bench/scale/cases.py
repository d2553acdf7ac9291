"""The data sets and the designs that the document compares."""

from dataclasses import replace
from typing import Final

from bench.scale.design import PRESENT, Cut, DataSet, Design
from bench.scale.facts import MIB
from bench.scale.model import Cluster, Plan

IMAGENET: Final = DataSet("ImageNet", 1_281_167, 147_897_477_120)
TB: Final = 10**12
ISSUE_IMAGES, ISSUE_BYTES = 400_000_000, 50 * TB
SPLITS: Final = 40


def _times(factor: int) -> DataSet:
    return DataSet(f"{factor} x ImageNet", factor * IMAGENET.images, factor * IMAGENET.bytes)


ISSUE: Final = DataSet("400 million images", ISSUE_IMAGES, ISSUE_BYTES)
SIZES: Final = (IMAGENET, _times(10), _times(100), ISSUE)
IN_SPLITS: Final = DataSet(f"{SPLITS} archives", ISSUE_IMAGES, ISSUE_BYTES, SPLITS)

MORE: Final = replace(
    PRESENT,
    name="a bucket for each 512 MiB, `--part-mib` of 1 TB",
    most_buckets=10**9,
    range_bytes=512 * MIB,
    part_bytes=TB,
)
ROUNDS: Final = replace(MORE, name="that, in two rounds", two_rounds=True)
ANSWERS: Final = ((ISSUE, PRESENT), (IN_SPLITS, PRESENT), (ISSUE, MORE), (ISSUE, ROUNDS))


def plan(data: DataSet, design: Design = PRESENT, nodes: int | None = None, known: bool = True) -> Plan:
    """A data set, cut by a design, on a cluster; `known`: the digests of its archives are."""
    return Plan(Cut(data, design), Cluster(nodes) if nodes else Cluster(), known)


def sized(archive_bytes: float) -> DataSet:
    """A data set of one split and of images as large as in the issue's case."""
    return DataSet("", round(archive_bytes * ISSUE_IMAGES / ISSUE_BYTES), round(archive_bytes))
