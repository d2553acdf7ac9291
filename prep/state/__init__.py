"""State on disk that survives a kill: atomic files, journals, receipts, and the paths of all files."""
