"""The commands of `python -m prep`, a module for each."""
