"""Images: turn an image file from an archive into the JPEG file to pack."""
