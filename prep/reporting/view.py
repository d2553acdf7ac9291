"""The status of a run for a person: a screen of 80 columns, or one line for a log."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from textwrap import wrap
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.filesize import decimal
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from prep import prices
from prep.progress import BAR_FROM, duration, one_line
from prep.reporting import verdict as verdicts
from prep.reporting.costs import Cost
from prep.reporting.document import RUNNING, Document, Task
from prep.reporting.verdict import Instance, Verdict

NAME_WIDTH = 16
BAR_WIDTH = 14
NUMBER_WIDTHS = (4, 15, 10, 12)  # percent, amount, rate, time left
AT_WORK = (verdicts.RUNNING, verdicts.SLOW)
STYLES = {
    verdicts.RUNNING: "green",
    verdicts.DONE: "green",
    verdicts.SLOW: "yellow",
    verdicts.STARTING: "yellow",
    verdicts.RESTARTING: "yellow",
}


@dataclass(frozen=True)
class Report:
    """All that is known of a run. age: of the document, in seconds. stages: a state, or more, for each."""

    dataset: str
    verdict: Verdict
    document: Document | None
    age: float
    cost: Cost | None
    stages: Mapping[str, str] = field(default_factory=dict)
    instance: Instance | None = None
    region: str = ""

    @property
    def live(self) -> bool:
        """Whether the document is of a run at work now, not of one that ended before another command."""
        document = self.document
        return (
            document is not None
            and document.state == RUNNING
            and self.age <= verdicts.DEAD_SECONDS
            and self.verdict.word in AT_WORK
        )

    def to_json(self) -> dict[str, Any]:
        """The result of --json: docs/status.md."""
        return {
            "verdict": self.verdict.word,
            "summary": self.verdict.summary,
            "next": list(self.verdict.next),
            "exit_code": self.verdict.code,
            "age_seconds": round(self.age, 1) if self.document else None,
            "cost": asdict(self.cost) if self.cost else None,
            "instance": asdict(self.instance) if self.instance else None,
            "status": asdict(self.document) if self.document else None,
        }


def show(console: Console, report: Report) -> None:
    """Print the screen. Long commands are left whole, so that they can be copied."""
    console.print(_head(report, console.width))
    for text in _next(report.verdict):
        console.print(Text(text), soft_wrap=True)


def screen(report: Report, width: int) -> RenderableType:
    """The screen: the verdict, bars, facts, and what to do next."""
    following = [line for text in _next(report.verdict) for line in _folded(text, width, 2)]
    return Group(_head(report, width), Text("\n".join(following)))


def _folded(text: str, width: int, indent: int) -> list[str]:
    """Lines of this width; options and names with a hyphen are not cut there."""
    return wrap(text, width, subsequent_indent=" " * indent, break_on_hyphens=False)


def _head(report: Report, width: int) -> RenderableType:
    words, document = report.verdict, report.document
    ago = f"  ({duration(report.age)} ago)" if document and (report.live or words.word not in AT_WORK) else ""
    style = f"bold {STYLES.get(words.word, 'red')}"
    parts: list[RenderableType] = [Text.assemble(f"{one_line(report.dataset)}: ", (words.word, style), ago)]
    if document and document.tasks and report.live:
        parts.append(_bars(document, width))
    lines = [
        line for name, text in _facts(report) for line in _folded(f"{name:<10}{one_line(text)}", width, 10)
    ]
    return Group(*parts, Text("\n".join(lines)))


def _next(words: Verdict) -> list[str]:
    first, *rest = words.next
    return [f"{'next':<10}{one_line(first)}", *(f"  {one_line(line)}" for line in rest)]


def _bars(document: Document, width: int) -> Table:
    """A line for each task. Where there is little room, names become shorter, and there is no bar."""
    barred = width >= BAR_FROM
    taken = sum(column + 1 for column in (*NUMBER_WIDTHS, *([BAR_WIDTH] if barred else [])))
    table = Table.grid(padding=(0, 1))
    table.add_column(width=max(1, min(NAME_WIDTH, width - taken)), overflow="ellipsis", no_wrap=True)
    if barred:
        table.add_column(width=BAR_WIDTH)
    for column in NUMBER_WIDTHS:
        table.add_column(width=column, justify="right", no_wrap=True, overflow="ellipsis")
    for task in document.tasks:
        bar = ProgressBar(total=task.total, completed=task.done, width=BAR_WIDTH, pulse=False)
        table.add_row(
            Text(one_line(task.name)),
            *([bar if task.total else ""] if barred else []),
            _percent(task),
            _amount(task),
            _rate(task),
            _left(task),
        )
    return table


def _percent(task: Task) -> str:
    return f"{100 * task.done // task.total}%" if task.total else ""


def _amount(task: Task) -> str:
    """Such as "37.1/147.9 GB", in the unit of the total."""
    if task.unit == "percent":
        return ""
    if not task.total:
        return _short(task.done)
    number, unit = _short(task.total).split(" ")
    scale = task.total / float(number.replace(",", ""))
    return f"{task.done / scale:.1f}/{number} {unit}"


def _short(size: int) -> str:
    return decimal(size).replace("bytes", "B").replace("byte", "B")


def _rate(task: Task) -> str:
    return "" if task.unit == "percent" or task.rate is None else f"{_short(int(task.rate))}/s"


def _left(task: Task) -> str:
    return "" if task.seconds_left is None else duration(task.seconds_left)


def _facts(report: Report) -> list[tuple[str, str]]:
    document, instance, words = report.document, report.instance, report.verdict
    rows = [("", words.summary)]
    if document:
        if document.waits and report.live:
            waits = sorted(document.waits.items(), key=lambda one: -one[1])
            told = ", ".join(f"{what} {duration(seconds)}" for what, seconds in waits if seconds >= 1)
            rows += [("waited", told)] if told else []
        last = (
            f"; the last at {document.last_retry.at}: {document.last_retry.text}" if document.retries else ""
        )
        rows.append(("retries", f"{document.retries}{last}"))
        if document.last_error.text and document.last_error.text != words.summary:
            rows.append(("error", f"at {document.last_error.at}: {document.last_error.text}"))
    stages = {
        stage: "begun" if state == "at work" and words.word in verdicts.BAD else state
        for stage, state in report.stages.items()
    }
    for number, line in enumerate(_stages(stages)):
        rows.append(("stages" if not number else "", line))
    if report.cost and document:
        rows.append(("cost", _cost(report.cost, document, report.region)))
    if instance:
        checks = f", status checks {instance.checks}" if instance.checks else ""
        since = f" for {duration(instance.up_seconds)}" if instance.state == "running" else ""
        rows.append(("instance", f"{instance.id} {instance.state}{since}{checks}"))
    return rows


def _stages(stages: Mapping[str, str]) -> list[str]:
    """The stages by their states, each state a line; those of which more is known, each a line."""
    by_state: dict[str, list[str]] = {}
    for stage, state in stages.items():
        line = f"{stage}: {state}" if "," in state else state
        by_state.setdefault(line, []).append(stage)
    return [line if ":" in line else f"{line}: {', '.join(names)}" for line, names in by_state.items()]


def _cost(cost: Cost, document: Document, region: str) -> str:
    if cost.usd is None or cost.hour_usd is None:
        return f"not known for {cost.machine}"
    others = "" if document.processes == 1 else f" in {document.processes} processes"
    note = prices.load().note(region or prices.load().region)
    return (
        f"about ${cost.usd:.2f} so far: {cost.hours:.1f} h{others} of {cost.machine} "
        f"(${cost.hour_usd:.2f} an hour; {note})"
    )


def line(report: Report) -> str:
    """One line for a log, without what changes all the time."""
    document, words = report.document, report.verdict
    parts = [f"{report.dataset}: {words.word}: {words.summary}"]
    if document and report.live:
        parts += [f"{task.name} {_percent(task) or decimal(task.done)}" for task in document.tasks]
        parts += [f"{document.retries} retries"] if document.retries else []
    return one_line(", ".join(parts))
