"""Every failure ends with what to do about it.

The messages are read from the code: each `raise` of a PrepError, and what the parsers of names and
descriptions say. A message is made of clauses; one after the first must be a remedy, which begins with the
imperative of a verb below, with "must", or with a command in backticks. What click says about an option gets
its remedy, the command's --help, in `prep/command_line.py`.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from prep import errors

REPOSITORY = Path(__file__).parents[2]
# What the whole tree of errors is called where it is raised, and the functions that make one of them.
NAMES = {name for name, kind in vars(errors).items() if isinstance(kind, type)} | {"SourceChangedError"}
VERBS = (
    "add|allow|check|compare|copy|correct|create|decompress|deploy|do|don't|download|end|get|give|grow|install|leave|log|"
    "make|move|name|open|put|remove|run|set|unpack|update|use|wait|write"
)
REMEDY = re.compile(rf"(?:(?:or|then|so|and|it) )*(?:(?:{VERBS})\b|must\b|`)")
# Their text ends with what another function has written, which has the remedy.
PASSED_ON = {
    ("prep/aws/errors.py", "{}: {}"),  # _reason: in all cases
    ("prep/datasets/description.py", "data set description {}: {}{}"),  # a Mistake has one, by its type
    ("prep/describe/new.py", "the description would be wrong: {}"),  # the same
    ("prep/owner/cli.py", "{}"),  # launch.shortfall
    ("prep/owner/cluster.py", "{}"),  # what EC2 said in each zone
    (
        "prep/sources/http.py",
        "{}: stopped because another range failed",
    ),  # the other range's error is reported
}


def text(node: ast.expr, constants: Mapping[str, str]) -> str:
    """The template of a message, with {} for each value."""
    match node:
        case ast.Constant():
            return str(node.value)
        case ast.JoinedStr():
            return "".join(text(part, constants) for part in node.values)
        case ast.BinOp(left=left, right=right):
            return text(left, constants) + text(right, constants)
        case ast.FormattedValue(value=ast.Name(id=name)):
            return constants.get(name, "{}")
    return "{}"


def constants_of(module: ast.Module) -> dict[str, str]:
    """Names that stand for a text in all of a module; also those of prep that it imports."""
    found = {}
    for node in module.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(value))):
                found[name] = value
            case ast.ImportFrom(module=str(source)) if source.startswith("prep."):
                path = REPOSITORY / f"{source.replace('.', '/')}.py"
                if any(each.name.isupper() for each in node.names) and path.is_file():
                    found |= constants_of(ast.parse(path.read_text()))
    return found


def messages() -> Iterator[tuple[str, int, str]]:
    """File, line and template of each error."""
    for path in sorted((REPOSITORY / "prep").rglob("*.py")):
        module = ast.parse(path.read_text())
        constants = constants_of(module)
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and node.args and ast.unparse(node.func).split(".")[-1] in NAMES:
                yield str(path.relative_to(REPOSITORY)), node.lineno, text(node.args[0], constants)


def has_remedy(message: str) -> bool:
    _, *clauses = re.split(r"[:;,] ", message)
    return any(REMEDY.match(clause) for clause in clauses)


def test_every_error_says_what_to_do() -> None:
    found = list(messages())
    assert len(found) > 150
    lacking = [
        f"{path}:{line}: {message}"
        for path, line, message in found
        if (path, message) not in PASSED_ON and not has_remedy(message)
    ]
    assert lacking == []
    assert {(path, message) for path, _, message in found} >= PASSED_ON, "no exception any more"


@pytest.mark.parametrize(
    ("message", "has"),
    [
        ("archive {}: incomplete: download it again", True),
        ("copy: snapshot {} is {}: wait until it is complete", True),
        ("{}: MXNet can't decode record {} ({})", False),
        ("run: failed", False),  # the operation is no remedy
        ("{}: running out of {}", False),
    ],
)
def test_what_counts_as_a_remedy(message: str, has: bool) -> None:
    assert has_remedy(message) == has
