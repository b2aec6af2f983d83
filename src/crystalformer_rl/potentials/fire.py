"""FIRE optimiser of atomic positions and cells, for many structures and one step at a time.

Algorithm and constants are those of ASE's ``FIRE`` (Bitzek et al., PRL 97, 170201, 2006) with its
``FrechetCellFilter``: the cell is cell0 · exp(X)ᵀ, and X, scaled by the number of atoms, is
optimised together with the undeformed positions. ASE recovers X by a matrix logarithm in every call
and differentiates exp in nine directions. Here X is stored, and one derivative in the transposed
direction yields all nine.

The state of all structures is in arrays. Every operation is separate for each structure, so that
its numbers do not depend on the others by a single bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

TIME_STEP, LONGEST_TIME_STEP = 0.1, 1.0
LONGEST_STEP = 0.2
PATIENCE = 5
FASTER, SLOWER = 1.1, 0.5
MIXING, MIXING_DECAY = 0.1, 0.99
# exp(X) = exp(X / 2^5)^(2^5), to 1e-13 where the norm of X is below 4.
SQUARINGS, TERMS = 5, 8


@dataclass
class Fire:
    """State of the relaxations of m structures with n atoms in all.

    Attributes
    ----------
    counts
        (m,) numbers of atoms.
    start, log, deformation
        (m, 3, 3) undeformed lattice vectors in rows, Å; X; and exp(X).
    natural
        (n, 3) undeformed positions, Cartesian, Å.
    velocity, cell_velocity
        (n, 3) and (m, 3, 3).
    time_step, mixing, downhill
        (m,) of the algorithm; the last one is the number of steps in a row with positive power, -1
        before the first step.
    """

    counts: NDArray[np.int64]
    start: Array
    log: Array
    deformation: Array
    natural: Array
    velocity: Array
    cell_velocity: Array
    time_step: Array
    mixing: Array
    downhill: NDArray[np.int64]

    @classmethod
    def at_rest(cls, cells: Sequence[Array], positions: Sequence[Array]) -> "Fire":
        """The start of relaxations, from cells (3, 3) and Cartesian positions (nᵢ, 3), Å."""
        count, natural = len(cells), np.concatenate(positions)
        return cls(
            counts=np.array([len(one) for one in positions]),
            start=np.array(cells, dtype=np.float64),
            log=np.zeros((count, 3, 3)),
            deformation=np.tile(np.eye(3), (count, 1, 1)),
            natural=natural,
            velocity=np.zeros_like(natural),
            cell_velocity=np.zeros((count, 3, 3)),
            time_step=np.full(count, TIME_STEP),
            mixing=np.full(count, MIXING),
            downhill=np.full(count, -1),
        )

    def joined(self, other: "Fire") -> "Fire":
        """Both states as one."""
        return Fire(
            *(
                np.concatenate([getattr(self, one.name), getattr(other, one.name)])
                for one in fields(self)
            )
        )

    def only(self, kept: Mask) -> "Fire":
        """The state of some of the structures, by a mask (m,)."""
        if kept.all():
            return self
        by_atom = np.repeat(kept, self.counts)
        return Fire(
            *(
                getattr(self, one.name)[by_atom if one.name in {"natural", "velocity"} else kept]
                for one in fields(self)
            )
        )

    @property
    def cells(self) -> Array:
        """(m, 3, 3) current lattice vectors, Å."""
        return np.asarray(self.start @ self.deformation.swapaxes(1, 2))

    @property
    def fractional(self) -> Array:
        """(n, 3) current fractional positions; the deformation does not change them."""
        inverse = np.repeat(np.linalg.inv(self.start), self.counts, axis=0)
        return np.asarray((self.natural[:, None] @ inverse)[:, 0])

    def generalised_forces(self, forces: Array, stresses: Array) -> tuple[Array, Array]:
        """Forces on undeformed positions (n, 3), and on scaled log deformations (m, 3, 3), eV/Å.

        Parameters
        ----------
        forces
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
        on_atoms = (forces[:, None] @ np.repeat(self.deformation, self.counts, axis=0))[:, 0]
        return np.asarray(on_atoms), np.asarray(on_cells)

    def largest(self, on_atoms: Array, on_cells: Array) -> Array:
        """(m,) length of the longest force on an atom or row of the force on the cell, eV/Å."""
        atoms = np.maximum.reduceat(np.linalg.norm(on_atoms, axis=1), self._first)
        return np.asarray(np.maximum(atoms, np.linalg.norm(on_cells, axis=2).max(axis=1)))

    def move(self, on_atoms: Array, on_cells: Array) -> None:
        """Take one step of every structure along generalised forces (n, 3) and (m, 3, 3)."""
        self._steer(on_atoms, on_cells)
        self.velocity = self.velocity + self._each(self.time_step) * on_atoms
        self.cell_velocity = self.cell_velocity + self.time_step[:, None, None] * on_cells
        length = self.time_step * np.sqrt(self._dot(self.velocity, self.cell_velocity))
        scale = self.time_step * np.minimum(1, LONGEST_STEP / np.maximum(length, LONGEST_STEP))
        self.natural = self.natural + self._each(scale) * self.velocity
        self.log = self.log + (scale / self.counts)[:, None, None] * self.cell_velocity
        self.deformation = _exp(self.log)

    def _steer(self, on_atoms: Array, on_cells: Array) -> None:
        """Rotate velocities towards the forces, or set those to zero that point uphill."""
        power = self._dot(on_atoms, on_cells, self.velocity, self.cell_velocity)
        speed = np.sqrt(self._dot(self.velocity, self.cell_velocity))
        strength = np.sqrt(self._dot(on_atoms, on_cells))
        good, first = power > 0, self.downhill < 0
        kept = np.where(good, 1 - self.mixing, 0)
        turned = np.divide(
            self.mixing * speed, strength, out=np.zeros_like(speed), where=good & (strength > 0)
        )
        self.velocity = self._each(kept) * self.velocity + self._each(turned) * on_atoms
        self.cell_velocity = (
            kept[:, None, None] * self.cell_velocity + turned[:, None, None] * on_cells
        )
        faster = good & (self.downhill > PATIENCE)
        longer = np.minimum(self.time_step * FASTER, LONGEST_TIME_STEP)
        shorter = np.where(first, self.time_step, self.time_step * SLOWER)
        decayed = np.where(faster, self.mixing * MIXING_DECAY, self.mixing)
        self.time_step = np.where(faster, longer, np.where(good, self.time_step, shorter))
        self.mixing = np.where(good, decayed, MIXING)
        self.downhill = np.where(good, self.downhill + 1, 0)

    @property
    def _first(self) -> NDArray[np.int64]:
        """(m,) index of the first atom of each structure."""
        return np.cumsum(self.counts) - self.counts

    def _each(self, values: Array) -> Array:
        """(n, 1) the value of each atom's structure."""
        return np.repeat(values, self.counts)[:, None]

    def _dot(
        self, atoms: Array, cells: Array, others: Array | None = None, more: Array | None = None
    ) -> Array:
        """(m,) scalar products of vectors of atoms and cells, of a pair with itself by default."""
        of_atoms = (atoms * (atoms if others is None else others)).sum(axis=1)
        of_cells = (cells * (cells if more is None else more)).sum(axis=(1, 2))
        return np.asarray(np.add.reduceat(of_atoms, self._first) + of_cells)


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
