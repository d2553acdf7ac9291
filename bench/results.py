"""The documents that have what was measured.

A benchmark that is run replaces its section of bench/RESULTS.md, and leaves those of the others. The figures
in docs/measurements.md are the first tables of all sections.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from bench import report
from bench.report import Figure, Result, Table

RESULTS = report.REPOSITORY / "bench" / "RESULTS.md"
MEASUREMENTS = report.REPOSITORY / "docs" / "measurements.md"
HEAD = (
    "# Measurements\n\n"
    "Written by `make bench`; `python -m bench NAME --help` says what else each can be run on. The peer "
    "is im2rec.py as the mxnet wheel ships it.\n\n"
)
SECTION = re.compile(r"^## ", re.MULTILINE)
FIGURES = re.compile(r"(?<=<!-- figures -->\n).*(?=<!-- end of figures -->)", re.DOTALL)


def with_section(document: str, line: Mapping[str, Any], names: Sequence[str]) -> str:
    """The tables with those of a benchmark, of which `line` is the JSON; `names` are all, in order."""
    sections = _sections(document) | {line["name"]: _section(line)}
    return HEAD + "\n\n".join(sections[name] for name in names if name in sections) + "\n"


def with_figures(document: str, tables: str) -> str:
    """The document with the figures of all tables between its two marks."""
    found = [_first_table(section) for section in _sections(tables).values()]
    rows = [*found[0][:2], *(row for table in found for row in table[2:])]
    return FIGURES.sub(lambda _: "\n".join([*rows, ""]), document)


def _sections(document: str) -> dict[str, str]:
    _, *sections = SECTION.split(document)
    return {section.partition("\n")[0]: f"## {section.rstrip()}" for section in sections}


def _first_table(section: str) -> list[str]:
    _, bar, rest = section.partition("\n| ")
    return (bar + rest).strip().partition("\n\n")[0].splitlines()


def _section(line: Mapping[str, Any]) -> str:
    details = line["details"]
    parts = [f"## {line['name']}", details["workload"][:1].upper() + details["workload"][1:] + "."]
    parts.append(_where(line))
    parts.append(report.markdown(report.figures_table([_told(line)])))
    for table in details["tables"]:
        rows = tuple(tuple(row) for row in table["rows"])
        parts += [
            f"{table['title']}:",
            report.markdown(Table(table["title"], tuple(table["header"]), rows)),
        ]
    parts += [f"- {note}" for note in details.get("notes", ())]
    return "\n\n".join(parts)


def _where(line: Mapping[str, Any]) -> str:
    """Day, machine and versions of a measurement."""
    machine, versions = line["machine"], line["versions"]
    return (
        f"{line['date']}, {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB, Linux {machine['kernel']}; "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + "."
    )


def _told(line: Mapping[str, Any]) -> Result:
    """The figures of a benchmark's line of JSON."""
    figures = tuple(
        Figure(
            figure["name"],
            figure["value"],
            figure["unit"],
            figure.get("target"),
            "most" if figure.get("bound", "").endswith("most") else "least",
            figure.get("note", ""),
        )
        for figure in line["details"]["figures"]
    )
    return Result(line["name"], "", figures)
