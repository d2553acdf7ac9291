"""Measurements of `prep`, side by side with the tools that a user would take instead."""
