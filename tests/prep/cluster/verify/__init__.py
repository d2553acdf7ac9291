"""Verify on a cluster: the receipt is that of one machine, and every kind of damage is found and named.

The packed files are those of one machine, put into S3 and cut into ranges. A real Ray cluster and a real S3
server do the work.
"""
