"""Independent checks: they share no code with `prep`."""
