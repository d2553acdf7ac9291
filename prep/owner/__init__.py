"""Commands for the account's owner: launch instances, list, share, copy and delete snapshots, remove all.

They work on any machine with AWS credentials. `python -m prep.owner` needs only boto3, click and rich.
"""
