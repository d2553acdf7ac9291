"""Downloads, organizes, packs, verifies, backs up and snapshots an image data set."""

import os

__version__ = "0.1.0"

# A header can declare far more pixels than the file contains. 200 megapixels take 600 MB when decoded.
MAX_PIXELS = 200_000_000
# OpenCV reads this variable when it is imported, and applies it to every image format.
os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(MAX_PIXELS)
# NumPy and SciPy start these threads when they are imported, but prep multiplies no matrices.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
