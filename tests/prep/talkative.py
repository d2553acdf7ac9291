"""`python -m prep` that writes its status several times a second, so that a test need not wait for it."""

from prep import command_line
from prep.cli import main
from prep.reporting import reporter

EVERY_SECONDS = 0.3

if __name__ == "__main__":
    reporter.EVERY_SECONDS, reporter.LEAST_SECONDS = EVERY_SECONDS, 0.05
    command_line.end(main())
