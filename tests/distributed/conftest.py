"""The programs that torchrun runs here import TorchRec, which may be absent."""

collect_ignore = ["equal_steps.py"]
