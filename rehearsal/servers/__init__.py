"""Servers that stand in for the outside: the archive site, and S3 for benchmarks and fault tests."""
