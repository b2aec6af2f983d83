"""Relaxation of many structures at once: FIRE for positions and cell, energies in batches.

Every structure has a separate optimiser; only the calls of the potential are shared. A structure
leaves when it is converged, has failed or has no steps left, and the next ones enter. Its result
depends on the others only through the sums of the potential, in the last digits.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Lattice, Structure

from crystalformer_rl.potentials.base import (
    Evaluation,
    Failure,
    Potential,
    evaluate_each,
    screen,
)
from crystalformer_rl.potentials.fire import Fire
from crystalformer_rl.potentials.symmetry import Symmetry

Status = Literal[
    "converged", "not_converged", "diverged", "unphysical", "unknown_element", "out_of_memory",
    "error",
]  # fmt: skip
STATUSES: Mapping[Status, str] = {
    "converged": "All forces on the atoms and on the cell are below the threshold.",
    "not_converged": "The relaxation ran out of steps. The last geometry is used: its energy is "
    "above that of the minimum.",
    "diverged": "The structure left the physical range during the relaxation, or the potential no "
    "longer returned finite numbers.",
    "unphysical": "The structure was not evaluated: there is none, its atoms are too close, or its "
    "cell is too small, too large or not finite.",
    "unknown_element": "The potential does not know an element of the structure.",
    "out_of_memory": "The structure does not fit into memory, even in a separate batch.",
    "error": "The potential raised an error or returned invalid numbers.",
}
# With these statuses, the last geometry and its energy are used.
WITH_ENERGY: tuple[Status, ...] = ("converged", "not_converged")

# Enough for the largest batch of a GPU; the potential divides them into batches that fit.
ATOMS_AT_ONCE = 16384


@dataclass(frozen=True)
class Relaxation:
    """The result of one relaxation.

    Attributes
    ----------
    status
        See :data:`STATUSES`.
    error
        The reason, for every status that is not in :data:`WITH_ENERGY`.
    structure
        Last geometry that could be evaluated, or None if there was none.
    energy_initial, energy_final
        eV/atom of the first and the last such geometry.
    max_force
        Largest force on an atom of this geometry, eV/Å.
    max_stress
        Largest component of the stress of this geometry, eV/Å³.
    steps
        Number of steps taken, including one that failed.
    """

    status: Status
    error: str | None
    structure: Structure | None
    energy_initial: float | None
    energy_final: float | None
    max_force: float | None
    max_stress: float | None
    steps: int


class _Active:
    """State of one structure during its relaxation."""

    def __init__(self, structure: Structure, *, keep_symmetry: bool) -> None:
        self._keep_symmetry = keep_symmetry
        self._symmetry: Symmetry | None = None
        self._species = structure.species
        self._fire = Fire(structure.lattice.matrix, structure.cart_coords)
        self._forces: NDArray[np.float64] | None = None
        self._first: float | None = None
        self._last: Evaluation | None = None
        self._good: Structure | None = None
        self.structure = structure
        self.steps = 0

    def __len__(self) -> int:
        """Number of atoms."""
        return len(self._species)

    def accept(self, evaluation: Evaluation) -> None:
        """Store the evaluation of the current geometry; ValueError if no symmetry is found."""
        assert evaluation.forces is not None and evaluation.stress is not None
        if self._keep_symmetry and self._symmetry is None:
            self._symmetry = Symmetry(self.structure)
        forces, stress = evaluation.forces, evaluation.stress
        if self._symmetry is not None:
            forces, stress = self._symmetry.project(self._fire.cell, forces, stress)
        self._forces = self._fire.generalised_forces(forces, stress)
        if self._first is None:
            self._first = evaluation.energy
        self._last, self._good = evaluation, self.structure

    def is_converged(self, max_force: float) -> bool:
        """Whether forces on the atoms and on the cell are all below ``max_force``, eV/Å."""
        assert self._forces is not None
        return bool(np.linalg.norm(self._forces, axis=1).max() < max_force)

    def move(self) -> None:
        """Take one FIRE step; the new geometry has to be evaluated next."""
        assert self._forces is not None
        self._fire.move(self._forces)
        self.steps += 1
        self.structure = Structure(Lattice(self._fire.cell), self._species, self._fire.fractional)

    def fail(self, failure: Failure) -> Relaxation:
        """The record of a structure whose current geometry cannot be evaluated."""
        diverged = self._last is not None and failure.status != "out_of_memory"
        return self.finish("diverged" if diverged else failure.status, failure.reason)

    def finish(self, status: Status, error: str | None = None) -> Relaxation:
        """The record of a structure whose relaxation ends here."""
        first, last = self._first, self._last
        return Relaxation(
            status=status,
            error=error,
            structure=self._good,
            energy_initial=None if first is None else first / len(self),
            energy_final=None if last is None else last.energy / len(self),
            max_force=None if last is None else _largest(last.forces, rows=True),
            max_stress=None if last is None else _largest(last.stress, rows=False),
            steps=self.steps,
        )


def relax(
    potential: Potential,
    structures: Sequence[Structure | None],
    *,
    max_force: float,
    max_steps: int,
    keep_symmetry: bool = False,
    atoms_at_once: int = ATOMS_AT_ONCE,
    on_done: Callable[[int, Relaxation], None] | None = None,
    on_sweep: Callable[[], None] | None = None,
) -> list[Relaxation]:
    """Relax positions and cell of ``structures``; primitive cells are cheapest.

    Parameters
    ----------
    structures
        None stands for a structure that could not be decoded.
    max_force
        eV/Å. A structure is converged when every force on an atom and every row of the force on
        the cell is shorter, as in ASE with its ``FrechetCellFilter``. The force on the cell is
        minus the derivative of the energy with respect to the logarithm of the deformation, divided
        by the number of atoms. It is compared with the same number although its unit is eV. For
        small deformations it is minus the stress times the volume per atom: at 15 Å³ per atom, a
        limit of 0.1 corresponds to 1 GPa.
    max_steps
        Number of steps after which a relaxation ends as ``not_converged``.
    keep_symmetry
        Whether to preserve the space group, determined with a tolerance of 0.01 Å.
    atoms_at_once
        Total number of atoms that are relaxed at a time; a larger structure is relaxed alone. With
        1, every structure is relaxed alone, and its result does not depend on the others at all.
    on_done
        Called with the index and the record as soon as a structure is finished.
    on_sweep
        Called before each evaluation of the active structures; an exception from it is passed on.

    Returns
    -------
    list of Relaxation
        One per structure, in order.
    """
    done: dict[int, Relaxation] = {}
    waiting = list(reversed(range(len(structures))))
    active: dict[int, _Active] = {}

    def finish(index: int, record: Relaxation) -> None:
        done[index] = record
        active.pop(index, None)
        if on_done is not None:
            on_done(index, record)

    def enter() -> None:
        atoms = sum(map(len, active.values()))
        while waiting:
            structure = structures[waiting[-1]]
            size = len(structure or ())
            if active and atoms + size > atoms_at_once:
                return
            index = waiting.pop()
            failure = screen(potential, structure)
            if failure is not None:
                finish(index, _rejected(failure))
            elif structure is not None:
                active[index] = _Active(structure, keep_symmetry=keep_symmetry)
                atoms += size

    enter()
    while active:
        if on_sweep is not None:
            on_sweep()
        in_order = sorted(active.items())
        geometries = [state.structure for _, state in in_order]
        answers = evaluate_each(potential, geometries, forces=True)
        for (index, state), answer in zip(in_order, answers, strict=True):
            if isinstance(answer, Failure):
                finish(index, state.fail(answer))
                continue
            try:
                state.accept(answer)
            except ValueError as error:
                finish(index, state.finish("error", str(error)))
                continue
            if state.is_converged(max_force):
                finish(index, state.finish("converged"))
            elif state.steps >= max_steps:
                finish(index, state.finish("not_converged"))
            else:
                state.move()
        enter()
    return [done[i] for i in range(len(structures))]


def _rejected(failure: Failure) -> Relaxation:
    """The record of a structure that is not relaxed at all."""
    return Relaxation(failure.status, failure.reason, None, None, None, None, None, 0)


def _largest(values: NDArray[np.float64] | None, *, rows: bool) -> float:
    assert values is not None
    return float(np.linalg.norm(values, axis=1).max() if rows else np.abs(values).max())
