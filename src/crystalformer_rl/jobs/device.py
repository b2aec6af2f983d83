"""Where a stage computes."""

import torch


def best_device() -> str:
    """``cuda``, the first GPU that is visible, or ``cpu`` where there is none."""
    return "cuda" if torch.cuda.is_available() else "cpu"
