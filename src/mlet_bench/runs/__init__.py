"""What a run leaves: its folder, its result, sweeps of runs."""
