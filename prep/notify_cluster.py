"""Notices about the work of a Ray cluster. Its machines are gone soon after, so each notice is kept in S3."""

from collections.abc import Sequence

from prep import contract, summary
from prep.cluster.place import Place
from prep.cluster.work import KEPT, receipt_name
from prep.errors import IntegrityError
from prep.notify import LOG_LINES, LOG_WIDTH, Machine, Notice, last_error
from prep.progress import duration, one_line
from prep.state import receipts
from prep.state.receipts import Receipt

NOTICE = f"{KEPT}notice.txt"
STAGES = ("pack", "verify")


def of_work(name: str, packed: Place, machine: Machine) -> Notice:
    """The notice about packed files that are complete and checked.

    Raises:
        IntegrityError: pack or verify has left no receipt.
    """
    done = {stage: _receipt(packed, stage) for stage in STAGES}
    took = [f"{stage} {duration(receipt.seconds)}" for stage, receipt in done.items()]
    lines = [
        f"The data set {name} is packed and verified.",
        "",
        *summary.rows("made", [f"{one_line(done['pack'].counted())}, in {packed}"]),
        *summary.rows("took", [", ".join(took)]),
        *summary.rows("next", _next(packed)),
        *summary.rows("cluster", _cluster(name, machine)),
    ]
    return Notice(f"Data set {name}: packed by the cluster", "\n".join(lines))


def of_failure(name: str, packed: str, log: Sequence[str], machine: Machine) -> Notice:
    """The notice about work that has failed and is not begun again; `log` is the end of its log."""
    lines = [
        f"The cluster could not pack the data set {name}. It does not try again by itself.",
        "",
        *summary.rows("error", [last_error(log)]),
        *summary.rows(
            "to do",
            ["correct the cause; then start a cluster again, and it continues:", _again(name, machine)],
        ),
        *summary.rows("kept", [f"what is done, in {packed}"]),
        *summary.rows("cluster", _cluster(name, machine)),
        *summary.rows("log", [line[:LOG_WIDTH] for line in log[-LOG_LINES:]]),
    ]
    return Notice(f"Data set {name}: the cluster failed", "\n".join(lines))


def keep(packed: Place, notice: Notice) -> None:
    """Keep a notice beside the packed files.

    Raises:
        AwsError: S3 refuses or fails.
    """
    packed.put(NOTICE, f"{notice.subject}\n\n{notice.text}\n".encode())


def _receipt(packed: Place, stage: str) -> Receipt:
    found = packed.find(receipt_name(stage))
    receipt = receipts.parse(found) if found else None
    if receipt is None:
        raise IntegrityError(
            f"notify: {packed.url(receipt_name(stage))}: no receipt: do {stage} --on ray first"
        )
    return receipt


def _next(packed: Place) -> list[str]:
    return [
        "on the prep instance, bring the files to the dataset volume, and take the snapshot:",
        f"python -m prep restore --bucket {packed.bucket} --packed {contract.PACKED_MOUNT}",
        f"python -m prep snapshot --packed {contract.PACKED_MOUNT} --volume VOLUME_ID",
    ]


def _cluster(name: str, machine: Machine) -> list[str]:
    return [
        "ends itself now, unless it was deployed with when_done=keep; to end it:",
        f"{_again(name, machine)} --stop",
    ]


def _again(name: str, machine: Machine) -> str:
    return f"python -m prep.owner cluster --dataset {name}{machine.in_region}"
