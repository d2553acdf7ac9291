"""What survives a kill: files that are whole or absent, journals, receipts, and where each lies."""
