"""Verify is asked, by the command line, and what it says is compared."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from prep.cluster.place import Place
from prep.job import Job
from prep.state.receipts import Receipt
from tests.prep.cluster.stand import Stand
from tests.prep.small_sets import job, pack

# MXNet 1.9.1 is the last there will be, and asks for names that SciPy is about to drop.
QUIET = pytest.mark.filterwarnings("ignore:Please import `csr_matrix`:DeprecationWarning")
SIZE = 5  # records of a range: the tiny set has five ranges


def copied(packed: Path, name: str, folder: Path) -> Job:
    """A copy of a packed data set, with its description beside it."""
    for kind in ("root", "packed", "set"):
        shutil.copytree(packed / kind, folder / kind)
    return job(folder / "set" / f"{name}.toml", folder)


def ask(stand: Stand, work: Job, place: Place, *more: str) -> dict[str, Any]:
    """Verify on the cluster, by the command line."""
    (toml,) = (work.layout.root.parent / "set").glob("*.toml")
    where = ["--address", stand.nodes.address, "--packed", str(place), "--dataset", str(toml)]
    return stand.resident.ask(main=["verify", "--on", "ray", *where, "--no-progress", "--json", *more])


def verified(stand: Stand, work: Job, place: Place) -> Receipt:
    answer = ask(stand, work, place)
    assert answer["code"] == 0, answer["err"]
    return Receipt(**json.loads(answer["out"]))


def complaint(stand: Stand, work: Job, place: Place, *more: str) -> str:
    """One line, with nothing of what Ray has to say of the error."""
    answer = ask(stand, work, place, *more)
    assert answer["code"] == 5, answer
    *lines, last = answer["err"].splitlines()
    assert [line for line in lines if not line.startswith("verify: done")] == []
    assert last.startswith("error: ")
    return str(last).removeprefix("error: ")


def refusal(stand: Stand, work: Job, place: Place) -> str:
    """The same, where no receipt may be left."""
    said = complaint(stand, work, place)
    assert place.find(".prep/verify.json") is None
    return said


def same_receipt(work: Job, place: Place, receipt: Receipt) -> None:
    """Compare the receipt with that of this machine."""
    with work.locked():
        here = work.verify()
    counts = dict(receipt.counts)
    assert counts.pop("bytes")["read"] > 0
    assert counts == {split: here.counts[split] for split in counts}
    assert {*counts} == {*here.counts} - {"bytes"}
    assert (receipt.stage, receipt.inputs, receipt.settings, receipt.findings) == (
        here.stage, here.inputs, here.settings, here.findings,
    )  # fmt: skip
    assert receipt.outputs == {place.url("MANIFEST.json"): here.outputs[str(work.layout.manifest)]}
    assert place.get("MANIFEST.json") == work.layout.manifest.read_bytes()
    assert Receipt(**json.loads(place.get(".prep/verify.json"))) == receipt


def packed_here(toml: Path, folder: Path, **options: Any) -> Job:
    """A data set packed on this machine, with its description beside it."""
    (folder / "set").mkdir()
    shutil.copy(toml, folder / "set")
    return pack(toml, folder, **options)
