"""`python -m bench.rigs.sending FOLDER BUCKET PREFIX`: send the files of a folder to S3, as a user would.

boto3 sends large files in parts at the same time; S3 checks the SHA-256 of each part. Prints one line of
JSON: {"seconds": …, "bytes": …}; the seconds are without the start of the interpreter.
"""

import json
import sys
import time
from pathlib import Path

import boto3
from boto3.s3.transfer import TransferConfig

PART_BYTES = 8 << 20  # as prep's backup
CONNECTIONS = 4


def send(folder: Path, bucket: str, prefix: str) -> int:
    """Send all files of a folder; returns their bytes."""
    client = boto3.client("s3")
    config = TransferConfig(
        multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=CONNECTIONS
    )
    files = sorted(path for path in folder.iterdir() if path.is_file())
    for path in files:
        extra = {"ChecksumAlgorithm": "SHA256"}
        client.upload_file(str(path), bucket, prefix + path.name, ExtraArgs=extra, Config=config)
    return sum(path.stat().st_size for path in files)


if __name__ == "__main__":
    begun = time.perf_counter()
    amount = send(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
    print(json.dumps({"seconds": time.perf_counter() - begun, "bytes": amount}))
