"""The machine: files, locks, signals, hardware, random streams."""
