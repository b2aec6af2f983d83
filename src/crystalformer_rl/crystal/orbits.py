"""All atoms of a cell from the sites that a CIF lists, special positions put right."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalformer_rl.crystal.cif_sites import Sites
from crystalformer_rl.crystal.operations import Operations

# Å. Images this close are one atom whatever the tolerance: coordinates have four digits or more.
_SAME = 1e-3


@dataclass(frozen=True)
class Expanded:
    """The atoms of a cell.

    Attributes
    ----------
    symbols
        ``(n,)`` elements.
    positions
        ``(n, 3)`` fractional coordinates in [0, 1).
    merged
        Images of rounded special positions that were merged with others.
    """

    symbols: list[str]
    positions: NDArray[np.float64]
    merged: int


def expand(
    sites: Sites, operations: Operations, *, merge_below: float, merge_sites: bool
) -> Expanded:
    """Apply the operations to each site.

    A site whose images are closer than ``merge_below`` is moved to the special position between
    them: 0.333 on a threefold axis to 1/3.

    Parameters
    ----------
    merge_below
        Å.
    merge_sites
        Whether listed sites of one element that close are one site too.

    Raises
    ------
    ValueError
        If a site is closer to a special position than ``merge_below`` without belonging to it, or
        has another multiplicity than declared.
    """
    matrix = sites.lattice.matrix
    found: list[tuple[str, NDArray[np.float64]]] = []
    merged = 0
    for symbol, position, name, declared in zip(
        sites.symbols, sites.positions, sites.names, sites.multiplicities, strict=True
    ):
        orbit, lost = _orbit(symbol, position, operations, matrix, merge_below)
        _refuse_other_multiplicity(name, declared, len(orbit), len(operations))
        earlier = [other for kind, other in found if kind == symbol]
        nearest = min(
            (float(_distances(orbit[:1], other, matrix).min()) for other in earlier),
            default=np.inf,
        )
        if merge_sites and nearest < merge_below:
            merged += 0 if nearest < _SAME else len(orbit)
            continue
        merged += lost
        found.append((symbol, orbit))
    symbols = [symbol for symbol, orbit in found for _ in orbit]
    return Expanded(symbols, np.concatenate([orbit for _, orbit in found]), merged)


def _refuse_other_multiplicity(name: str, declared: int | None, found: int, order: int) -> None:
    """Raise unless a site has the declared number of atoms among ``order`` operations."""
    # SHELXL writes the order of the site symmetry instead.
    if declared not in (None, found, order // found):
        raise ValueError(
            f"the CIF declares multiplicity {declared} of site {name}, its symmetry operations "
            f"give {found}"
        )


def _orbit(
    symbol: str,
    position: NDArray[np.float64],
    operations: Operations,
    matrix: NDArray[np.float64],
    merge_below: float,
) -> tuple[NDArray[np.float64], int]:
    """The images of a site in the cell, and how many more there were before the merger."""
    images = operations.images(position)
    exact = int((_lengths(images - position, matrix) < _SAME).sum())
    near = np.zeros(len(images), dtype=bool)
    # The mean may lie on a position of yet higher symmetry.
    for _ in range(4):
        images = operations.images(position)
        offset = images - position
        offset -= np.round(offset)
        close = np.linalg.norm(offset @ matrix, axis=1) < merge_below
        if (close == near).all():
            break
        near = close
        position = position + offset[near].mean(axis=0)
    images = operations.images(position) % 1
    apart = _distances(images, images, matrix) >= min(merge_below, _SAME)
    first = [place for place in range(len(images)) if apart[place, :place].all()]
    if len(first) * near.sum() != len(images):
        raise ValueError(
            f"a site of {symbol} is within {merge_below:g} Å of a special position, but not on it"
        )
    return images[first], max(len(images) // exact - len(first), 0)


def _lengths(offset: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    offset = offset - np.round(offset)
    return np.asarray(np.linalg.norm(offset @ matrix, axis=-1))


def _distances(
    a: NDArray[np.float64], b: NDArray[np.float64], matrix: NDArray[np.float64]
) -> NDArray[np.float64]:
    """``(A, B)`` Å, exact for short distances, which are all that matters here."""
    return _lengths(a[:, None] - b[None], matrix)
