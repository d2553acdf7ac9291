"""What the documents name is there: every test as `path::name`, every file of the code by its path."""

import ast
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
TEST = re.compile(r"\b(tests/[\w/]+\.py)((?:::\w+)+)")
FILE = re.compile(r"`((?:prep|stacks|userdata|rehearsal|bench|tests)/[\w/]+\.(?:py|sh|toml|txt))`")
HELD_BY = re.compile(r"`(\w+)`(?: and `(\w+)`)? in `((?:prep|stacks|userdata|rehearsal)/[\w/]+\.(?:py|sh))`")


def names(path: Path) -> set[str]:
    """What a module of tests defines, as pytest names it: "::test_x" and "::TestY::test_z"."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(f"::{node.name}")
        if isinstance(node, ast.ClassDef):
            found |= {f"::{node.name}::{inner.name}" for inner in node.body if hasattr(inner, "name")}
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_tests_that_are_named_exist(document: Path) -> None:
    named = {(path, name) for path, name in TEST.findall(document.read_text())}
    missing = [
        path + name
        for path, name in sorted(named)
        if not (REPOSITORY / path).is_file() or name not in names(REPOSITORY / path)
    ]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_are_named_exist(document: Path) -> None:
    assert [name for name in FILE.findall(document.read_text()) if not (REPOSITORY / name).is_file()] == []


def test_each_place_is_held_by_something_that_exists() -> None:
    """And is shown by a test."""
    document = REPOSITORY / "docs" / "security.md"
    places = document.read_text().partition("## Every place")[2].partition("## Secrets")[0]
    rows = [line for line in places.splitlines() if line.startswith("| ") and "| test |" not in line]
    assert len(rows) > 30
    assert [row for row in rows if not TEST.search(row)] == []
    for row in rows:
        for *holders, path in HELD_BY.findall(row):
            text = (REPOSITORY / path).read_text()
            assert [name for name in holders if name and not re.search(rf"\b{name}\b", text)] == [], row
