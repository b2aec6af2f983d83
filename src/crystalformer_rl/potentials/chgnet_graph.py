"""The input graph of CHGNet: atoms, bonds up to 6 Å, angles between bonds up to 3 Å.

The crystals of a batch are combined into one graph. It is built with array operations, whereas the
package's converter loops over bonds and angles.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pymatgen.optimization.neighbors import find_points_in_spheres

from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.jobs.device import uploaded

Ints = NDArray[np.int64]
# Å. An atom this close to another one is that atom.
_SAME_POINT = 1e-8
_PERIODIC = np.ones(3, dtype=np.int64)
# A translation of less than half of _SIDE cells along each edge becomes one number, by _STEPS.
_SIDE = 2**11
_STEPS = np.array([_SIDE**2, _SIDE, 1], dtype=np.float64)


@dataclass(frozen=True)
class Graph:
    """Neighbourhoods of n atoms in m crystals.

    A neighbour is an ordered pair of atoms and a lattice translation. A bond is a neighbour and its
    reverse. Bonds up to 3 Å are short, and an angle is formed by two short bonds at an atom.

    Attributes
    ----------
    crystals
        Number of crystals, m.
    numbers, owner
        (n,) atomic number, and index of the atom's crystal in the batch.
    centre, other
        (e,) the two atoms of a neighbour.
    vectors
        (e, 3) Å, from ``other`` to ``centre``.
    bond
        (e,) index of the bond that a neighbour belongs to, below u.
    representative
        (u,) one of the two neighbours of a bond.
    short
        (s,) indices of the short bonds.
    corner
        (a,) the atom at the vertex of an angle.
    arms
        (2, a) the two neighbours that span an angle; ``corner`` is the centre of both.
    arm_bonds
        (2, a) their bonds, as indices into ``short``.
    """

    crystals: int
    numbers: torch.Tensor
    owner: torch.Tensor
    centre: torch.Tensor
    other: torch.Tensor
    vectors: torch.Tensor
    bond: torch.Tensor
    representative: torch.Tensor
    short: torch.Tensor
    corner: torch.Tensor
    arms: torch.Tensor
    arm_bonds: torch.Tensor

    def forces(self, slopes: torch.Tensor) -> torch.Tensor:
        """(n, 3) forces, from the derivatives (e, 3) of the energy with respect to ``vectors``."""
        forces = slopes.new_zeros(len(self.numbers), 3)
        return forces.index_add_(0, self.other, slopes).index_add_(0, self.centre, -slopes)

    def virials(self, slopes: torch.Tensor) -> torch.Tensor:
        """(m, 3, 3) derivatives by strain, from those (e, 3) of the energy by ``vectors``."""
        products = self.vectors.detach()[:, :, None] * slopes[:, None, :]
        virials = slopes.new_zeros(self.crystals, 3, 3)
        return virials.index_add_(0, self.owner[self.centre], products)


def graph_of(
    cells: Sequence[Cell], *, cutoff: float, short_cutoff: float, device: torch.device
) -> Graph:
    """Build one graph of all ``cells``; cutoffs in Å.

    Raises
    ------
    ValueError
        If an atom has no neighbour.
    """
    counts = np.array([len(cell) for cell in cells])
    first = np.cumsum(counts) - counts
    parts = [
        _neighbours(cell, cutoff, start) for cell, start in zip(cells, first.tolist(), strict=True)
    ]
    centre, other, step, distance, vectors = map(np.concatenate, zip(*parts, strict=True))
    # Each atom is in its own list.
    others = np.flatnonzero((centre != other) | (distance > _SAME_POINT))
    centre, other, step, distance, vectors = (
        found.take(others, axis=0) for found in (centre, other, step, distance, vectors)
    )
    owner = np.repeat(np.arange(len(cells)), counts)
    _refuse_isolated(cells, owner[np.bincount(centre, minlength=len(owner)) == 0], cutoff)
    bond, representative = _bonds(centre, other, step)
    near = np.flatnonzero(distance < short_cutoff)
    arms = _pairs(near[np.argsort(centre[near], kind="stable")], centre)
    is_short = np.zeros(len(representative), dtype=np.bool_)
    is_short[bond[near]] = True
    short, indices = np.flatnonzero(is_short), np.cumsum(is_short) - 1
    arrays = {
        "numbers": np.concatenate([cell.numbers for cell in cells]),
        "owner": owner,
        "centre": centre,
        "other": other,
        "bond": bond,
        "representative": representative,
        "short": short,
        "corner": centre[arms[0]],
        "arms": arms,
        "arm_bonds": indices[bond[arms]],
    }
    return Graph(
        crystals=len(cells),
        vectors=uploaded(vectors.astype(np.float32), device),
        **{name: uploaded(array, device) for name, array in arrays.items()},
    )


def _neighbours(cell: Cell, cutoff: float, start: int) -> tuple[NDArray[Any], ...]:
    """Neighbours up to ``cutoff``, Å, of a crystal whose atoms are counted from ``start``.

    Returns
    -------
    tuple
        The two atoms (e,), the translation as one number (e,), the distance (e,) and the vector
        (e, 3), Å. Among them is each atom itself.
    """
    matrix = np.ascontiguousarray(cell.matrix)
    positions = cell.positions @ matrix
    centre, other, image, distance = find_points_in_spheres(
        positions, positions, r=cutoff, pbc=_PERIODIC, lattice=matrix, tol=_SAME_POINT
    )
    if (cells := int(image.max())) >= _SIDE // 2:
        raise ValueError(f"{cell.composition.reduced_formula}: a neighbour is {cells} cells away")
    # take is twice as fast as indexing.
    vectors = positions.take(centre, axis=0)
    vectors -= positions.take(other, axis=0)
    vectors -= image @ matrix
    return centre + start, other + start, image @ _STEPS, distance, vectors


def _refuse_isolated(cells: Sequence[Cell], owners: Ints, cutoff: float) -> None:
    """Raise ``ValueError`` for the first crystal among the ``owners`` of isolated atoms."""
    if len(owners):
        cell, isolated = cells[owners[0]], int((owners == owners[0]).sum())
        raise ValueError(
            f"{cell.composition.reduced_formula}: {isolated} of {len(cell)} atoms are "
            f"isolated, without a neighbour within {cutoff:g} Å"
        )


def _bonds(centre: Ints, other: Ints, step: NDArray[np.float64]) -> tuple[Ints, Ints]:
    """(e,) bond of each neighbour, and (u,) one neighbour of each bond."""
    atoms = int(centre.max()) + 1
    # One number for each pair of atoms and translation; of the reverse, the translation is minus.
    shift = step.astype(np.int64)
    forward = (centre * atoms + other) * _SIDE**3 + shift
    backward = (other * atoms + centre) * _SIDE**3 - shift
    key = np.minimum(forward, backward)
    # As np.unique, which sorts stably and takes twice as long.
    order = np.argsort(key)
    ordered = key.take(order)
    is_new = np.ones(len(order), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=is_new[1:])
    bond = np.empty_like(order)
    bond[order] = is_new.cumsum() - 1
    return bond, np.minimum.reduceat(order, np.flatnonzero(is_new))


def _pairs(near: Ints, centre: Ints) -> Ints:
    """(2, a) ordered pairs of different neighbours that share a centre.

    ``near`` are neighbours sorted by their centres.
    """
    count = np.bincount(centre[near])
    count = count[count > 0]
    start = np.cumsum(count) - count
    partners = np.repeat(count, count)  # per neighbour, the neighbour itself included
    first = np.repeat(np.arange(len(near)), partners)
    turn = np.arange(len(first)) - np.repeat(np.cumsum(partners) - partners, partners)
    second = np.repeat(np.repeat(start, count), partners) + turn
    different = first != second
    return np.stack([near[first[different]], near[second[different]]])
