"""Preparation on a Ray cluster: archives and packed files in S3, work in tasks on many machines."""
