"""The arithmetic in docs/plan.md is right, and the plan says the same."""

import ast
import operator
from collections.abc import Callable
from pathlib import Path

import pytest

from prep import prices
from prep.datasets import description
from prep.plan.plan import Plan, make
from prep.plan.wish import Wish

DOCUMENT = Path(__file__).parents[3] / "docs" / "plan.md"
OPERATIONS: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


def calculate(node: ast.expr) -> float:
    """The value of arithmetic on numbers."""
    if isinstance(node, ast.BinOp):
        return OPERATIONS[type(node.op)](calculate(node.left), calculate(node.right))
    assert isinstance(node, ast.Constant)
    return float(node.value)  # type: ignore[arg-type]


def rows() -> list[tuple[str, str, str]]:
    section = DOCUMENT.read_text().partition("## By hand")[2].partition("\n## ")[0]
    cells = [tuple(cell.strip() for cell in line.split("|")[1:-1]) for line in section.splitlines()]
    return [(row[0], row[1], row[2]) for row in cells if len(row) == 3][2:]


@pytest.mark.parametrize(
    ("arithmetic", "result"), [row[1:] for row in rows()], ids=[row[0] for row in rows()]
)
def test_arithmetic(arithmetic: str, result: str) -> None:
    last = 10 ** -len(result.partition(".")[2])
    # A result that goes on from rounded ones may be off by two of the last digit.
    assert calculate(ast.parse(arithmetic, mode="eval").body) == pytest.approx(float(result), abs=2 * last)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make(Wish(), description.load("ilsvrc2012"), prices.shipped())


def test_plan_says_the_same(plan: Plan) -> None:
    by_hand = {what: float(result) for what, _, result in rows()}
    arriving, tail = plan.run.arriving, plan.run.tail
    jobs = {(part.name, demand.job): demand for part in (arriving, tail) for demand in part.demands}
    first, second = arriving.name, tail.name
    assert plan.cpu_credits
    assert plan.interface
    credit = plan.wish.work.volume().flow.credit
    assert plan.volume_credit is not None
    puts = plan.sizes.archive_parts + plan.sizes.packed_parts + 20
    calculated = {
        "bytes of the archives": plan.sizes.archives,
        "bytes of the images' archives": plan.sizes.loose,
        "packed bytes": plan.sizes.packed,
        "download, s": jobs[first, "download"].seconds,
        "work volume, s": jobs[first, "organize, archives"].seconds,
        "dealing, s": jobs[first, "pack, dealing"].seconds,
        "cores while arriving, s": jobs[first, "processing"].seconds,
        "archives arriving, s": arriving.seconds,
        "merge and verify at the dataset volume, s": jobs[second, "merge, verify"].seconds,
        "cores in merge and verify, s": jobs[second, "processing"].seconds,
        "merge and verify, s": tail.seconds,
        "the whole, s": plan.seconds,
        "burst credit of the work volume, MiB": credit / 2**20,
        "burst credit used, MiB": (1 - plan.volume_credit) * credit / 2**20,
        "CPU credits used": plan.cpu_credits.used,
        "CPU credits earned": plan.cpu_credits.earned,
        "an hour, $": plan.machine_hour,
        "PUT requests": puts,
        "the whole, $": plan.dollars,
        "snapshot a month, $": plan.month["snapshot"],
        "backup a month, $": plan.month["backup in S3"],
        "last snapshot of the work volume a month, $": plan.month_if_kept["last snapshot of the work volume"],
        "interface, Gbit/s out": plan.interface.sent * 8 / 1e9,
    }
    assert set(by_hand) - set(calculated) == {"requests at the work volume", "last unit, s"}
    assert calculated == {name: pytest.approx(by_hand[name], rel=1e-3) for name in calculated}
