"""The help: sections, 80 columns, an example of each command that runs; version, completion, first errors."""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from bench.__main__ import cli as bench
from preflight.cli import main as preflight
from prep import __version__
from prep.cli import SECTIONS, cli
from prep.command_line import leaves
from prep.owner.cli import owner
from rehearsal.__main__ import main as rehearsal
from tests.prep.commands import HEED_SIGNALS, REPOSITORY, call, environment, run

PROGRAMS: dict[str, click.Command] = {
    "prep": cli, "prep.owner": owner, "preflight": preflight, "rehearsal": rehearsal, "bench": bench,
}  # fmt: skip
WIDTH = 80
# What the examples take for granted, in the folder where they are run, which is also the home folder.
FILES = ("pets.toml", "pets.zip", "train.tar", "val.tar")
FOLDERS = ("pets", "imagenet", "packed", "work", "kaggle", "archives")


def everything() -> Iterator[tuple[str, click.Command]]:
    """Every command and group of every program, by what the user types."""
    for name, program in PROGRAMS.items():
        yield f"python -m {name}", program
        if isinstance(program, click.Group):
            yield from (
                (f"python -m {name} {inner}", command) for inner, command in groups_and_leaves(program)
            )


def groups_and_leaves(group: click.Group) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        yield name, command
        if isinstance(command, click.Group):
            yield from ((f"{name} {inner}", found) for inner, found in groups_and_leaves(command))


ALL = dict(everything())


def help_of(typed: str, command: click.Command) -> str:
    context = click.Context(command, info_name=typed, terminal_width=WIDTH)
    return command.get_help(context)


def examples(command: click.Command) -> list[str]:
    """The lines below "Example:" in the help."""
    _, _, after = (command.help or "").partition("Example:\n")
    return [line.strip() for line in after.splitlines() if line.strip()]


@pytest.mark.parametrize("typed", ALL)
def test_help_fits_80_columns(typed: str) -> None:
    text = help_of(typed, ALL[typed])
    assert [line for line in text.splitlines() if len(line) > WIDTH] == []
    _, _, lists = text.partition("Options:\n")
    assert "..." not in lists  # no sentence is cut off


@pytest.mark.parametrize("typed", ALL)
def test_first_sentence_and_example(typed: str) -> None:
    """One sentence by itself, then the details, then an example."""
    first, *_ = (ALL[typed].help or "").split("\n\n")
    assert re.fullmatch(r"[A-Z].*\.", first.replace("\n", " ").strip())
    assert examples(ALL[typed]) != []


@pytest.mark.parametrize("example", sorted({line for each in ALL.values() for line in examples(each)}))
def test_examples_are_understood(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is a command line of its program, whose options and values the command accepts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in FILES:
        (tmp_path / name).touch()
    for name in FOLDERS:
        (tmp_path / name).mkdir()
    python, dash_m, module, *words = [str(Path(word).expanduser()) for word in shlex.split(example)]
    assert (python, dash_m) == ("python", "-m")
    command: click.Command = PROGRAMS[module]
    context: click.Context | None = None
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        context = click.Context(command, parent=context, info_name=module)
        command, words = command.commands[words[0]], words[1:]
    if words == ["--help"]:
        return
    command.make_context(module, words, parent=context)  # raises what the user would see


def test_sections() -> None:
    """Every command stands below a heading, in the order of the road; none is lost."""
    text = help_of("python -m prep", cli)
    named = [name for names in SECTIONS.values() for name in names]
    there = dict(leaves(cli))
    assert set(there) <= set(named)
    assert "Other:" not in text
    assert "Commands:" not in text
    places = [text.index(f"\n  {name} ") for name in named if name in there]
    assert places == sorted(places)
    for title, names in SECTIONS.items():
        assert (f"\n{title}:\n" in text) == any(name in there for name in names)


def test_version() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"prep, version {__version__}\n", "")
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)


@pytest.mark.parametrize(
    ("typed", "found"),
    [("ver", ["verify"]), ("pack --res", ["--resize"]), ("dataset ch", ["check"]),
     ("snapshots pr", ["prune"]), ("restore --what pa", ["packed"])],
)  # fmt: skip
def test_completion(typed: str, found: list[str]) -> None:
    words = f"prep {typed}"
    env = {"_PREP_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    done = run(env=env)
    assert [line.partition(",")[2] for line in done.stdout.splitlines()] == found, done


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_for_the_installed_command(shell: str) -> None:
    done = run(env={"_PREP_COMPLETE": f"{shell}_source"})
    assert done.returncode == 0
    assert f"_PREP_COMPLETE={shell}_complete" in done.stdout
    assert "python" not in done.stdout


WRONG = {
    "command": (["pakc"], r"No such command 'pakc'. Did you mean 'pack'\? See python -m prep --help"),
    "option": (["pack", "--reszie", "1"], r"Did you mean '--resize'\? See python -m prep pack --help"),
    "value": (["pack", "--resize", "x"], r"'x' is not .*\. See python -m prep pack --help"),
    "no value": (["pack", "--root"], r"'--root' requires an argument\. See python -m prep pack --help"),
    "argument": (["adopt"], r"Missing argument 'COPY'\. See python -m prep adopt --help"),
    "too many": (["pack", "x"], r"unexpected extra argument.*\. See python -m prep pack --help"),
    "nested": (["dataset", "chekc"], r"'chekc'. Did you mean 'check'\? See python -m prep dataset --help"),
    "owner's": (["copy"], r"Missing option '--to'\. See python -m prep copy --help"),
    "data set": (["status", "--dataset", "ilsvrc2021"], r"did you mean ilsvrc2012\?\): give one of"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG)
def test_wrong_words(arguments: list[str], message: str) -> None:
    done = call(*arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert re.search(message, done.stderr), done.stderr


def test_output_into_a_pipe_that_closes() -> None:
    shell = f"set -o pipefail; {shlex.quote(sys.executable)} -m prep --help | true"
    done = subprocess.run(  # noqa: S603 - our own program
        ["bash", "-c", shell],  # noqa: S607
        cwd=REPOSITORY, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize("program", ["prep", "prep.owner"])
def test_interrupted_while_packages_load(program: str) -> None:
    """Python tells on standard error what it has imported."""
    process = subprocess.Popen(  # noqa: S603 - our own program
        [*HEED_SIGNALS, sys.executable, "-X", "importtime", "-m", program, "--help"],
        cwd=REPOSITORY, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if re.search(r"\bclick\.globals$", line):  # among the first, and long before the last
            process.send_signal(signal.SIGINT)
            break
    out, rest = process.communicate(timeout=30)
    assert (process.returncode, out) == (-signal.SIGINT, "")
    assert "Traceback" not in said + rest
    assert "KeyboardInterrupt" not in said + rest


@pytest.mark.parametrize("program", ["prep", "prep.owner"])
def test_missing_package(program: str) -> None:
    code = (
        f"import sys, runpy; sys.modules['rich'] = None; runpy.run_module('{program}', run_name='__main__')"
    )
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ,
    )
    assert done.returncode == 1
    assert re.fullmatch(r"error: the Python package rich is missing: run `source .*\n", done.stderr)
