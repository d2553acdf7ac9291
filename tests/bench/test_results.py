"""A benchmark replaces its own tables in bench/RESULTS.md; docs/measurements.md has the figures of all."""

from bench.__main__ import NAMES
from bench.results import FIGURES, MEASUREMENTS, RESULTS, with_figures, with_section

LINE = {
    "name": "pack",
    "date": "2026-01-01",
    "machine": {"cpu": "C", "cores": 2, "memory_gib": 23.5, "kernel": "6"},
    "versions": {"python": "3.11"},
    "details": {
        "workload": "some images",
        "figures": [
            {
                "name": "rate \\1",
                "value": 2.5,
                "unit": "times",
                "target": 3.0,
                "bound": "at least",
                "met": False,
            }
        ],
        "tables": [{"title": "Rates", "header": ["who"], "rows": [["we"]]}],
        "notes": ["a note"],
    },
}
ROW = "| rate \\1 | 2.5 times | at least 3 | no |  |"


def test_the_tables_of_others_stay() -> None:
    before = RESULTS.read_text()
    after = with_section(before, LINE, NAMES)
    others = before[before.index("## fidelity\n") :]
    assert after.endswith(others)
    assert ROW in after
    assert after.count("## pack\n") == 1
    assert with_section(after, LINE, NAMES) == after


def test_the_first_of_all() -> None:
    after = with_section("", LINE, NAMES)
    assert after.startswith("# Measurements\n\n")
    assert after.endswith("\n\nRates:\n\n| who |\n| --- |\n| we |\n\n- a note\n")


def test_figures_go_between_the_marks() -> None:
    document = "before\n<!-- figures -->\nold\n<!-- end of figures -->\nafter\n"
    told = with_figures(document, with_section("", LINE, NAMES))
    assert told.startswith("before\n<!-- figures -->\n| figure | value |")
    assert told.endswith(f"{ROW}\n<!-- end of figures -->\nafter\n")
    assert "old" not in told
    assert "we" not in told


def test_the_document_shows_what_was_measured() -> None:
    assert FIGURES.search(MEASUREMENTS.read_text())
    assert with_figures(MEASUREMENTS.read_text(), RESULTS.read_text()) == MEASUREMENTS.read_text()
