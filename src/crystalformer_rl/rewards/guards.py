"""What keeps a policy from exploiting a reward: repeats count less, sparse hulls do not count.

Where the hull itself gives no number, see :data:`crystalformer_rl.rewards.energies.UNDECIDED`.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition


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
        None where a crystal takes no part; its weight is 1.
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


def abstains(
    compositions: Sequence[Composition | None],
    references: NDArray[np.int64],
    *,
    min_references: int | None,
) -> NDArray[np.bool_]:
    """Where a hull says too little: pure elements, and systems with no compound or few of them.

    Without this, more than half of one chemical system's "metastable and novel" crystals were
    pure elements in a published run (FACTS §6). And on a hull of elements alone the energy above
    hull is a formation energy: reinforcement moves to where no compound is known.

    Parameters
    ----------
    references
        (n,) distinct compositions that the hull knows in each crystal's chemical system, its
        elements among them.
    min_references
        Abstain below so many; None: whatever their number.
    """
    elements = np.array([0 if c is None else len(c.elements) for c in compositions], dtype=int)
    few = references < (min_references or 0)
    silent: NDArray[np.bool_] = (elements == 1) | (references <= elements) | few
    return silent & (elements > 0)
