"""Runs read back and compared."""
