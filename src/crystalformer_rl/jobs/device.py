"""The device of a stage."""

import torch


def best_device() -> str:
    """``cuda`` (the first visible GPU) or, without a GPU, ``cpu``."""
    return "cuda" if torch.cuda.is_available() else "cpu"
