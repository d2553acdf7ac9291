"""Commands that are modules of their own; `prep/cli.py` adds them to the command line."""
