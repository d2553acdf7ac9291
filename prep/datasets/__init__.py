"""What a data set is: its description, its classes, and the descriptions that are shipped (.toml)."""
