"""`python -m prep`, and the command `prep` of an installed package."""

from typing import NoReturn

from prep.interrupt import importing


def start() -> NoReturn:
    """Run the command line in this process, to its end."""
    with importing():
        from prep import command_line
        from prep.cli import main
    command_line.end(main())


if __name__ == "__main__":
    start()
