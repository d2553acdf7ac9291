"""Writes the description of a data set from its archives, and checks one against them."""
