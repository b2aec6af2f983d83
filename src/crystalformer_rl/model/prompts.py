"""Space groups as prompts: a policy is told the group, and draws the crystal."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from crystalformer_rl.crystal import wyckoff


def draw_space_groups(prompts: NDArray[np.float64], count: int, *, seed: int) -> NDArray[np.int64]:
    """(count,) space groups drawn with the probabilities ``prompts`` (231,)."""
    generator = np.random.default_rng(seed)
    return generator.choice(len(prompts), size=count, p=prompts)


def prompt_probabilities(
    histogram: NDArray[np.int64],
    space_groups: Sequence[int] | None,
    weights: Literal["training", "uniform"],
) -> NDArray[np.float64]:
    """(231,) probability of each space group as a prompt; index 0 is unused.

    Parameters
    ----------
    histogram
        (231,) training crystals per space group.
    space_groups
        The only ones to draw, None for all 230.
    weights
        ``training``: as often as in the histogram, or each alike if it has none of those named;
        ``uniform``: each alike.

    Raises
    ------
    ValueError
        If the weights are those of training, no group is named and the histogram is empty.
    """
    named = np.zeros(wyckoff.NUM_GROUPS + 1)
    named[list(range(1, len(named)) if space_groups is None else space_groups)] = 1.0
    counts = named * histogram if weights == "training" else named
    if not counts.any():
        if space_groups is None:
            raise ValueError(
                "the policy has no histogram of space groups: name space_groups, or set "
                "space_group_weights to uniform"
            )
        counts = named
    return np.asarray(counts / counts.sum())
