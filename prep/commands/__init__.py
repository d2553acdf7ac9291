"""Commands of `python -m prep`, a module for each."""
