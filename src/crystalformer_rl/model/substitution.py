"""Element substitution on given sites, subject to allowed and required elements."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.model.constraints import Constraints


def enforce(tokens: CrystalTokens, constraints: Constraints, random: np.random.Generator) -> None:
    """Replace, in place, elements that are not allowed; then insert the required ones.

    Raises
    ------
    ValueError
        If a crystal has fewer sites than there are required elements.
    """
    allowed, required = constraints.elements, np.array(constraints.required, dtype=np.int64)
    wrong = ~np.take_along_axis(allowed[None], tokens.element[:, :, None], axis=2)[:, :, 0]
    for row, site in np.argwhere(wrong & (tokens.wyckoff > 0)):
        tokens.element[row, site] = random.choice(np.flatnonzero(allowed[site]))
    for row in np.flatnonzero(~has_all(tokens.element, constraints.required)):
        sites = int(tokens.num_sites[row])
        if sites < len(required):
            raise ValueError(
                f"crystal {row} has {sites} sites, but {len(required)} elements are required"
            )
        # Random sites; sites that already have the element come first.
        cost = random.random((len(required), sites))
        cost += len(required) * (tokens.element[row, :sites] != required[:, None])
        which, where = linear_sum_assignment(cost)
        tokens.element[row, where] = required[which]


def has_all(element: NDArray[np.int64], required: Iterable[int]) -> NDArray[np.bool_]:
    """``(B,)``: whether the sites ``(B, N)`` contain all required elements."""
    every = np.ones(len(element), dtype=np.bool_)
    for z in required:
        every &= (element == z).any(axis=1)
    return every


def another(
    choices: NDArray[np.int64], current: NDArray[np.int64], random: np.random.Generator
) -> NDArray[np.int64]:
    """A uniformly chosen element of the sorted ``choices`` that differs from ``current``.

    Each of ``current`` must be one of the choices. If there is only one choice, it is kept.
    """
    if len(choices) == 1:
        return current
    place = random.integers(len(choices) - 1, size=len(current))
    return choices[place + (place >= np.searchsorted(choices, current))]
