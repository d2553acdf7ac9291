"""Packed images in the forms that other loaders read."""
