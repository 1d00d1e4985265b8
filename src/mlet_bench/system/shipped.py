"""Where the shipped conf/ lies."""

from pathlib import Path


def shipped() -> Path:
    """The shipped conf/: inside an installed package, at the top of a checkout."""
    inside = Path(__file__).parents[1] / "conf"
    return inside if inside.is_dir() else Path(__file__).parents[3] / "conf"
