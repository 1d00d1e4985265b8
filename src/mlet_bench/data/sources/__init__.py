"""Raw formats, one a file."""
