"""Runs a group of commands: help in sections; every expected failure is one line, and an exit code."""

import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from prep.errors import PrepError
from prep.progress import one_line

INTERRUPTED = 130
# The commands that, run again, go on with what an interrupted run has left. The others begin anew.
RESUMED = {
    "run", "download", "organize", "adopt", "pack", "backup", "snapshot", "restore", "export",
    "copy", "destroy",
}  # fmt: skip
SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
EXTRA = "run `pip install '.[prepare]'` in the folder of prep's sources"


class Commands(click.Group):
    """A group whose help lists its commands in sections.

    Args:
        sections: the names of the commands below each heading. "dataset new" is a command of a group. Names
            without a command are left out; commands that have no section follow below "Other".
        missing: a package that is not installed, for which commands are absent.
    """

    def __init__(
        self,
        *arguments: Any,
        sections: Mapping[str, Sequence[str]] | None = None,
        missing: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self.sections = dict(sections or {})
        self.missing = missing

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command; None if there is none of this name.

        Raises:
            PrepError: it needs a package that is not installed.
        """
        found = super().get_command(ctx, cmd_name)
        if found is None and self.missing and cmd_name in {name.partition(" ")[0] for name in self._absent()}:
            raise PrepError(f"{cmd_name}: needs the Python package {self.missing}: {EXTRA}")
        return found

    def _absent(self) -> list[str]:
        """The names in the sections that have no command."""
        names = [name for of in self.sections.values() for name in of]
        return [name for name in names if name.partition(" ")[0] not in self.commands]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """Write the sections."""
        found = dict(leaves(self))
        named = {name for names in self.sections.values() for name in names}
        sections = self.sections | {"Other" if named else "Commands": sorted(found.keys() - named)}
        width = max(map(len, found), default=0)
        for title, names in sections.items():
            rows = [
                (name.ljust(width), found[name].get_short_help_str(formatter.width - width - 6))
                for name in names
                if name in found
            ]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)
        if self.missing:
            with formatter.section("Not installed"):
                formatter.write_text(f"{', '.join(self._absent())}: {EXTRA}")


def leaves(group: click.Group) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with its name below the group, such as "dataset new"."""
    for name, command in group.commands.items():
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield name, command
        if isinstance(command, click.Group):
            yield from ((f"{name} {inner}", found) for inner, found in leaves(command))


def run(commands: click.Group, name: str, script: str = "") -> int:
    """Run the command line and return its exit code. Every expected failure is reported in one line.

    Args:
        commands: the commands.
        name: how the user calls the program, for its help.
        script: name of the program where it is installed as a command of its own. Completion is for it.
    """

    def stop(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)  # systemd stops a service this way
    completion = f"_{script.upper()}_COMPLETE" if script else None
    if script and (Path(sys.argv[0]).name == script or completion in os.environ):
        name = script
    try:
        code = commands.main(standalone_mode=False, prog_name=name, complete_var=completion)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.UsageError as error:
        message = error.format_message()
        end = "" if message.endswith(("?", "?)")) else "." if not message.endswith(".") else ""
        _complain(f"{message}{end} See {_typed(commands, name)[0]} --help")
        return error.exit_code
    except click.ClickException as error:
        _complain(error.format_message())
        return error.exit_code
    except click.Abort:
        resumed = _typed(commands, name)[1].name in RESUMED
        also = "; it continues where it stopped" if resumed else ""
        click.echo(f"interrupted: run the same command again{also}", err=True)
        return INTERRUPTED
    except PrepError as error:
        _complain(str(error))
        return error.exit_code
    except OSError as error:
        options = {param.name for param in _typed(commands, name)[1].params}
        where = f"{error.filename}: " if error.filename else ""
        remedy = "check --root and --packed, and their owner"
        if "root" not in options:
            remedy = "check the path and its owner" if error.filename else "check where the output goes"
        _complain(f"{where}{error.strerror or error}: {remedy}")
        return PrepError.exit_code
    return code if isinstance(code, int) else 0


def _typed(command: click.Command, name: str) -> tuple[str, click.Command]:
    """The command that the user has typed, in words and itself; click's errors do not always know it."""
    for word in sys.argv[1:]:
        if not isinstance(command, click.Group) or word not in command.commands:
            break
        command = command.commands[word]
        name = f"{name} {word}"
    return name, command


def _complain(text: str) -> None:
    """Write one line to standard error, without control characters from servers or archives."""
    click.echo(f"error: {one_line(text)}", err=True)


def end(status: int) -> NoReturn:
    """End the process; after a failure at once, even if other threads are still busy.

    One may wait for a silent server, and Python would wait for it. A kill is safe at any time.
    """
    if status and threading.active_count() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
