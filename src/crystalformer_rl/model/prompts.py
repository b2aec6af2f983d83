"""Space groups as prompts: a policy is told the group, and draws the crystal."""

import logging
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from crystalformer_rl.crystal import wyckoff
from crystalformer_rl.model.constraints import Constraints
from crystalformer_rl.model.folder import WITHOUT_HISTOGRAM

log = logging.getLogger(__name__)


def draw_space_groups(prompts: NDArray[np.float64], count: int, *, seed: int) -> NDArray[np.int64]:
    """(count,) space groups drawn with the probabilities ``prompts`` (231,)."""
    generator = np.random.default_rng(seed)
    return generator.choice(len(prompts), size=count, p=prompts)


def prompt_probabilities(
    histogram: NDArray[np.int64],
    space_groups: Sequence[int] | None,
    weights: Literal["training", "uniform"],
    *,
    constraints: Constraints | None = None,
) -> NDArray[np.float64]:
    """(231,) probability of each space group as a prompt; index 0 is unused.

    Groups that cannot obey the constraints are left out where none is named, and refused where one
    is: whatever is drawn then, by whichever shard or step, can obey.

    Parameters
    ----------
    histogram
        (231,) training crystals per space group.
    space_groups
        The only ones to draw, None for all 230.
    weights
        ``training``: as often as in the histogram, or each alike if it has none of those named;
        ``uniform``: each alike.
    constraints
        What the crystals obey, None for anything.

    Raises
    ------
    ValueError
        If the weights are those of training, no group is named and the histogram is empty; if a
        group that is named cannot obey, or none of those that would be drawn.
    """
    if constraints is not None and space_groups is not None:
        constraints.check(space_groups)
    named = np.zeros(wyckoff.NUM_GROUPS + 1)
    named[list(range(1, len(named)) if space_groups is None else space_groups)] = 1.0
    counts = named * histogram if weights == "training" else named
    if not counts.any():
        if space_groups is None:
            raise ValueError(f"the policy has no histogram of space groups: {WITHOUT_HISTOGRAM}")
        counts = named
    if constraints is not None and space_groups is None:
        counts = _obeying(counts, constraints)
    return np.asarray(counts / counts.sum())


def _obeying(counts: NDArray[np.float64], constraints: Constraints) -> NDArray[np.float64]:
    """The counts (231,) without those of the groups that cannot obey."""
    asked = np.flatnonzero(counts).tolist()
    problems = {group: constraints.problem(group) for group in asked}
    obeying = [group for group, problem in problems.items() if problem is None]
    if not obeying:
        raise ValueError(
            f"none of the {len(asked)} space groups to draw can obey, such as: {problems[asked[0]]}"
        )
    if len(obeying) == len(asked):
        return counts
    kept = np.zeros_like(counts)
    kept[obeying] = counts[obeying]
    log.info(
        "%d of %d space groups cannot obey the constraints and are not drawn; the other %d have "
        "%.1f %% of the probability, and now all of it",
        *(len(asked) - len(obeying), len(asked), len(obeying), 100 * kept.sum() / counts.sum()),
    )
    return kept
