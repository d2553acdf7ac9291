"""Watch a run: a screen that is drawn again every few seconds or, in a log, a line when something changed."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime

import click
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from prep.aws.retries import may_pass
from prep.command_line import INTERRUPTED
from prep.errors import AwsError
from prep.reporting import view
from prep.reporting.view import Report

WATCH = click.option(
    "--watch", "watching", is_flag=True, help="Look again and again, until it is done or somebody must act."
)
EVERY = click.option(
    "--every",
    metavar="SECONDS",
    type=click.FloatRange(1, 60),
    default=5,
    show_default=True,
    help="Pause between two looks of --watch.",
)


def watch(
    look: Callable[[], Report],
    console: Console,
    every: float,
    pause: Callable[[float], None] = time.sleep,
) -> int:
    """Look again and again until nothing changes by itself any more; returns the verdict's exit code.

    A network that fails between two looks does not end it.

    Raises:
        PrepError: the first look failed, or a later one was refused.
        click.exceptions.Exit: Ctrl-C, with the code for it.
    """
    looks = _looks(look, every, pause)
    try:
        return _screen(looks, console) if console.is_terminal else _lines(looks)
    except KeyboardInterrupt:
        raise click.exceptions.Exit(INTERRUPTED) from None


def _looks(
    look: Callable[[], Report], every: float, pause: Callable[[float], None]
) -> Iterator[tuple[Report, str]]:
    """The reports up to the last; while AWS does not answer, the one before, with words about that."""
    report, silence = look(), ""
    while True:
        yield report, silence
        if report.verdict.ended:
            return
        pause(every)
        try:
            report, silence = look(), ""
        except AwsError as error:
            if not may_pass(error):
                raise
            silence = silence or f"no answer from AWS since {_now()}"


def _screen(looks: Iterator[tuple[Report, str]], console: Console) -> int:
    with Live(console=console, auto_refresh=False, transient=False, vertical_overflow="crop") as live:
        for report, silence in looks:
            if report.verdict.ended:
                live.transient = True
                live.update(Text(), refresh=True)
                break
            seen = view.screen(report, console.width)
            before = [Text(f"{silence}; asking again. Before that:", "yellow")] if silence else []
            live.update(Group(*before, seen), refresh=True)
    view.show(console, report)  # by itself: its commands are to be copied whole
    return report.verdict.code


def _lines(looks: Iterator[tuple[Report, str]]) -> int:
    last = ""
    for report, silence in looks:
        text = f"{report.dataset}: {silence}; asking again" if silence else view.line(report)
        if text != last:
            last = text
            click.echo(f"{_now()} {text}")
    for step in report.verdict.next:
        click.echo(f"next: {step}")
    return report.verdict.code


def _now() -> str:
    return f"{datetime.now().astimezone():%H:%M:%S}"
