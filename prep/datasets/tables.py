"""Reads values out of the tables of a TOML file, and collects all mistakes in it."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

Table = dict[str, Any]


@dataclass(frozen=True)
class Mistake:
    """Something wrong: the table or key where it is, the problem, and what to do."""

    where: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}: {self.remedy}"


@dataclass
class Mistakes:
    """The mistakes of one file. Each method that reads a value returns an empty one after a mistake."""

    found: list[Mistake] = field(default_factory=list)

    def add(self, where: str, problem: str, remedy: str) -> None:
        """Note a mistake."""
        self.found.append(Mistake(where, problem, remedy))

    def only(self, table: Table, where: str, known: Collection[str]) -> None:
        """Keys must be among those known."""
        for key in sorted(set(table) - set(known)):
            self.add(
                where,
                f"unknown key {key!r}; the known keys are {', '.join(sorted(known))}",
                "remove or rename it",
            )

    def has(self, table: Table, key: str, where: str, kind: str) -> bool:
        """The key must be there."""
        if key not in table:
            self.add(where, f"{key} is missing", f"add {key}, {kind}")
        return key in table

    def string(self, table: Table, key: str, where: str) -> str:
        """Text that is not empty, or "" after a mistake."""
        if not self.has(table, key, where, "a text"):
            return ""
        value = table[key]
        if isinstance(value, str) and value:
            return value
        self.add(where, f"{key} must be text", f'write {key} = "…"')
        return ""

    def count(self, table: Table, key: str, where: str) -> int:
        """A whole number from 1; also 1 after a mistake."""
        if not self.has(table, key, where, "a whole number"):
            return 1
        value = table[key]
        if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
            return value
        self.add(where, f"{key} must be a whole number, at least 1", f"write {key} = 1000, without quotes")
        return 1

    def choice(self, table: Table, key: str, where: str, choices: Collection[str]) -> str:
        """One of the choices, or "" after a mistake."""
        value = self.string(table, key, where)
        if not value or value in choices:
            return value
        self.add(where, f"{key} {value!r} must be one of {', '.join(choices)}", "choose one of these")
        return ""

    def table(self, table: Table, key: str, where: str) -> Table:
        """A table, or an empty one after a mistake."""
        if not self.has(table, key, where, f"a table: [{key}]"):
            return {}
        value = table[key]
        if isinstance(value, dict):
            return value
        self.add(where, f"{key} must be a table", f"write it as [{key}]")
        return {}

    def tables(self, table: Table, key: str, optional: bool = False) -> list[Table]:
        """A list of tables, or an empty one after a mistake."""
        if (optional and key not in table) or not self.has(table, key, "top level", f"tables: [[{key}]]"):
            return []
        value = table[key]
        if isinstance(value, list) and all(isinstance(item, dict) for item in value):
            return value
        self.add(key, f"must be written as [[{key}]]", "write it with two brackets on each side")
        return []
