"""L-BFGS (Nocedal & Wright, Numerical Optimization, 2006, algorithm 7.4) for many crystals at once.

Atomic positions and cells are minimised together, in the coordinates of :mod:`.coordinates`. With
one stiffness for atoms and cells, 70 eV/Å², and one limit on the length of a step, this is ASE's
``LBFGS`` on its ``FrechetCellFilter``. It departs from it in three points, which save steps for
crystals as a policy samples them (docs/records/speed.md):

* The initial stiffness of the cell is that of a solid. The energy of a crystal of n atoms changes
  with its scaled log deformation by about K V/n² per square, with a modulus K of 0.6 to 1.2 eV/Å³
  (100 to 200 GPa) and a volume V/n of 10 to 30 Å³ per atom.
* The limit on the cell is a strain, and does not become smaller with the number of atoms.
* Where the energy is not convex along a step, its curvature is not kept.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalformer_rl.potentials.coordinates import Array, Coordinates, Mask

MEMORY = 10
"""Steps of which the curvature is remembered."""
STIFFNESS_OF_ATOMS = 40.0
"""Initial, eV/Å²."""
STIFFNESS_OF_CELL = 30.0
"""Initial, times the number of atoms, eV/Å²."""
LONGEST_STEP = 0.2
"""Of an atom, Å."""
LARGEST_STRAIN = 0.05
"""Of a cell vector in one step."""
LEAST_CURVATURE = 1e-3
"""Cosine of the angle between a step and the change of the forces below which it is not kept."""


@dataclass(frozen=True)
class Lbfgs:
    """State of the minimisations of m crystals with n atoms in all.

    Attributes
    ----------
    coordinates
        The current geometries.
    steps, changes
        (k, n + 3m, 3) the last steps, Å, and the changes of minus the forces in them, eV/Å.
    weights
        (k, m) one over the scalar product of the two, 0 for a step that does not count.
    last_step, last_forces
        (n + 3m, 3) of the step that led to the current geometries; zero before the first.
    """

    coordinates: Coordinates
    steps: Array
    changes: Array
    weights: Array
    last_step: Array
    last_forces: Array

    @classmethod
    def at_rest(cls, coordinates: Coordinates) -> "Lbfgs":
        """The start of minimisations."""
        rows, crystals = len(coordinates.is_atom), len(coordinates.counts)
        return cls(
            coordinates=coordinates,
            steps=np.zeros((MEMORY, rows, 3)),
            changes=np.zeros((MEMORY, rows, 3)),
            weights=np.zeros((MEMORY, crystals)),
            last_step=np.zeros((rows, 3)),
            last_forces=np.zeros((rows, 3)),
        )

    def joined(self, other: "Lbfgs") -> "Lbfgs":
        """Both states as one."""
        return Lbfgs(
            coordinates=self.coordinates.joined(other.coordinates),
            steps=np.concatenate([self.steps, other.steps], axis=1),
            changes=np.concatenate([self.changes, other.changes], axis=1),
            weights=np.concatenate([self.weights, other.weights], axis=1),
            last_step=np.concatenate([self.last_step, other.last_step]),
            last_forces=np.concatenate([self.last_forces, other.last_forces]),
        )

    def only(self, kept: Mask) -> "Lbfgs":
        """The state of some of the crystals, by a mask (m,)."""
        if kept.all():
            return self
        rows = self.coordinates.by_row(kept)
        return Lbfgs(
            coordinates=self.coordinates.only(kept),
            steps=self.steps[:, rows],
            changes=self.changes[:, rows],
            weights=self.weights[:, kept],
            last_step=self.last_step[rows],
            last_forces=self.last_forces[rows],
        )

    def moved(self, forces: Array) -> "Lbfgs":
        """After one step of every crystal, from its forces (n + 3m, 3) in :attr:`coordinates`."""
        steps, changes, weights = self._remembered(forces)
        direction = self._direction(forces, steps, changes, weights)
        uphill = self.coordinates.dot(direction, forces) <= 0
        if uphill.any():
            weights[:, uphill] = 0
            plain = forces / self._stiffness
            direction = np.where(self.coordinates.each_row(uphill), plain, direction)
        step = direction * self.coordinates.each_row(self._shortening(direction))
        return Lbfgs(self.coordinates.moved(step), steps, changes, weights, step, forces)

    def _remembered(self, forces: Array) -> tuple[Array, Array, Array]:
        """Steps, changes and weights with those of the last step."""
        dot, change = self.coordinates.dot, self.last_forces - forces
        curvature = dot(self.last_step, change)
        sizes = np.sqrt(dot(self.last_step, self.last_step) * dot(change, change))
        convex = curvature > LEAST_CURVATURE * sizes
        weight = np.divide(1, curvature, out=np.zeros_like(curvature), where=convex)
        return (
            np.concatenate([self.steps[1:], self.last_step[None]]),
            np.concatenate([self.changes[1:], change[None]]),
            np.concatenate([self.weights[1:], weight[None]]),
        )

    def _direction(self, forces: Array, steps: Array, changes: Array, weights: Array) -> Array:
        """The forces times the inverse of the remembered curvature, (n + 3m, 3) Å."""
        dot, each_row = self.coordinates.dot, self.coordinates.each_row
        used = np.flatnonzero(weights.any(axis=1))
        rest, shares = forces, {}
        for k in used[::-1]:
            shares[k] = weights[k] * dot(steps[k], rest)
            rest = rest - each_row(shares[k]) * changes[k]
        direction = rest / self._stiffness
        for k in used:
            excess = shares[k] - weights[k] * dot(changes[k], direction)
            direction = direction + each_row(excess) * steps[k]
        return direction

    @property
    def _stiffness(self) -> Array:
        """(n + 3m, 1) eV/Å²."""
        of_cells = self.coordinates.each_row(STIFFNESS_OF_CELL / self.coordinates.counts)
        return np.where(self.coordinates.is_atom[:, None], STIFFNESS_OF_ATOMS, of_cells)

    def _shortening(self, direction: Array) -> NDArray[np.float64]:
        """(m,) factor that keeps a step within the limits."""
        limits = self.coordinates.each_row(LARGEST_STRAIN * self.coordinates.counts)
        limits = np.where(self.coordinates.is_atom[:, None], LONGEST_STEP, limits)
        return np.asarray(1 / np.maximum(self.coordinates.longest(direction / limits), 1))
