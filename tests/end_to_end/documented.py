"""docs/least-privilege.md against a rehearsal."""

import difflib
from pathlib import Path

from rehearsal.least_privilege import INTRODUCTION, proven, tables
from tests.end_to_end.running import REPOSITORY

DOCUMENT = REPOSITORY / "docs" / "least-privilege.md"


def rows_differ(output: Path) -> list[str]:
    """How the rows about the roles that the rehearsal proves differ from those of the document, as a diff.

    The remedy: python -m rehearsal.least_privilege FULL CLUSTER >docs/least-privilege.md
    """
    text = DOCUMENT.read_text()
    assert text.startswith(INTRODUCTION)
    kinds = tuple(f"| {kind} |" for kind in proven(output / "logs"))
    there = [line for line in text.splitlines() if line.startswith(kinds)]
    refused, needed = tables(output / "logs")
    return [*difflib.unified_diff(there, [*refused, *needed], "document", "rehearsal", lineterm="", n=0)]
