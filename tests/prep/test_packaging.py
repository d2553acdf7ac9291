"""`pip install .` on a training machine: the whole package, and commands that do without boto3 and MXNet."""

import ast
import re
import shutil
import subprocess
import sys
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

import pytest

import prep
from prep.cli import SECTIONS
from tests.prep import pictures
from tests.prep.commands import REPOSITORY, environment
from tests.prep.small_sets import TINY, pack, write_folders

READING = {"export", "feed", "preview"}
# Packages of the extra `prepare`. Where they can't be imported, it is as where they are not installed.
PREPARING = ("boto3", "botocore", "urllib3", "scipy", "mxnet")
WITHOUT = """
import sys
from importlib.abc import MetaPathFinder

class Without(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Without())
sys.path.insert(0, {folder!r})
sys.argv[0] = "prep"
{code}
"""
COMMAND = "from prep.__main__ import start; start()"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what pip installs, without the packages that it needs."""
    folder = tmp_path_factory.mktemp("packaging")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "prep", folder / "source" / "prep", ignore=ignored)
    for name in ("stacks", "tests"):  # as in the repository: neither belongs to the package
        (folder / "source" / name).mkdir()
        (folder / "source" / name / "__init__.py").touch()
    shutil.copy(REPOSITORY / "pyproject.toml", folder / "source")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
    ]
    subprocess.run([*pip, "--target", folder / "installed", folder / "source"], check=True)  # noqa: S603
    return folder / "installed"


@pytest.fixture
def distribution(installed: Path) -> Distribution:
    [path] = installed.glob("dataset_prep-*.dist-info")
    return PathDistribution(path)


def without(
    absent: tuple[str, ...], installed: Path, code: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run code with the installed package where some packages are absent."""
    text = WITHOUT.format(absent=absent, folder=str(installed), code=code)
    return subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-I", "-c", text, *arguments],
        env=environment({"COLUMNS": "80"}), cwd=installed, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_whole_package_and_nothing_else(installed: Path, distribution: Distribution) -> None:
    def files(folder: Path) -> set[str]:
        found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return {str(path.relative_to(folder)) for path in found}

    assert files(installed / "prep") == files(REPOSITORY / "prep")
    top = {path.name for path in installed.iterdir()}
    assert top == {"prep", "bin", f"dataset_prep-{prep.__version__}.dist-info"}
    assert distribution.version == prep.__version__


def test_requirements(distribution: Distribution) -> None:
    """The extra has the pins of the prep instance; what is always installed has none."""
    needed = distribution.requires or []
    text = (REPOSITORY / "prep" / "requirements.txt").read_text()
    pins = {line.split("#")[0].strip() for line in text.splitlines()} - {""}
    extra = {line.split(";")[0].strip() for line in needed if 'extra == "prepare"' in line}
    assert extra == pins
    cluster = [line.split(";")[0].strip() for line in needed if 'extra == "cluster"' in line]
    assert cluster == ["ray==2.60.0"]
    always = [line for line in needed if "extra" not in line]
    assert all(">=" in line for line in always)
    assert {re.split("[<>=]", line)[0] for line in always} == {
        "click", "numpy", "opencv-python-headless", "PyTurboJPEG", "rich",
    }  # fmt: skip


def test_the_command_is_on_the_path(installed: Path) -> None:
    env = environment({"PYTHONPATH": str(installed)})
    done = subprocess.run(  # noqa: S603 - our own program
        [installed / "bin" / "prep", "--version"], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"prep, version {prep.__version__}\n"


def test_help_says_what_is_not_installed(installed: Path) -> None:
    done = without(PREPARING, installed, COMMAND, "--help")
    assert done.returncode == 0, done.stderr
    listed, _, absent = done.stdout.partition("Not installed:\n")
    assert set(re.findall(r"^  (\w+) {2,}", listed, re.MULTILINE)) >= READING
    names, remedy = " ".join(absent.split()).split(": ", 1)
    assert set(names.split(", ")) == {name for of in SECTIONS.values() for name in of} - READING
    assert remedy == "run `pip install '.[prepare]'` in the folder of prep's sources"


@pytest.mark.parametrize("command", sorted(READING))
def test_commands_that_read(installed: Path, command: str) -> None:
    done = without(PREPARING, installed, COMMAND, command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: prep {command} ")


@pytest.mark.parametrize("command", ["pack", "dataset", "launch"])
def test_commands_that_prepare(installed: Path, command: str) -> None:
    done = without(PREPARING, installed, COMMAND, command, "--help")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(
        rf"error: {command}: needs the Python package \w+: run `pip install '.\[prepare\]'` .*\n", done.stderr
    )


def test_a_missing_module_of_prep_is_not_taken_for_a_missing_package(installed: Path) -> None:
    done = without(("prep.aws",), installed, COMMAND, "--help")
    assert (done.returncode, done.stdout) == (1, "")


def test_records_need_only_numpy(installed: Path, tmp_path: Path) -> None:
    pack(write_folders(tmp_path / "set", TINY), tmp_path)
    code = "from prep import Records; print([sample.image for sample in Records(sys.argv[1])])"
    absent = (*PREPARING, "click", "rich", "cv2", "turbojpeg")
    done = without(absent, installed, code, str(tmp_path / "packed"))
    assert done.returncode == 0, done.stderr
    assert sorted(ast.literal_eval(done.stdout)) == sorted(
        pictures.jpeg(20, 20, number) for _ in "ab" for number in range(3)
    )
