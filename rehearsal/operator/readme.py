"""The commands of the README's walk-through, in order, as its reader would copy them."""

import re
from dataclasses import dataclass

SECTION = "## On a real account"
STEP = re.compile(r"\*\*(\d+)\. ")
FENCE = "```"
CONTINUED = ("\\", "|")


@dataclass(frozen=True)
class Command:
    """A command of a shell, or a program in Python."""

    step: int
    language: str  # "sh" or "python"
    text: str


def walkthrough(readme: str) -> list[Command]:
    """The commands of the section, without comments. A block of Python is one command."""
    found: list[Command] = []
    step, language, lines = 0, "", list[str]()
    for line in readme.partition(f"{SECTION}\n")[2].partition("\n## ")[0].splitlines():
        if language and line == FENCE:
            if language == "python":
                found.append(Command(step, language, "\n".join(lines)))
            language, lines = "", []
        elif language == "python":
            lines.append(line)
        elif language:
            lines.append(re.sub(r" +# .*", "", line))
            if not lines[-1].endswith(CONTINUED):
                found.append(Command(step, language, "\n".join(lines)))
                lines = []
        elif line.startswith(FENCE):
            language = line.removeprefix(FENCE)
        elif match := STEP.match(line):
            step = int(match[1])
    return found
