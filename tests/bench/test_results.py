"""The figures in docs/measurements.md are those of bench/RESULTS.md; writing them changes nothing else."""

from bench.__main__ import FIGURES, MEASUREMENTS, RESULTS, _with_figures

LINE = {
    "name": "pack",
    "machine": {"cpu": "C", "cores": 2, "memory_gib": 23.5, "kernel": "6"},
    "versions": {"python": "3.11"},
    "details": {
        "figures": [
            {
                "name": "rate \\1",
                "value": 2.5,
                "unit": "times",
                "target": 3.0,
                "bound": "at least",
                "met": False,
            }
        ]
    },
}


def test_figures_go_between_the_marks() -> None:
    document = "before\n<!-- figures -->\nold\n<!-- end of figures -->\nafter\n"
    told = _with_figures(document, [LINE])
    assert told.startswith("before\n<!-- figures -->\n")
    assert told.endswith("\n<!-- end of figures -->\nafter\n")
    assert "| rate \\1 | 2.5 times | at least 3 | no |  |" in told
    assert "old" not in told
    assert _with_figures(told, [LINE]) == told


def test_the_document_shows_what_was_measured() -> None:
    found = FIGURES.search(MEASUREMENTS.read_text())
    assert found
    rows = [line for line in found.group().splitlines() if line.startswith("| ")]
    assert rows
    results = RESULTS.read_text().splitlines()
    assert [row for row in rows if row not in results] == []
