"""Pack: write every image of a split into one RecordIO file, in shuffled order, with its index and list.

The consumer prepares the images of a unit on all cores and distributes them over buckets. When all units have
been distributed, `finish` merges one bucket after the other into the `.rec` file. Each bucket is removed as
soon as it is merged, so that the volume needs room for only one copy of the data.
"""

import os
import shutil
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import cv2

from prep.archives.journal import UnitJournal
from prep.archives.units import LoadedUnit
from prep.datasets import classes
from prep.datasets.description import Description, Split
from prep.progress import CORES, DATASET_VOLUME, Progress
from prep.records import manifest
from prep.records.buckets import Buckets, bucket_count
from prep.records.dealing import (
    Outcome,
    PackSettings,
    check_dealt,
    classes_seen,
    draft_manifest,
    prepare_images,
    unit_facts,
)
from prep.records.growth import Growth
from prep.records.merge import merge
from prep.state.files import sync_file_system
from prep.state.group_commit import GroupCommit
from prep.state.layout import Layout
from prep.state.receipts import Receipt

BATCH = 8  # images for each task of the pool: enough that the cost of a task itself is small


class Packer:
    """The consumer that prepares images and distributes them over buckets."""

    stage = "pack"
    busy_with = CORES

    def __init__(
        self,
        description: Description,
        layout: Layout,
        inputs: dict[str, Any],
        settings: PackSettings,
        threads: int | None = None,
        allow_unreadable: int = 0,
    ) -> None:
        self._description = description
        self._layout = layout
        self.inputs = inputs
        self._settings = settings
        self._allow_unreadable = allow_unreadable
        self._begun = time.monotonic()
        cv2.setNumThreads(1)  # the pool already has a thread for each core
        self._pool = ThreadPoolExecutor(threads or len(os.sched_getaffinity(0)), "pack")
        counts = {name: bucket_count(size) for name, size in inputs["bytes"].items()}
        self.journal = UnitJournal(
            layout.packing / "journal.jsonl", inputs | settings.made_with() | {"buckets": counts}
        )
        if self.journal.fresh:
            self._begin_anew()
        self._buckets = {split.name: self._open(split) for split in description.splits}
        self._pending: tuple[LoadedUnit, list[Future[list[Outcome]]]] | None = None
        self._commits = GroupCommit(
            self.stage, partial(sync_file_system, layout.packed), self.journal.commit_all, worth=0
        )

    def _begin_anew(self) -> None:
        """Remove packed files of other settings: the volume has room for only one copy."""
        for split in self._description.splits:
            shutil.rmtree(self._layout.packing / split.name, ignore_errors=True)
            for kind in ("rec", "idx", "lst"):
                for path in self._layout.packed.glob(f"{split.name}*.{kind}*"):
                    path.unlink()
        for path in (self._layout.manifest, *self._layout.previews):
            path.unlink(missing_ok=True)

    def _open(self, split: Split) -> Buckets:
        sizes: list[int] = []
        for entry in self.journal.units():
            if entry["split"] == split.name:
                sizes = entry["buckets"]
        return Buckets(
            self._layout.packing / split.name, bucket_count(self.inputs["bytes"][split.name]), sizes
        )

    def size_at(self, source: str, offset: int) -> int | None:
        """Size of the unit at this offset if its images are in the buckets, else None."""
        return self.journal.size_at(source, offset)

    def consume(self, loaded: LoadedUnit) -> None:
        """Start this unit, then finish the previous one, so that no core is idle between two units."""
        futures = [
            self._pool.submit(prepare_images, loaded.images[start : start + BATCH], self._settings)
            for start in range(0, len(loaded.images), BATCH)
        ]
        self._deal()
        self._pending = (loaded, futures)

    def flush(self) -> None:
        """Write the images of the unit under way into their buckets, and commit all units."""
        self._deal()
        self._commits.finish()

    def _deal(self) -> None:
        if self._pending is None:
            return
        loaded, futures = self._pending
        self._pending = None
        outcomes = [outcome for future in futures for outcome in future.result()]
        self.busy_with = DATASET_VOLUME
        buckets = self._buckets[loaded.split.name]
        buckets.deal(outcome.entry for outcome in outcomes if outcome.entry)
        facts = unit_facts(loaded.split, loaded.images, outcomes) | {"buckets": list(buckets.sizes)}
        self._commits.add(loaded.unit.size, (loaded.unit, facts))
        self.busy_with = CORES

    def settle(self) -> None:
        """Wait until the finished units are committed."""
        self._commits.settle()

    def forget(self, source: str) -> None:
        """Discard what was made of an archive or a split's folder: empty the buckets of that split."""
        self._commits.settle()
        self._pending = None
        self.journal.forget(source)
        self._buckets = {split.name: self._open(split) for split in self._description.splits}

    def finish(self, progress: Progress, growth: Growth | None = None) -> Receipt:
        """Merge the buckets, write the class table and the manifest, and return the receipt.

        `growth` is told of what is on disk, for whoever reads behind the merge.

        Raises:
            IntegrityError: too many images are unreadable, or their number is not what the description says.
        """
        growth = growth or Growth()
        self._pool.shutdown()
        units = list(self.journal.units())
        check_dealt(self._description, units, self._allow_unreadable)
        labels = classes.write_table(self._description, self._layout, classes_seen(units))
        draft = replace(
            draft_manifest(self._description, self._settings.made_with(), len(labels), units),
            files={"classes.tsv": manifest.facts_of(self._layout.classes)},
        )
        growth.begin(draft, sum(sum(buckets.sizes) for buckets in self._buckets.values()))
        packed = self._merge(draft, labels, progress, growth)
        manifest.write(self._layout, packed)
        outputs = {str(self._layout.packed / name): facts for name, facts in packed.files.items()}
        outputs[str(self._layout.manifest)] = {}  # no size: verify may add images that it finds damaged
        counts = {name: summary["records"] for name, summary in packed.splits.items()}
        seconds = round(time.monotonic() - self._begun, 1)
        return Receipt(self.stage, self.inputs, asdict(self._settings), outputs, counts, seconds)

    def _merge(
        self, draft: manifest.Manifest, labels: dict[str, int], progress: Progress, growth: Growth
    ) -> manifest.Manifest:
        """The manifest with the parts of every split and their files, merged."""
        files, splits = dict(draft.files), {}
        for split in self._description.splits:
            parts = merge(
                self._layout,
                split.name,
                self._buckets[split.name],
                labels,
                self.journal,
                progress,
                growth,
                self._settings.part_mib << 20,
            )
            splits[split.name] = draft.splits[split.name] | {"parts": list(parts)}
            for facts in parts.values():
                files |= facts
        return replace(draft, splits=splits, files=files)

    def clean(self) -> None:
        """Remove the journal and the empty buckets, after the receipt is written."""
        shutil.rmtree(self._layout.packing, ignore_errors=True)
