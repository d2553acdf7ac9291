"""Watch a run: a screen that is drawn again every few seconds or, in a log, a line when something changed."""

import time
from collections.abc import Callable
from datetime import datetime

import click
from rich.console import Console
from rich.live import Live

from prep.command_line import INTERRUPTED
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

    Raises:
        click.exceptions.Exit: Ctrl-C, with the code for it.
    """
    try:
        return _screen(look, console, every, pause) if console.is_terminal else _lines(look, every, pause)
    except KeyboardInterrupt:
        raise click.exceptions.Exit(INTERRUPTED) from None


def _screen(
    look: Callable[[], Report], console: Console, every: float, pause: Callable[[float], None]
) -> int:
    with Live(console=console, auto_refresh=False, transient=False, vertical_overflow="crop") as live:
        while True:
            report = look()
            live.update(view.screen(report, console.width), refresh=True)
            if report.verdict.ended:
                return report.verdict.code
            pause(every)


def _lines(look: Callable[[], Report], every: float, pause: Callable[[float], None]) -> int:
    last = ""
    while True:
        report = look()
        if (text := view.line(report)) != last:
            last = text
            click.echo(f"{datetime.now().astimezone():%H:%M:%S} {text}")
        if report.verdict.ended:
            for step in report.verdict.next:
                click.echo(f"next: {step}")
            return report.verdict.code
        pause(every)
