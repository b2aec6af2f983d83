"""Space groups as prompts: a policy is told the group, and draws the crystal."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def draw_space_groups(prompts: NDArray[np.float64], count: int, *, seed: int) -> NDArray[np.int64]:
    """(count,) space groups drawn with the probabilities ``prompts`` (231,)."""
    generator = np.random.default_rng(seed)
    return generator.choice(len(prompts), size=count, p=prompts)


def prompt_probabilities(
    histogram: NDArray[np.int64], space_groups: Sequence[int] | None
) -> NDArray[np.float64]:
    """(231,) probability of each space group as a prompt.

    The training ``histogram`` (231 counts), or that of the named ``space_groups`` only; if none
    of those occurs in the histogram, each of them is equally probable.

    Raises
    ------
    ValueError
        If no group is named and the histogram is empty.
    """
    counts: NDArray[np.float64] = np.asarray(histogram, dtype=np.float64)
    if space_groups is not None:
        named = np.zeros(len(counts))
        named[list(space_groups)] = 1.0
        counts = counts * named if (counts * named).any() else named
    if not counts.any():
        raise ValueError("the policy has no histogram of space groups: name space_groups")
    return np.asarray(counts / counts.sum())
