"""The embedded AWS: moto's server, and what it lacks."""
