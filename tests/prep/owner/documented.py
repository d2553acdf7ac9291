"""What docs/owner-commands.md says: the fields of each command's result, and the permissions it needs."""

import re

from tests.prep.commands import REPOSITORY

TEXT = (REPOSITORY / "docs" / "owner-commands.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))


def fields(command: str) -> set[str]:
    """The names in the first column of a command's table."""
    rows = [line for line in SECTIONS[command].splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}


def actions(command: str) -> set[str]:
    """The names of the permissions in a command's row, without the services."""
    (row,) = [line for line in SECTIONS["Permissions"].splitlines() if line.startswith(f"| `{command}` |")]
    return set(re.findall(r"`\w+:(\w+)`", row))
