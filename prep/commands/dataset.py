"""`dataset new` and `dataset check`."""

import json
import re
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from prep import contract, summary
from prep.command_line import Commands
from prep.datasets import description
from prep.datasets.tables import Mistake
from prep.describe.check import check_archives
from prep.describe.new import Wanted, Written, carry_out, check_targets
from prep.describe.plan import Plan, Wishes, decide
from prep.describe.survey import Survey, survey
from prep.errors import DescriptionError, IntegrityError
from prep.options import AS_JSON, NO_PROGRESS
from prep.progress import Progress, one_line

ANY = click.Path(path_type=Path)
FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.group("dataset", cls=Commands)
def dataset_group() -> None:
    """Describe your own data set, and check the description.

    \b
    Example:
      python -m prep dataset new pets.zip --to ~/pets --output pets.toml
      python -m prep dataset check pets.toml --archives ~/pets
    """


@dataset_group.command("new")
@click.argument("files", type=ANY, nargs=-1)
@click.option(
    "--output", type=ANY, required=True, help="Description to write, a .toml file that is not there yet."
)
@click.option("--name", help="Name of the data set.  [default: that of the output file]")
@click.option("--title", help="Title, for people.  [default: the name]")
@click.option(
    "--split",
    "named",
    multiple=True,
    metavar="NAME=FILE",
    help="File of a split, if its name or its folders do not say that; may be repeated.",
)
@click.option("--without", multiple=True, metavar="SPLIT", help="Split to leave out; may be repeated.")
@click.option(
    "--class-folder",
    type=click.IntRange(min=1),
    help="Which folder above an image is its class: 1 is the nearest.  [default: the nearest that varies]",
)
@click.option("--devkit", type=FILE, help="ILSVRC devkit with the classes of images that lie in no folder.")
@click.option(
    "--to", type=FOLDER, help="Folder for the archives; what is no plain tar of one split is converted."
)
@click.option("--url", default="", help="Base URL of the archives, if they are on a site.")
@NO_PROGRESS
@AS_JSON
def new_command(
    files: tuple[Path, ...],
    output: Path,
    name: str | None,
    title: str | None,
    named: tuple[str, ...],
    without: tuple[str, ...],
    class_folder: int | None,
    devkit: Path | None,
    to: Path | None,
    url: str,
    no_progress: bool,
    as_json: bool,
) -> None:
    """Describe a data set from the archives at hand.

    FILES are tar archives, plain or compressed, zip archives, or folders. Finds splits, layout and classes;
    counts the images; computes the MD5. The images of a class lie in a folder, or an inner tar, of its name.

    \b
    Example:
      python -m prep dataset new train.tar val.tar --output pets.toml
      python -m prep dataset new pets.zip --to ~/pets --output pets.toml
    """
    splits = {path.absolute(): split for path, split in map(_named, named)}
    paths = list(dict.fromkeys([*(path.absolute() for path in files), *splits]))
    if not paths:
        raise click.UsageError("no archives: give their paths")
    wanted = _wanted(output, name, title, url, to, devkit)
    wishes = Wishes(splits, class_folder or 0, frozenset(without), devkit, to is not None)
    with Progress(shown=not no_progress) as progress:
        surveys = [survey(path, progress) for path in paths]
    plan = decide(surveys, wishes)
    if plan.open:
        click.echo("\n".join([*_found(surveys, plan), *summary.rows("to decide", plan.open)]), err=True)
        raise DescriptionError(
            "dataset new: not all is clear, and nothing was written: give the options that are named above"
        )
    check_targets(plan, wanted)
    with Progress(shown=not no_progress) as progress:
        written = carry_out(plan, wanted, progress)
    if as_json:
        click.echo(json.dumps(_document(written, plan, surveys), indent=2))
    else:
        click.echo("\n".join([*_found(surveys, plan), *_made(written)]))


def _wanted(
    output: Path, name: str | None, title: str | None, url: str, to: Path | None, devkit: Path | None
) -> Wanted:
    if output.suffix != ".toml":
        raise click.BadParameter(f"{output} does not end in .toml", param_hint="--output")
    name = name or output.stem
    if not re.fullmatch(contract.DATASET_NAME, name):
        raise DescriptionError(
            f"name {name!r}: must be up to 30 lower-case letters, digits and dashes, and not begin with aws "
            "or ssm: give --name"
        )
    return Wanted(output, name, title or name, url, to, devkit.absolute() if devkit else None)


