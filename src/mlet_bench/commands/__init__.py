"""A command a file; each reads as its stages."""
