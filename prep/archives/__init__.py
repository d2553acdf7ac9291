"""Archives read once, from front to back: units, passes over them, and the inventory of what they hold."""
