"""A whole run: the road from the source to the snapshot, with as little waiting as possible.

1. The archives arrive. Each unit of them is organized, packed and backed up as soon as its bytes are there.
2. The packed files are merged; verify follows one bucket behind, and the backup sends what verify reads.
3. The preview is made, the backup is completed, and the snapshot is taken.

Each stage that finishes leaves a receipt, so that a run which was interrupted goes on where it was.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext

from prep.archives.readers import Downloads
from prep.interrupt import stopping
from prep.job import Job, Pass
from prep.records.growth import Growth
from prep.sources.choose import choose_source
from prep.sources.fetch import VERSIONS
from prep.sources.source import SourceChangedError
from prep.stages import download, verify
from prep.stages.pack import Packer
from prep.state.receipts import Receipt
from prep.usage import Usage

RUN = "run"


def run(job: Job) -> list[Receipt]:
    """Do every stage that is not done, in order, and return all receipts; that of the run is the last."""
    begun = time.monotonic()
    usage = Usage(job.layout, job.progress)
    with usage.part("archives"):
        fetched, passed = _as_they_arrive(job)
    with usage.part("merge and verify"):
        done = [fetched, *_finish(job, passed)]
        if done[-1].stage != verify.STAGE:
            done.append(job.verify(back_up=bool(job.bucket)))
    with usage.part("preview"):
        done += _preview(job)
    if job.bucket:
        with usage.part("backup"):
            done.append(job.backup())
    if job.volume:
        with usage.part("snapshot"):
            done.append(job.snapshot())
    inputs = {receipt.stage: receipt.finished for receipt in done}
    receipt = Receipt(RUN, inputs, {}, {}, usage.counts(), round(time.monotonic() - begun, 1))
    done.append(job.standing(RUN, inputs, {}) or job.keep(receipt, tell=False))
    usage.close()
    return done


def _as_they_arrive(job: Job) -> tuple[Receipt, Pass]:
    """The download, and the pass over the archives while they arrive.

    If an archive changes on the server, a new pass begins; it discards what was made of the other version.
    """
    download.drop_leftovers(job.description, job.layout)
    for left in reversed(range(VERSIONS)):
        standing = job.standing("download", download.inputs(job.description), {})
        begun, missing = time.monotonic(), len(download.missing(job.description, job.layout))
        try:
            with _arriving(job) if missing else nullcontext({}) as downloads:
                passed = job.read(["organize", "pack"] if job.with_organize else ["pack"], downloads, True)
        except SourceChangedError:
            if not left:
                raise
            continue
        return standing or job.keep(download.receipt(job.description, job.layout, missing, begun)), passed
    raise AssertionError("unreachable")


def _arriving(job: Job) -> AbstractContextManager[Downloads]:
    source = choose_source(job.source, job.secret, job.progress)
    return download.arriving(job.description, job.layout, source, job.progress)


def _finish(job: Job, passed: Pass) -> list[Receipt]:
    """The receipts of organize and pack, after their last steps; and of verify, if there was a merge.

    While the merge keeps the dataset volume busy, the last images of organize reach the work volume.
    """
    pack = passed["pack"]
    with ThreadPoolExecutor(1, "organize") as pool:
        organized = [pool.submit(job.finish, passed["organize"])] if "organize" in passed else []
        packed = _merge_and_verify(job, pack) if isinstance(pack, Packer) else (job.finish(pack),)
        return [*(receipt.result() for receipt in organized), *packed]


def _preview(job: Job) -> list[Receipt]:
    """The receipt of the preview; nothing if it fails, which must not keep the data set from being published.

    So every exception counts, also one of a mistake in `prep`: the data is verified.
    """
    try:
        return [job.preview()]
    except Exception as error:
        job.progress.note(
            f"preview: not made: {error or type(error).__name__}: the packed files are right all the same; "
            "run again to make it"
        )
        return []


def _merge_and_verify(job: Job, packer: Packer) -> tuple[Receipt, Receipt]:
    """Merge, with verify one bucket behind, and the packed files' backup on the same read."""
    growth = Growth(followed=True)

    def follow() -> Receipt:
        try:
            consumer = job.backup_consumer(packer.inputs) if job.bucket else None
            if consumer:
                consumer.expect_merge(growth)
            return verify.verify(job.description, job.layout, job.progress, job.threads, consumer, growth)
        except BaseException as error:
            growth.fail(error)
            raise

    with ThreadPoolExecutor(1, "verify") as pool:
        following = pool.submit(follow)
        try:
            packed = job.keep(packer.finish(job.progress, growth))
            packer.clean()
            growth.end()
            return packed, job.keep_verified(following.result())
        except BaseException as error:
            growth.fail(error)
            if isinstance(error, KeyboardInterrupt):
                stopping.set()  # no call to S3 is repeated any more
            raise
