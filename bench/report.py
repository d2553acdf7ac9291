"""What a benchmark found: one line of JSON for programs, a table for people, and where it was measured."""

import json
import os
import platform
import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

REPOSITORY = Path(__file__).resolve().parent.parent


class BenchError(RuntimeError):
    """A benchmark can't be run, or what it ran failed; the text is one line that says what to do."""


@dataclass(frozen=True)
class Figure:
    """One measured number and what it is to reach: at least or at most `target`, or nothing (None).

    `value` is None where it could not be measured; `note` says why.
    """

    name: str
    value: float | None
    unit: str
    target: float | None = None
    bound: Literal["least", "most"] = "least"
    note: str = ""

    @property
    def met(self) -> bool:
        """Whether the target, if there is one, is reached."""
        if self.target is None:
            return True
        if self.value is None:
            return False
        return self.value >= self.target if self.bound == "least" else self.value <= self.target

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        plain = {"name": self.name, "value": self.value, "unit": self.unit}
        if self.target is not None:
            plain |= {"target": self.target, "bound": f"at {self.bound}", "met": self.met}
        return plain | ({"note": self.note} if self.note else {})


@dataclass(frozen=True)
class Table:
    """A table for people."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Result:
    """A benchmark's outcome: its figures, the headline first, and all else worth knowing."""

    name: str
    workload: str
    figures: tuple[Figure, ...]
    details: dict[str, Any] = field(default_factory=dict)
    tables: tuple[Table, ...] = ()

    @property
    def met(self) -> bool:
        """Whether every figure reached its target."""
        return all(figure.met for figure in self.figures)


def rounded(value: float | None) -> float | None:
    """Four significant digits: more would be noise."""
    return None if value is None else float(f"{value:.4g}")


def json_line(result: Result) -> str:
    """The result as one line of JSON; value, unit and target are the headline figure's, `met` is of all."""
    headline = result.figures[0]
    return json.dumps(
        {
            "name": result.name,
            "value": rounded(headline.value),
            "unit": headline.unit,
            "target": headline.target,
            "met": result.met,
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "machine": machine(),
            "versions": versions(),
            "details": {
                "workload": result.workload,
                "figures": [figure.as_dict() for figure in result.figures],
                "tables": [
                    {"title": table.title, "header": table.header, "rows": table.rows}
                    for table in result.tables
                ],
            }
            | result.details,
        },
        ensure_ascii=False,
    )


def machine() -> dict[str, Any]:
    """Processor, cores that this process may use, memory in GiB, kernel."""
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": found.group(1) if found else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**30, 1),
        "kernel": platform.release(),
    }


def versions() -> dict[str, str]:
    """Of what is measured and what it is measured with."""
    return {
        "python": platform.python_version(),
        "opencv": version("opencv-python-headless"),
        "mxnet": version("mxnet"),
        "numpy": version("numpy"),
        "prep": _commit(),
    }


def _commit() -> str:
    """The commit checked out, with a plus if what is measured differs from it."""
    try:
        commit = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("diff", "--name-only", "HEAD", "--", "prep", "bench/*.py")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit}+" if changed else commit


def _git(*arguments: str) -> str:
    return subprocess.run(  # noqa: S603 - fixed arguments
        ["git", *arguments],  # noqa: S607 - the user's git
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def human(result: Result) -> str:
    """Figures and tables as plain text."""
    tables = [figures_table([result]), *result.tables]
    return "\n\n".join([f"{result.name}: {result.workload}", *map(_plain, tables)])


def figures_table(results: Sequence[Result]) -> Table:
    """All figures of some results."""
    rows = [
        (
            figure.name,
            "not measured" if figure.value is None else f"{rounded(figure.value):g} {figure.unit}".strip(),
            "" if figure.target is None else f"at {figure.bound} {figure.target:g}",
            "" if figure.target is None else ("yes" if figure.met else "no"),
            figure.note,
        )
        for result in results
        for figure in result.figures
    ]
    return Table("Figures", ("figure", "value", "target", "met", "note"), tuple(rows))


def _plain(table: Table) -> str:
    lines = [table.header, *table.rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.header))]
    return "\n".join(
        [
            table.title,
            *(
                "  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
                for line in lines
            ),
        ]
    )


def markdown(table: Table) -> str:
    """A table as Markdown, without its title."""
    lines = [table.header, tuple("---" for _ in table.header), *table.rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
