"""Downloads, organizes, packs, verifies, backs up and snapshots an image data set."""
