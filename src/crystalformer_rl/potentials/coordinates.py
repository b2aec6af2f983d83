"""Positions and cells of many crystals as the coordinates of a minimiser.

They are those of ASE's ``FrechetCellFilter``: the cell is cell0 · exp(X)ᵀ, and X, scaled by the
number of atoms, is optimised together with the undeformed positions. ASE recovers X by a matrix
logarithm in every call and differentiates exp in nine directions. Here X is stored, and one
derivative in the transposed direction yields all nine.

Every operation is separate for each crystal, so that its numbers do not depend on the others by a
single bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalformer_rl.crystal.cell import Cell

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

# exp(X) = exp(X / 2^5)^(2^5), to 1e-13 where the norm of X is below 4.
SQUARINGS, TERMS = 5, 8


@dataclass(frozen=True)
class Coordinates:
    """The geometries of m crystals with n atoms in all.

    A vector of the space in which they are minimised has n + 3m rows of three: those of the atoms
    of the first crystal, the three of its cell, those of the atoms of the second, and so on.

    Attributes
    ----------
    counts
        (m,) numbers of atoms.
    start, log
        (m, 3, 3) undeformed lattice vectors in rows, Å; and X.
    natural
        (n, 3) undeformed positions, Cartesian, Å.
    """

    counts: NDArray[np.int64]
    start: Array
    log: Array
    natural: Array

    @classmethod
    def of(cls, cells: Sequence[Cell]) -> "Coordinates":
        """The undeformed coordinates of crystals."""
        return cls(
            counts=np.array([len(cell.numbers) for cell in cells]),
            start=np.array([cell.matrix for cell in cells], dtype=np.float64),
            log=np.zeros((len(cells), 3, 3)),
            natural=np.concatenate([cell.positions @ cell.matrix for cell in cells]),
        )

    def joined(self, other: "Coordinates") -> "Coordinates":
        """Those of both, one after the other."""
        return Coordinates(
            counts=np.concatenate([self.counts, other.counts]),
            start=np.concatenate([self.start, other.start]),
            log=np.concatenate([self.log, other.log]),
            natural=np.concatenate([self.natural, other.natural]),
        )

    def only(self, kept: Mask) -> "Coordinates":
        """Those of some of the crystals, by a mask (m,)."""
        return Coordinates(
            counts=self.counts[kept],
            start=self.start[kept],
            log=self.log[kept],
            natural=self.natural[np.repeat(kept, self.counts)],
        )

    def moved(self, by: Array) -> "Coordinates":
        """After a displacement (n + 3m, 3), Å."""
        on_cells = by[~self.is_atom].reshape(-1, 3, 3)
        return replace(
            self,
            natural=self.natural + by[self.is_atom],
            log=self.log + on_cells / self.counts[:, None, None],
        )

    @cached_property
    def first(self) -> NDArray[np.int64]:
        """(m,) index of the first row of each crystal."""
        rows = self.counts + 3
        return np.cumsum(rows) - rows

    @cached_property
    def is_atom(self) -> Mask:
        """(n + 3m,) whether a row is that of an atom."""
        pairs = np.stack([self.counts, np.full(len(self.counts), 3)], axis=1)
        return np.repeat(np.tile([True, False], len(self.counts)), pairs.ravel())

    @cached_property
    def deformation(self) -> Array:
        """(m, 3, 3) exp(X)."""
        return _exp(self.log)

    @property
    def cells(self) -> Array:
        """(m, 3, 3) current lattice vectors, Å."""
        return np.asarray(self.start @ self.deformation.swapaxes(1, 2))

    @property
    def fractional(self) -> Array:
        """(n, 3) current fractional positions; the deformation does not change them."""
        inverse = np.repeat(np.linalg.inv(self.start), self.counts, axis=0)
        return np.asarray((self.natural[:, None] @ inverse)[:, 0])

    def forces(self, on_atoms: Array, stresses: Array) -> Array:
        """Minus the derivatives (n + 3m, 3) of the energies by the coordinates, eV/Å.

        Parameters
        ----------
        on_atoms
            (n, 3) eV/Å at the current geometries.
        stresses
            (m, 3, 3) eV/Å³; their symmetric parts are used.
        """
        turned = self.deformation.swapaxes(1, 2)
        volumes = np.abs(np.linalg.det(self.start @ turned))[:, None, None]
        virials = -volumes * (stresses + stresses.swapaxes(1, 2)) / 2
        block = np.zeros((len(self.log), 6, 6))
        block[:, :3, :3] = block[:, 3:, 3:] = self.log.swapaxes(1, 2)
        block[:, :3, 3:] = virials @ np.linalg.inv(turned)
        on_cells = _exp(block)[:, :3, 3:] / self.counts[:, None, None]
        rows = np.empty((len(self.is_atom), 3))
        deformation = np.repeat(self.deformation, self.counts, axis=0)
        rows[self.is_atom] = (on_atoms[:, None] @ deformation)[:, 0]
        rows[~self.is_atom] = on_cells.reshape(-1, 3)
        return rows

    def by_row(self, values: NDArray[Any]) -> NDArray[Any]:
        """(n + 3m,) the value of the crystal of each row, of values (m,)."""
        return np.repeat(values, self.counts + 3)

    def each_row(self, values: NDArray[Any]) -> NDArray[Any]:
        """The same as a column (n + 3m, 1), to multiply vectors with."""
        return self.by_row(values)[:, None]

    def dot(self, first: Array, second: Array) -> Array:
        """(m,) scalar products of two vectors."""
        products = np.einsum("rc,rc->r", first, second)
        return np.asarray(np.add.reduceat(products, self.first))

    def longest(self, vector: Array) -> Array:
        """(m,) length of the longest row of a vector."""
        lengths = np.sqrt(np.einsum("rc,rc->r", vector, vector))
        return np.asarray(np.maximum.reduceat(lengths, self.first))


def _exp(matrices: Array) -> Array:
    """exp of (m, k, k) matrices: its series, scaled and squared in the same way for each."""
    small = matrices / 2**SQUARINGS
    identity = np.eye(matrices.shape[1])
    result = identity + small / TERMS
    for term in range(TERMS - 1, 0, -1):
        result = identity + small @ result / term
    for _ in range(SQUARINGS):
        result = result @ result
    return np.asarray(result)
