"""Status: which stages are done, and how far each of the others has come."""

from dataclasses import asdict
from typing import Any

from prep.archives.journal import UnitJournal
from prep.state import receipts
from prep.state.layout import Layout

STAGES = ("download", "organize", "pack", "verify", "preview", "backup", "snapshot")


def status(layout: Layout) -> dict[str, dict[str, Any]]:
    """For every stage: "done" with its receipt, "begun" with bytes done, or "not begun"."""
    journals = {
        "organize": layout.journals / "organize.jsonl",
        "pack": layout.packing / "journal.jsonl",
        "backup": layout.journals / "backup.jsonl",
    }
    found: dict[str, dict[str, Any]] = {}
    for stage in STAGES:
        receipt = receipts.read(layout, stage)
        if receipt:
            found[stage] = {"state": "done"} | asdict(receipt)
        elif stage in journals and journals[stage].exists():
            found[stage] = {"state": "begun", "bytes": UnitJournal.peek(journals[stage])}
        elif stage == "download" and any(layout.archives.glob("*.journal")):
            found[stage] = {"state": "begun"}
        else:
            found[stage] = {"state": "not begun"}
    return found
