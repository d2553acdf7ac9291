"""Downloads, organizes, packs, verifies, backs up and snapshots an image data set.

What a trainer needs of it: `from prep import Batches, Records`.
"""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prep.loading.batches import Batch, Batches
    from prep.records.access import Records, Sample

__all__ = ["Batch", "Batches", "Records", "Sample"]

__version__ = "0.1.0"

# A header can declare far more pixels than the file contains. 200 megapixels take 600 MB when decoded.
MAX_PIXELS = 200_000_000
# OpenCV reads this variable when it is imported, and applies it to every image format.
os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(MAX_PIXELS)
# NumPy and SciPy start these threads when they are imported, but prep multiplies no matrices.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def __getattr__(name: str) -> object:
    """Import the reader when it is asked for: the CDK app imports `prep.contract` without NumPy."""
    if name in __all__:
        from importlib import import_module

        module = "prep.loading.batches" if name.startswith("Batch") else "prep.records.access"
        return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
