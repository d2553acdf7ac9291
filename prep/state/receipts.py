"""Receipts: the inputs, outputs and duration of a finished stage, by which `run` knows what is done."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from prep.state.files import write_json
from prep.state.layout import Layout


def object_name(stage: str) -> str:
    """The name of the receipt of a stage that has worked on packed files in S3, below their prefix."""
    return f".prep/{stage}.json"


@dataclass(frozen=True)
class Receipt:
    """One finished stage.

    `inputs` and `settings` decide whether the stage must run again; `outputs` maps a path (absolute, or a
    URL) to its size in bytes and, where known, a digest; `counts` and `seconds` are for people; `findings`
    names what the user should know: {kind: {split: {image: reason}}}.
    """

    stage: str
    inputs: Mapping[str, Any]
    settings: Mapping[str, Any]
    outputs: Mapping[str, Mapping[str, Any]]
    counts: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    finished: str = ""
    findings: Mapping[str, Any] = field(default_factory=dict)

    def stands(self, inputs: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
        """Whether the receipt is for these inputs and settings, and its local outputs still exist."""
        return self.is_for(inputs, settings) and all(
            _intact(path, facts) for path, facts in self.outputs.items()
        )

    def is_for(self, inputs: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
        """Whether the receipt is for these inputs and settings."""
        return _plain(self.inputs) == _plain(inputs) and _plain(self.settings) == _plain(settings)

    def counted(self) -> str:
        """The counts as text, such as "train 600" or "train 600 records, 517 as in the archive"."""
        parts = []
        for name, count in self.counts.items():
            inner = (
                [f"{number} {what}" for what, number in count.items()] if isinstance(count, dict) else [count]
            )
            parts.append(f"{name} {', '.join(map(str, inner))}")
        return "; ".join(parts)


def stamped(receipt: Receipt) -> Receipt:
    """The receipt with the present time (UTC)."""
    return replace(receipt, finished=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))


def write(layout: Layout, receipt: Receipt) -> Receipt:
    """Write the receipt to disk atomically; returns it with the present time (UTC)."""
    return copy(layout, stamped(receipt))


def copy(layout: Layout, receipt: Receipt) -> Receipt:
    """Write a receipt that has its time already to disk atomically; returns it."""
    write_json(layout.receipts / f"{receipt.stage}.json", asdict(receipt))
    return receipt


def read(layout: Layout, stage: str) -> Receipt | None:
    """The receipt of a stage, or None if there is no readable receipt."""
    try:
        text = (layout.receipts / f"{stage}.json").read_bytes()
    except OSError:
        return None
    return parse(text)


def parse(text: bytes) -> Receipt | None:
    """The receipt in a text, or None if it is damaged."""
    try:
        receipt = Receipt(**json.loads(text))
        tables = (receipt.inputs, receipt.settings, receipt.counts, receipt.findings, receipt.outputs)
        sound = all(isinstance(table, dict) for table in (*tables, *receipt.outputs.values()))
    except (ValueError, TypeError, AttributeError):
        return None
    return receipt if sound else None


def _plain(value: Mapping[str, Any]) -> object:
    return json.loads(json.dumps(value))


def _intact(path: str, facts: Mapping[str, Any]) -> bool:
    if "://" in path:
        return True  # objects in S3 are checked by the stage that wrote them
    local = Path(path)
    return local.exists() and ("bytes" not in facts or local.stat().st_size == facts["bytes"])
