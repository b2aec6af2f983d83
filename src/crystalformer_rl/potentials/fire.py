"""FIRE optimiser of atomic positions and cell, for one structure and one step at a time.

Algorithm and constants are those of ASE's ``FIRE`` (Bitzek et al., PRL 97, 170201, 2006) with its
``FrechetCellFilter``: the cell is cell0 · exp(X)ᵀ, and X, scaled by the number of atoms, is
optimised together with the undeformed positions. ASE recovers X by a matrix logarithm in every call
and differentiates exp in nine directions. Here X is stored, and one derivative in the transposed
direction yields all nine, which makes the step a hundred times cheaper.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm

Array = NDArray[np.float64]

TIME_STEP, LONGEST_TIME_STEP = 0.1, 1.0
LONGEST_STEP = 0.2
PATIENCE = 5
FASTER, SLOWER = 1.1, 0.5
MIXING, MIXING_DECAY = 0.1, 0.99


class Fire:
    """State of one relaxation.

    Parameters
    ----------
    cell
        (3, 3) lattice vectors in rows, Å.
    positions
        (n, 3) Cartesian, Å.
    """

    def __init__(self, cell: Array, positions: Array) -> None:
        self._cell = np.array(cell, dtype=np.float64)
        self._natural = np.array(positions, dtype=np.float64)
        self._log = np.zeros((3, 3))
        self._velocity: Array | None = None
        self._time_step = TIME_STEP
        self._mixing = MIXING
        self._downhill = 0

    @property
    def cell(self) -> Array:
        """(3, 3) current lattice vectors, Å."""
        return np.asarray(self._cell @ expm(self._log).T)

    @property
    def fractional(self) -> Array:
        """(n, 3) current fractional positions; the deformation does not change them."""
        return np.asarray(np.linalg.solve(self._cell.T, self._natural.T).T)

    def generalised_forces(self, forces: Array, stress: Array) -> Array:
        """(n + 3, 3) forces on undeformed positions and on the scaled log deformation, eV/Å.

        Parameters
        ----------
        forces
            (n, 3) eV/Å at the current geometry.
        stress
            (3, 3) eV/Å³; its symmetric part is used.
        """
        deformation = expm(self._log)
        volume = abs(np.linalg.det(self.cell))
        virial = -volume * (stress + stress.T) / 2
        gradient = virial @ np.linalg.inv(deformation.T)
        block = np.zeros((6, 6))
        block[:3, :3] = block[3:, 3:] = self._log.T
        block[:3, 3:] = gradient
        on_cell = expm(block)[:3, 3:] / len(self._natural)
        return np.concatenate([forces @ deformation, on_cell])

    def move(self, forces: Array) -> None:
        """Take one step along generalised ``forces`` (n + 3, 3)."""
        if self._velocity is None:
            self._velocity = np.zeros_like(forces)
        else:
            self._steer(forces)
        self._velocity = self._velocity + self._time_step * forces
        step = self._time_step * self._velocity
        length = np.linalg.norm(step)
        if length > LONGEST_STEP:
            step *= LONGEST_STEP / length
        self._natural = self._natural + step[:-3]
        self._log = self._log + step[-3:] / len(self._natural)

    def _steer(self, forces: Array) -> None:
        """Rotate the velocity towards the force, or set it to zero if it points uphill."""
        assert self._velocity is not None
        if np.vdot(forces, self._velocity) > 0:
            along = forces / np.linalg.norm(forces) * np.linalg.norm(self._velocity)
            self._velocity = (1 - self._mixing) * self._velocity + self._mixing * along
            if self._downhill > PATIENCE:
                self._time_step = min(self._time_step * FASTER, LONGEST_TIME_STEP)
                self._mixing *= MIXING_DECAY
            self._downhill += 1
        else:
            self._velocity = np.zeros_like(self._velocity)
            self._mixing = MIXING
            self._time_step *= SLOWER
            self._downhill = 0
