"""Lattice parameters: which are free in a space group, and the matrix of lattice vectors.

A lattice is six numbers a, b, c (Å), α, β, γ (radians) of the conventional cell.
"""

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

_RIGHT = np.pi / 2
_HEXAGONAL = 2 * np.pi / 3
# First space group of each crystal system after triclinic; trigonal starts at 143.
_MONOCLINIC, _ORTHORHOMBIC, _TETRAGONAL, _TRIGONAL, CUBIC = 3, 16, 75, 143, 195


@cache
def free_parameters() -> NDArray[np.bool_]:
    """``(231, 6)``: which of a, b, c, α, β, γ are free in each group; row 0 is unused."""
    table = np.zeros((231, 6), dtype=np.bool_)
    table[1:_MONOCLINIC] = True
    table[_MONOCLINIC:_ORTHORHOMBIC] = [True, True, True, False, True, False]
    table[_ORTHORHOMBIC:_TETRAGONAL, :3] = True
    table[_TETRAGONAL:CUBIC, [0, 2]] = True
    table[CUBIC:, 0] = True
    table.flags.writeable = False
    return table


def constrain(space_group: ArrayLike, lattice: ArrayLike) -> NDArray[np.float64]:
    """Set the parameters that symmetry fixes, from the free ones.

    Parameters
    ----------
    space_group
        ``(...)`` integers 1–230.
    lattice
        ``(..., 6)`` lengths (any unit) and angles (radians).

    Returns
    -------
    NDArray
        ``(..., 6)``, in the standard setting (hexagonal axes for rhombohedral groups).
    """
    group = np.asarray(space_group)
    if np.any((group < 1) | (group > 230)):
        raise ValueError(f"space group must be 1 to 230, got {group[(group < 1) | (group > 230)]}")
    source, fixed = _dependence()
    free = np.take_along_axis(np.asarray(lattice, dtype=float), source[group], axis=-1)
    return np.where(np.isnan(fixed[group]), free, fixed[group])


@cache
def _dependence() -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Of each group, ``(231, 6)``: which parameter gives each; its value if fixed, else NaN."""
    source = np.tile(np.arange(6), (231, 1))
    source[_TETRAGONAL:, 1] = 0
    source[CUBIC:, 2] = 0
    fixed = np.full((231, 6), np.nan)
    fixed[_MONOCLINIC:, 3:] = _RIGHT
    fixed[_MONOCLINIC:_ORTHORHOMBIC, 4] = np.nan
    fixed[_TRIGONAL:CUBIC, 5] = _HEXAGONAL
    return source, fixed


def matrix(lattice: ArrayLike) -> NDArray[np.float64]:
    """Cell vectors as rows, ``(..., 6)`` to ``(..., 3, 3)`` Å: a along x, b in the xy plane.

    NaN where the angles close no cell.
    """
    a, b, c, alpha, beta, gamma = np.moveaxis(np.asarray(lattice, dtype=float), -1, 0)
    # cos(π/2) is 6e-17 in floating point; a right angle is to give an exact zero.
    cos_a, cos_b, cos_g = (_chop(np.cos(angle)) for angle in (alpha, beta, gamma))
    sin_g = np.sin(gamma)
    with np.errstate(invalid="ignore", divide="ignore"):
        c_y = _chop((cos_a - cos_b * cos_g) / sin_g)
        c_z = np.sqrt(1 - cos_b**2 - c_y**2)
    rows = np.zeros((*a.shape, 3, 3))
    rows[..., 0, 0] = a
    rows[..., 1, 0], rows[..., 1, 1] = b * cos_g, b * sin_g
    rows[..., 2, 0], rows[..., 2, 1], rows[..., 2, 2] = c * cos_b, c * c_y, c * c_z
    return rows


def parameters(cell: ArrayLike) -> NDArray[np.float64]:
    """Inverse of :func:`matrix`: ``(..., 3, 3)`` rows in Å to ``(..., 6)``."""
    rows = np.asarray(cell, dtype=float)
    lengths = np.linalg.norm(rows, axis=-1)
    unit = rows / lengths[..., None]
    cosines = [(unit[..., i, :] * unit[..., j, :]).sum(-1) for i, j in ((1, 2), (0, 2), (0, 1))]
    angles = np.arccos(np.clip(np.stack(cosines, axis=-1), -1.0, 1.0))
    return np.concatenate([lengths, angles], axis=-1)


def volume(lattice: ArrayLike) -> NDArray[np.float64]:
    """``(..., 6)`` to ``(...)`` Å³; NaN where the angles close no cell."""
    a, b, c, alpha, beta, gamma = np.moveaxis(np.asarray(lattice, dtype=float), -1, 0)
    cosines = np.cos(alpha), np.cos(beta), np.cos(gamma)
    square = 1 - sum(x**2 for x in cosines) + 2 * cosines[0] * cosines[1] * cosines[2]
    with np.errstate(invalid="ignore"):
        return np.asarray(a * b * c * np.sqrt(np.where(square > 0, square, np.nan)))


def _chop(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.abs(values) < 1e-15, 0.0, values)
