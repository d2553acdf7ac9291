"""Send each image to S3 as an object of its own, for programs that read single images from a bucket.

Not the default: the images are in the archives already, and 1.3 million requests cost about $7 and many
hours.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prep import contract
from prep.aws.errors import aws_errors
from prep.datasets.description import Description
from prep.errors import IntegrityError
from prep.progress import Progress
from prep.state.journal import Journal
from prep.state.layout import Layout
from prep.state.names import plain_name
from prep.state.receipts import Receipt

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

STAGE = "loose"
CONNECTIONS = 16  # sending a small object takes about 30 ms, nearly all of it waiting


def send(
    client: "S3Client",
    bucket: str,
    description: Description,
    layout: Layout,
    inputs: dict[str, Any],
    progress: Progress,
) -> Receipt:
    """Upload every organized image to `<data set>/images/<split>/<class>/<file>`, class by class.

    Raises:
        AwsError: S3 refuses or fails; the next run does not send the finished classes again.
        IntegrityError: there are no class folders.
    """
    begun = time.monotonic()
    journal = Journal(layout.journals / "loose.jsonl", inputs | {"bucket": bucket})
    done = {entry["folder"]: entry["images"] for entry in journal.entries}
    folders = [
        (split.name, folder)
        for split in description.splits
        for folder in sorted(layout.images(split.name).glob("*/"))
    ]
    if not folders:
        raise IntegrityError(f"{layout.root}: no class folders: run organize first")
    task = "loose images"
    progress.add(task, None)
    with ThreadPoolExecutor(CONNECTIONS, "loose") as pool:
        for split, folder in folders:
            name = f"{split}/{plain_name(folder.name, str(folder.parent))}"
            if name not in done:
                prefix = f"{contract.images_prefix(description.name)}{name}/"

                def upload(path: Path, prefix: str = prefix) -> int:
                    key = prefix + plain_name(path.name, str(path.parent))
                    data = path.read_bytes()
                    client.put_object(Bucket=bucket, Key=key, Body=data, ChecksumAlgorithm="SHA256")
                    progress.advance(task, len(data))
                    return len(data)

                with aws_errors(f"upload {folder} to s3://{bucket}/{prefix}"):
                    done[name] = len(list(pool.map(upload, sorted(folder.iterdir()))))
                journal.append({"folder": name, "images": done[name]})
    counts = {"images": sum(done.values())}
    return Receipt(STAGE, inputs, {"bucket": bucket}, {}, counts, round(time.monotonic() - begun, 1))
