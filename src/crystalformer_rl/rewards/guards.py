"""What keeps a policy from exploiting a reward: repeats are discounted, sparse hulls abstain."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition

from crystalformer_rl.stability.reference import Placement

# With these statuses a rule of the hull withholds the energy. The crystal is not at fault, so a
# reward abstains. ``no_element_reference`` is not among them: the run knows nothing of such an
# element, and if the reward abstained, a policy could drift there unnoticed.
UNDECIDED = ("sparse", "ytterbium")


def repeat_weight(
    compositions: Sequence[Composition | None], *, repeat_from: int | None
) -> NDArray[np.float64]:
    """Weight of each crystal by how often its reduced composition occurs in the batch.

    The k-th occurrence counts in full up to ``repeat_from`` = r, (2r − k)/r beyond, and not at
    all from 2r on (after MatInvent, which counts over the whole run). All crystals of a
    composition share the mean of these weights: their sum is the same, and the order of a batch
    does not matter.

    Parameters
    ----------
    compositions
        None for a crystal that does not count; its weight is 1.
    repeat_from
        None: all weights are 1.

    Returns
    -------
    array
        (n,) in (0, 1].
    """
    weights = np.ones(len(compositions))
    if repeat_from is None:
        return weights
    rows: dict[str, list[int]] = {}
    for index, composition in enumerate(compositions):
        if composition is not None:
            rows.setdefault(composition.element_composition.reduced_formula, []).append(index)
    for members in rows.values():
        occurrence = np.arange(1, len(members) + 1)
        share = np.clip((2 * repeat_from - occurrence) / repeat_from, 0, 1)
        weights[members] = share.mean()
    return weights


def abstains(placement: Placement, *, min_references: int | None) -> NDArray[np.bool_]:
    """Where the hull knows too little to reward a crystal, as (n,) flags.

    A reward abstains where the status is one of :data:`UNDECIDED`, and where there is an energy
    above hull but the chemical system has no known compound (pure elements among them) or fewer
    than ``min_references`` known compositions. On a hull of elements alone, the energy above hull
    is a formation energy, and RL fine-tuning drifts to chemical systems without known compounds;
    in a published run, more than half of the "metastable and novel" crystals of one chemical
    system were pure elements.

    Parameters
    ----------
    placement
        The crystals on the hull.
    min_references
        None for no minimum.
    """
    few = placement.references < (min_references or 0)
    known = np.isfinite(placement.e_above_hull)
    abstain: NDArray[np.bool_] = known & ((placement.compounds == 0) | few)
    return abstain | np.isin(placement.status, UNDECIDED)
