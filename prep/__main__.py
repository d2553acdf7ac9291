"""`python -m prep`."""

from prep import command_line
from prep.cli import main

command_line.end(main())
