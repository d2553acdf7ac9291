"""Tests of `prep`, a module for each of its modules."""
