"""The house keeps its rules: imports run downwards, modules and functions stay small."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGES = ("prep", "stacks", "preflight", "rehearsal", "bench")
LONGEST_MODULE = 400
LONGEST_FUNCTION = 60
LONG_FUNCTIONS: dict[str, str] = {}  # "path:function" and the reason


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(  # noqa: S603 - our own
        [str(program), "--no-cache"], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The packages and the rules, to be broken."""
    for package in PACKAGES:
        shutil.copytree(
            REPOSITORY / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    return tmp_path


def test_rules_hold(copy: Path) -> None:
    done = lint_imports(copy)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("prep/state/files.py", "from prep.archives import units"),  # upwards
        ("prep/aws/errors.py", "from prep.records import recordio"),  # from one room to its neighbour
        ("prep/stages/pack.py", "from prep.stages import verify"),  # from stage to stage
        ("prep/errors.py", "import stacks.settings"),  # out of the package
        ("stacks/machines.py", "from prep.state import layout"),  # more of prep than contract and ebs
        ("bench/report.py", "from preflight import cli"),  # of what stands above all
        ("preflight/image.py", "import prep.job"),  # more of prep than its sources
        ("preflight/usage.py", "from preflight import quotas"),
        ("rehearsal/checks/records.py", "from prep.records import recordio"),  # the judge and the judged
        ("rehearsal/instance/machine.py", "from rehearsal.cloud import gate"),
        ("bench/workloads/tiny.py", "from bench.rigs import disks"),
    ],
)
def test_forbidden_import_is_found(copy: Path, module: str, line: str) -> None:
    path = copy / module
    path.write_text(f"{path.read_text()}\n{line}\n")
    done = lint_imports(copy)
    assert done.returncode == 1
    assert "BROKEN" in done.stdout
    assert module.removesuffix(".py").replace("/", ".") in done.stdout


def modules() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((REPOSITORY / package).rglob("*.py"))]


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Every function with its number of lines."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or 0) - node.lineno + 1


def test_modules_are_small() -> None:
    sizes = {path: len(path.read_text().splitlines()) for path in modules()}
    assert {str(path): size for path, size in sizes.items() if size > LONGEST_MODULE} == {}


def test_functions_are_small() -> None:
    found = {
        f"{path.relative_to(REPOSITORY)}:{name}": size
        for path in modules()
        for name, size in functions(path)
        if size > LONGEST_FUNCTION
    }
    assert {name: size for name, size in found.items() if name not in LONG_FUNCTIONS} == {}
    assert set(LONG_FUNCTIONS) <= set(found), "an exception that is none any more"
