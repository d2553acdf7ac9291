"""Tests, in folders that mirror the repository's."""
