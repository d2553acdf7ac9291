"""Calls that an instance must not be able to make, role by role: the table of docs/least-privilege.md."""