def _named(text: str) -> tuple[Path, str]:
    name, sign, file = text.partition("=")
    if not sign or not re.fullmatch(r"[a-z][a-z0-9_]*", name) or not file:
        raise click.BadParameter(f"{text!r} is not NAME=FILE, such as train=pets.tar", param_hint="--split")
    return Path(file), name


def _found(surveys: list[Survey], plan: Plan) -> list[str]:
    """What is in the inputs, a line for each thing."""
    inputs = [
        f"{one.path.name}: {one.kind}, {one.images:,} images"
        + (f"; other files: {one.others:,} ({', '.join(one.other_names)})" if one.others else "")
        for one in surveys
    ]
    splits = []
    for split in plan.splits:
        layout = f" in {len(split.classes):,} classes, layout {split.layout}" if split.classes else ""
        splits.append(f"{split.name}: {split.images:,} images{layout}")
    return [
        *summary.rows("found", inputs),
        *summary.rows("splits", splits),
        *summary.rows("notes", plan.notes),
    ]


def _made(written: Written) -> list[str]:
    toml, folder = (shlex.quote(str(path)) for path in (written.file, written.folder))
    return [
        *summary.rows("converted", [f"{name}, in {written.folder}" for name in written.converted]),
        *summary.rows("written", [f"{written.file}: {written.classes:,} classes"]),
        *summary.rows(
            "next",
            [
                f"python -m prep dataset check {toml} --archives {folder}",
                f'make rehearse ARGS="--dataset {toml} --archives {folder}"',
                f"python -m prep run --dataset {toml} --source {folder} --root ROOT --packed PACKED",
            ],
        ),
    ]


def _document(written: Written, plan: Plan, surveys: list[Survey]) -> dict[str, Any]:
    return {
        "file": str(written.file),
        "archives": str(written.folder),
        "classes": written.classes,
        "splits": [
            {
                "name": split.name,
                "archive": split.archive.file,
                "layout": split.layout,
                "labels": split.labels,
                "images": split.images,
                "bytes": split.archive.bytes,
                "md5": split.archive.md5,
                "converted": split.archive.file in written.converted,
            }
            for split in written.splits
        ],
        "other_files": sum(one.others for one in surveys),
        "notes": plan.notes,
    }


@dataset_group.command("check")
@click.argument("file", metavar="FILE")
@click.option("--archives", type=FOLDER, help="Also check the archives in this folder.")
@NO_PROGRESS
@AS_JSON
def check_command(file: str, archives: Path | None, no_progress: bool, as_json: bool) -> None:
    """Find every mistake in a description at once.

    FILE is a .toml file, or the name of a description that comes with prep. Each mistake is a line with its
    place and what to do. With --archives, reads all archives: size, MD5, layout, images and classes.

    \b
    Example:
      python -m prep dataset check pets.toml --archives ~/pets
    """
    path = description.find(file)
    described, mistakes = description.read(path)
    kind: type[DescriptionError | IntegrityError] = DescriptionError
    if described is not None and archives is not None:
        if not archives.is_dir():
            raise DescriptionError(f"--archives {archives}: no such folder: check the path")
        kind = IntegrityError
        with Progress(shown=not no_progress) as progress:
            mistakes = check_archives(described, archives, progress).found
    if as_json:
        click.echo(json.dumps(_checked(path, described, mistakes), indent=2))
    else:
        for mistake in mistakes:
            click.echo(one_line(str(mistake)))
    if mistakes:
        number = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        raise kind(f"{path}: {number}: do what is said for each, then check again")
    if described is not None and not as_json:
        images = sum(split.images for split in described.splits)
        held = "; the archives hold that" if archives else ""
        click.echo(f"{path}: no mistakes: {described.classes:,} classes, {images:,} images{held}")


def _checked(
    path: Path, described: description.Description | None, mistakes: list[Mistake]
) -> dict[str, Any]:
    return {
        "file": str(path),
        "valid": not mistakes,
        "mistakes": [asdict(mistake) for mistake in mistakes],
        "name": described.name if described else None,
    }
