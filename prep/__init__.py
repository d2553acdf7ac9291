"""Downloads, organizes, packs, verifies, backs up and snapshots an image data set."""

import os

# A header can declare far more pixels than its file holds: 200 megapixels are 600 MB once decoded.
MAX_PIXELS = 200_000_000
# OpenCV reads this when it is loaded, for every kind of image.
os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(MAX_PIXELS)
# NumPy and SciPy start these threads as they are loaded, and nothing here multiplies matrices.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
