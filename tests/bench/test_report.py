"""What the benchmarks say of what they found."""

import json

import pytest

from bench.report import Figure, Result, figures_table, json_line, markdown


def test_a_figure_meets_a_target_from_the_right_side() -> None:
    assert Figure("rate", 3.0, "times", 3.0).met
    assert not Figure("rate", 2.9, "times", 3.0).met
    assert Figure("bytes", 3.1, "per byte", 3.1, "most").met
    assert not Figure("bytes", 3.2, "per byte", 3.1, "most").met
    assert Figure("for show", 1.0, "").met


def test_what_was_not_measured_has_not_met_its_target() -> None:
    figure = Figure("rate", None, "times", 3.0, note="no disk")
    assert not figure.met
    assert figures_table([Result("x", "", (figure,))]).rows == (
        ("rate", "not measured", "at least 3", "no", "no disk"),
    )


def test_the_line_has_the_headline_and_is_met_only_if_all_are() -> None:
    figures = (Figure("one", 5.0, "times", 3.0), Figure("two", 1.0, "times", 2.0))
    line = json_line(Result("both", "some images", figures, {"notes": ["slow disk"]}))
    assert "\n" not in line
    told = json.loads(line)
    assert (told["name"], told["value"], told["unit"], told["target"]) == ("both", 5.0, "times", 3.0)
    assert told["met"] is False
    assert set(told["machine"]) == {"cpu", "cores", "memory_gib", "kernel"}
    assert set(told["versions"]) == {"python", "opencv", "mxnet", "numpy", "prep"}
    assert told["details"]["notes"] == ["slow disk"]
    assert [figure["met"] for figure in told["details"]["figures"]] == [True, False]


@pytest.mark.parametrize(("value", "shown"), [(0.123456, "0.1235 s"), (12345.6, "12350 s"), (0.0, "0 s")])
def test_figures_have_no_more_digits_than_they_mean(value: float, shown: str) -> None:
    """To be read; what is kept is the value itself, or rounding could miss a target that was met."""
    figure = Figure("x", value, "s")
    assert figures_table([Result("x", "", (figure,))]).rows[0][1] == shown
    assert figure.as_dict()["value"] == value


def test_markdown_keeps_its_columns() -> None:
    table = figures_table([Result("x", "", (Figure("a|b", 1.0, "s"),))])
    lines = markdown(table).splitlines()
    assert lines[1] == "| --- | --- | --- | --- | --- |"
    assert "a\\|b" in lines[2]
