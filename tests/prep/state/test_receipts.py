"""A receipt stands as long as inputs, settings and outputs are those it was given for."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from prep.state import receipts
from prep.state.layout import Layout
from prep.state.receipts import Receipt


@pytest.fixture
def receipt(tmp_path: Path) -> Receipt:
    (tmp_path / "out").write_bytes(b"12345")
    (tmp_path / "folder").mkdir()
    outputs: dict[str, dict[str, Any]] = {
        str(tmp_path / "out"): {"bytes": 5, "sha256": "x"},
        str(tmp_path / "folder"): {},
        "s3://bucket/key": {"bytes": 99},
    }
    return Receipt("pack", {"a": (1, 2)}, {"quality": 95}, outputs, {"train": 3}, 1.5)


def test_written_and_read(tmp_path: Path, receipt: Receipt) -> None:
    layout = Layout(tmp_path, tmp_path)
    written = receipts.write(layout, receipt)
    assert written.finished.endswith("Z")
    read = receipts.read(layout, "pack")
    assert read is not None
    assert read.stands({"a": (1, 2)}, {"quality": 95})
    assert replace(read, inputs=receipt.inputs) == written
    assert receipts.read(layout, "verify") is None


def test_other_inputs_or_settings(receipt: Receipt) -> None:
    assert receipt.stands({"a": [1, 2]}, {"quality": 95})
    assert not receipt.stands({"a": [1, 3]}, {"quality": 95})
    assert not receipt.stands({"a": [1, 2]}, {"quality": 96})
    assert not receipt.stands({"a": [1, 2]}, {})


@pytest.mark.parametrize("change", ["shorter", "gone", "folder gone"])
def test_outputs_that_are_no_longer_there(tmp_path: Path, receipt: Receipt, change: str) -> None:
    if change == "shorter":
        (tmp_path / "out").write_bytes(b"1234")
    elif change == "gone":
        (tmp_path / "out").unlink()
    else:
        (tmp_path / "folder").rmdir()
    assert not receipt.stands({"a": [1, 2]}, {"quality": 95})


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"stage": "pack"}', '{"unknown": 1}'])
def test_damaged_receipt_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / ".prep" / "pack.json"
    path.parent.mkdir()
    path.write_text(text)
    assert receipts.read(Layout(tmp_path, tmp_path), "pack") is None


@pytest.mark.parametrize(
    "changed", [{"outputs": []}, {"outputs": {"x": 3}}, {"outputs": 3}, {"counts": []}, {"findings": "x"}]
)
def test_receipt_of_other_types_is_none(tmp_path: Path, receipt: Receipt, changed: dict[str, Any]) -> None:
    layout = Layout(tmp_path, tmp_path)
    receipts.write(layout, receipt)
    path = tmp_path / ".prep" / "pack.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    assert receipts.read(layout, "pack") is None


def test_receipt_of_other_types_is_none_or_does_not_stand(tmp_path: Path, receipt: Receipt) -> None:
    layout = Layout(tmp_path, tmp_path)
    receipts.write(layout, receipt)
    path = tmp_path / ".prep" / "pack.json"
    table = json.loads(path.read_text()) | {"inputs": []}
    path.write_text(json.dumps(table))
    read = receipts.read(layout, "pack")
    assert read is None or not read.stands({"a": [1, 2]}, {"quality": 95})
