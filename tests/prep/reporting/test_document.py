"""The document, as it is written and as it is read: a reader trusts nothing in a bucket."""

import json
import re
from dataclasses import asdict, fields, replace
from typing import Any

import pytest

from prep.errors import IntegrityError
from prep.reporting.document import MOST_TASKS, MOST_TEXT, Document, Task, parse
from tests.prep.commands import REPOSITORY
from tests.prep.reporting.documents import AT_WORK, PACK


def test_read_as_written() -> None:
    assert parse(AT_WORK.to_json(), "here") == AT_WORK


@pytest.mark.parametrize(
    "change",
    [
        {"state": "asleep"}, {"state": 1}, {"tasks": {}}, {"tasks": [1]}, {"tasks": [{}]}, {"stages": []},
        {"stages": {"pack": 1}}, {"waits": {"link": "long"}}, {"retries": True}, {"gave_up": 1},
        {"last_error": "none"}, {"sequence": 1.5}, {"schema": "1"}, {"error": None},
    ],
)  # fmt: skip
def test_other_types(change: dict[str, Any]) -> None:
    data = json.dumps(asdict(AT_WORK) | change).encode()
    with pytest.raises(IntegrityError, match=r"^here: not the status of a run: .*: wait a minute, or remove"):
        parse(data, "here")


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff\xff", b"[" * 20_000, AT_WORK.to_json()[:-20]])
def test_no_document(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="here: not the status of a run"):
        parse(data, "here")


def test_a_missing_field_is_none_of_ours() -> None:
    for field in fields(Document):
        table = asdict(AT_WORK)
        del table[field.name]
        with pytest.raises(IntegrityError, match=field.name):
            parse(json.dumps(table).encode(), "here")


def test_a_newer_version() -> None:
    data = json.dumps({"schema": 2}).encode()
    with pytest.raises(IntegrityError, match="here: written by a newer version of prep: update this one"):
        parse(data, "here")


def test_what_is_added_later_does_no_harm() -> None:
    data = json.dumps(asdict(AT_WORK) | {"mood": "good"}).encode()
    assert parse(data, "here") == AT_WORK


def test_no_more_than_a_person_can_read() -> None:
    large = replace(AT_WORK, tasks=(PACK,) * 100, error="x" * 10_000)
    found = parse(large.to_json(), "here")
    assert (len(found.tasks), len(found.error)) == (MOST_TASKS, MOST_TEXT)


def test_every_field_is_in_the_document_about_it() -> None:
    text = (REPOSITORY / "docs" / "status.md").read_text(encoding="utf-8")
    table = text.partition("## status.json")[2].partition("\n## ")[0]
    named = set(re.findall(r"`(\w+)`", table))
    assert {field.name for kind in (Document, Task) for field in fields(kind)} <= named
