"""What the documents say of the code is so: tests, files, links, and the tables that come from code."""

import ast
import inspect
import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from prep import contract, errors
from prep.command_line import INTERRUPTED
from prep.stages.status import STAGES
from rehearsal.operator.readme import walkthrough
from stacks.settings import Settings

REPOSITORY = Path(__file__).parents[1]
DOCS = REPOSITORY / "docs"
DOCUMENTS = [
    *sorted(REPOSITORY.glob("*.md")),
    *sorted(DOCS.glob("*.md")),
    REPOSITORY / "rehearsal" / "README.md",
    REPOSITORY / "bench" / "RESULTS.md",
]
LONGEST_README = 120
TEST = re.compile(r"\b(tests/[\w/]+\.py)((?:::\w+)+)")
FILE = re.compile(
    r"`((?:prep|stacks|userdata|rehearsal|bench|tests|docs|preflight)/[\w/-]+\.(?:py|sh|toml|txt|md|svg))`"
)
HELD_BY = re.compile(r"`(\w+)`(?: and `(\w+)`)? in `((?:prep|stacks|userdata|rehearsal)/[\w/]+\.(?:py|sh))`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
# A place for a file that somebody adds.
PATTERNS = {"NAME", "ROOM"}


def name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def prose(document: Path) -> str:
    """The text without blocks of code, whose lines are no links and no headings."""
    text = re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"^    .*$", "", text, flags=re.MULTILINE)


def anchors(document: Path) -> set[str]:
    """The anchors of the headings, as GitHub makes them: https://github.com/gjtorikian/html-pipeline"""
    found = set()
    for heading in re.findall(r"^#+ (.*)$", prose(document), re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        found.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
    return found


def names(path: Path) -> set[str]:
    """What a module of tests defines, as pytest names it: "::test_x" and "::TestY::test_z"."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(f"::{node.name}")
        if isinstance(node, ast.ClassDef):
            found |= {f"::{node.name}::{inner.name}" for inner in node.body if hasattr(inner, "name")}
    return found


def rows(document: Path, heading: str = "") -> list[list[str]]:
    """The cells of the tables of a section, or of all, without the heads."""
    text = document.read_text()
    if heading:
        text = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    found: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith("|---"):
            found.pop()  # the head
        elif line.startswith("| "):
            found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_tests_that_are_named_exist(document: Path) -> None:
    named = {(path, name) for path, name in TEST.findall(document.read_text())}
    missing = [
        path + name
        for path, name in sorted(named)
        if not (REPOSITORY / path).is_file() or name not in names(REPOSITORY / path)
    ]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_files_that_are_named_exist(document: Path) -> None:
    missing = [path for path in FILE.findall(document.read_text()) if not (REPOSITORY / path).is_file()]
    assert [path for path in missing if not any(word in path for word in PATTERNS)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_links_lead_somewhere(document: Path) -> None:
    broken = []
    for link in LINK.findall(prose(document)):
        if re.match(r"(https?|mailto):", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = document.parent / path if path else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_document_is_in_the_index() -> None:
    listed = {link for link in LINK.findall((DOCS / "README.md").read_text()) if "/" not in link}
    assert listed == {path.name for path in DOCS.glob("*.md")} - {"README.md"}


def test_no_list_of_the_changelog_is_cut_in_two() -> None:
    assert "\n\n- " not in re.sub(r"(### \w+)\n\n- ", r"\1\n- ", (REPOSITORY / "CHANGELOG.md").read_text())


def test_the_readme_is_short() -> None:
    assert len((REPOSITORY / "README.md").read_text().splitlines()) <= LONGEST_README


def test_each_place_is_held_by_something_that_exists() -> None:
    """And is shown by a test."""
    document = DOCS / "security.md"
    places = document.read_text().partition("## Every place")[2].partition("## Secrets")[0]
    rows = [line for line in places.splitlines() if line.startswith("| ") and "| test |" not in line]
    assert len(rows) > 30
    assert [row for row in rows if not TEST.search(row)] == []
    for row in rows:
        for *holders, path in HELD_BY.findall(row):
            text = (REPOSITORY / path).read_text()
            assert [name for name in holders if name and not re.search(rf"\b{name}\b", text)] == [], row


def test_settings_and_their_defaults() -> None:
    """A default is in backquotes; words say what is taken where the code has none."""
    document = {cells[0].strip("`"): cells[1] for cells in rows(DOCS / "settings.md")}
    code = {field.name: field.default for field in fields(Settings)}
    assert document.keys() == code.keys()
    for setting, default in code.items():
        shown = document[setting]
        if default is None:
            assert shown, setting
            assert not shown.startswith("`"), setting
        else:
            assert shown == f"`{default}`", setting


def test_exit_codes() -> None:
    document = {int(cells[0]) for cells in rows(DOCS / "troubleshooting.md", "Exit codes")}
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    tree = {kind.exit_code for kind in kinds if issubclass(kind, errors.PrepError)}
    assert document == tree | {0, INTERRUPTED}


def test_codes_after_which_the_service_is_not_started_again() -> None:
    unit = (REPOSITORY / "userdata" / "prep.sh").read_text()
    found = re.search(r"^RestartPreventExitStatus=(\d) (\d) (\d)$", unit, re.MULTILINE)
    assert found
    sentence = "except after {}, {} and {}".format(*found.groups())
    assert sentence in " ".join((DOCS / "troubleshooting.md").read_text().split())


def test_stages_in_their_order() -> None:
    assert [cells[0].strip("`") for cells in rows(DOCS / "prep.md", "Stages")] == list(STAGES)


def test_environment_variables() -> None:
    document = {cells[0].strip("`") for cells in rows(DOCS / "prep.md", "Environment variables")}
    code = {getattr(contract, key) for key in dir(contract) if key.startswith("ENV_")}
    assert document == code


def test_the_secret_is_made_in_the_step_that_preflight_names() -> None:
    said = re.search(r"in step (\d) of README.md", (REPOSITORY / "preflight" / "secret.py").read_text())
    assert said
    assert any(
        command.step == int(said[1]) and "create-secret" in command.text
        for command in walkthrough((REPOSITORY / "README.md").read_text())
    )


def test_times_and_costs_of_the_readme_are_those_of_the_plan() -> None:
    readme = (REPOSITORY / "README.md").read_text()
    plan, slower = planned(), planned("--link-mb", "16")
    month, kept = plan["month"], plan["month_if_kept"]
    figures = [
        f"{plan['seconds'] / 3600:.1f} hours if the site delivers {plan['settings']['link_mb']:.0f} MB/s, "
        f"{slower['seconds'] / 3600:.1f} hours at 16 MB/s",
        f"${plan['hour']['running']:.2f} an hour |",
        f"${sum(month.values()):.0f} a month |",
        f"${month['secret']:.2f} a month for the secret",
        f"${plan['training']['hour']['restored volume']:.3f} an hour for its volume",
        f"ends ${plan['hour']['stopped']:.3f} an hour",
        f"up to ${kept['last snapshot of the work volume']:.0f} and ${month['snapshot']:.0f} a month",
    ]
    assert [figure for figure in figures if figure not in readme] == []


def planned(*options: str) -> Any:
    done = subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-m", "prep", "plan", "--json", *options],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)
