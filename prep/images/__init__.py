"""One image file in, the JPEG to pack out."""
