"""The data that measurements work on."""
