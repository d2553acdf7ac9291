"""Data sets: their descriptions, their classes, and the descriptions that come with prep (.toml)."""
