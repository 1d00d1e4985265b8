"""Whether TorchRec is here, in the version that goes with this PyTorch.

As a program it prints the versions of FBGEMM and TorchRec that go with it, for `make setup-torchrec`.
"""

import sys
from importlib.metadata import PackageNotFoundError, version

import torch

from mlet_bench.errors import UserError, listing

FITTING = {"2.11": ("1.6.0", "1.6.1"), "2.12": ("1.7.0", "1.7.0"), "2.13": ("1.8.0", "1.8.0")}
"""By PyTorch: the versions of FBGEMM and TorchRec that are built for it. Others may load, and fail later."""
INSTALL = "`make setup-torchrec` installs it (docs/scale.md)"


def fitting() -> tuple[str, str]:
    """The versions of FBGEMM and TorchRec for this PyTorch; UserError where none are known."""
    if _release() not in FITTING:
        raise UserError(
            f"hardware=torchrec: no TorchRec is known for PyTorch {_release()}; allowed: {listing(FITTING)}"
        )
    return FITTING[_release()]


def check() -> None:
    """UserError in one line where they are missing or not those that fit."""
    fbgemm, torchrec = fitting()
    found = {"torchrec": _version("torchrec"), "fbgemm": _version("fbgemm-gpu") or _version("fbgemm-gpu-cpu")}
    if None in found.values():
        missing = next(name for name, version in found.items() if version is None)
        raise UserError(f"hardware=torchrec: {missing} is not installed; {INSTALL}")
    if found != {"torchrec": torchrec, "fbgemm": fbgemm}:
        raise UserError(
            f"hardware=torchrec: PyTorch {_release()} needs torchrec {torchrec} and fbgemm-gpu {fbgemm}, and here are "
            f"{found['torchrec']} and {found['fbgemm']}; {INSTALL}"
        )


def _release() -> str:
    return ".".join(torch.__version__.split("+")[0].split(".")[:2])


def _version(name: str) -> str | None:
    try:
        return version(name).split("+")[0]
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    try:
        print(*fitting())
    except UserError as error:
        sys.exit(str(error))
