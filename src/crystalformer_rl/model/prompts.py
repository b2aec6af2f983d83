"""Space groups as prompts: the policy receives the group and samples the crystal."""

import logging
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from crystalformer_rl.crystal import wyckoff
from crystalformer_rl.model.constraints import Constraints
from crystalformer_rl.model.folder import WITHOUT_HISTOGRAM

log = logging.getLogger(__name__)


def sample_space_groups(
    prompts: NDArray[np.float64], count: int, *, seed: int
) -> NDArray[np.int64]:
    """(count,) space groups sampled with the probabilities ``prompts`` (231,)."""
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

    Groups in which no crystal can satisfy the constraints are left out if ``space_groups`` is None,
    and refused if they are named. Every sampled group can then satisfy the constraints.

    Parameters
    ----------
    histogram
        (231,) training crystals per space group.
    space_groups
        The only groups to sample; None for all 230.
    weights
        ``training``: in proportion to the histogram, or with equal probability if it has none of
        the named groups; ``uniform``: with equal probability.
    constraints
        Constraints on the crystals; None for no constraints.

    Raises
    ------
    ValueError
        If ``weights`` is ``training``, no group is named and the histogram is empty; if a named
        group, or every group that would be sampled, cannot satisfy the constraints.
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
        counts = _satisfying(counts, constraints)
    return np.asarray(counts / counts.sum())


def _satisfying(counts: NDArray[np.float64], constraints: Constraints) -> NDArray[np.float64]:
    """The counts (231,), with 0 for the groups that cannot satisfy the constraints."""
    asked = np.flatnonzero(counts).tolist()
    problems = {group: constraints.problem(group) for group in asked}
    possible = [group for group, problem in problems.items() if problem is None]
    if not possible:
        raise ValueError(
            f"none of the {len(asked)} space groups can satisfy the constraints; for example: "
            f"{problems[asked[0]]}"
        )
    if len(possible) == len(asked):
        return counts
    kept = np.zeros_like(counts)
    kept[possible] = counts[possible]
    log.info(
        "%d of %d space groups cannot satisfy the constraints and are not sampled; the other %d "
        "had %.1f %% of the probability, which is renormalised to 100 %%",
        *(len(asked) - len(possible), len(asked), len(possible), 100 * kept.sum() / counts.sum()),
    )
    return kept
