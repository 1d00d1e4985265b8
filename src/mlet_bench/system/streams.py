"""What the system says and writes, in its own words and letters."""

import errno
import io
import sys
from contextlib import suppress

NO_PATH = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP)
"""A path that was given cannot be one, or is none of the kind that is needed."""
OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")
"""What PyTorch's allocators say."""


def write_whatever() -> None:
    """What a terminal's encoding lacks must not end a run."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with suppress(OSError):  # a pipe that once was a file
                stream.reconfigure(errors="replace")
