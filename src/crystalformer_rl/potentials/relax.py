"""Relaxation of many structures at once: FIRE over positions and cell, energies in batches.

Every structure has an optimiser of its own and shares only the potential's batched call: it
leaves when it is converged, broken or out of steps, and the next ones enter. What becomes of it
therefore depends on its neighbours only where the potential's sums do, in the last digits.
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
    "out_of_memory": "The structure does not fit into memory, even in a batch of its own.",
    "error": "The potential raised an error or returned invalid numbers.",
}
# With these statuses, the last geometry and its energy are used.
WITH_ENERGY: tuple[Status, ...] = ("converged", "not_converged")

# Enough for the largest batch of a GPU; a potential divides them into batches that fit.
ATOMS_AT_ONCE = 16384


@dataclass(frozen=True)
class Relaxation:
    """What became of one structure.

    Attributes
    ----------
    status
        See :data:`STATUSES`.
    error
        The reason, for every status that is not in :data:`WITH_ENERGY`.
    structure
        Last geometry that could be evaluated, or None if there never was one.
    energy_initial, energy_final
        eV/atom of the first and of the last such geometry.
    max_force
        Largest force on an atom there, eV/Å.
    max_stress
        Largest component of the stress there, eV/Å³.
    steps
        Steps taken, the one that failed included.
    """

    status: Status
    error: str | None
    structure: Structure | None
    energy_initial: float | None
    energy_final: float | None
    max_force: float | None
    max_stress: float | None
    steps: int


class _Walker:
    """One structure on its way down."""

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
        """Atoms."""
        return len(self._species)

    def accept(self, evaluation: Evaluation) -> None:
        """Take the evaluation of the present geometry; ValueError if its symmetry is not found."""
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
        """Take one FIRE step; the new geometry awaits its evaluation."""
        assert self._forces is not None
        self._fire.move(self._forces)
        self.steps += 1
        self.structure = Structure(Lattice(self._fire.cell), self._species, self._fire.fractional)

    def fail(self, failure: Failure) -> Relaxation:
        """The record of a structure whose present geometry cannot be evaluated."""
        on_the_way = self._last is not None and failure.status != "out_of_memory"
        return self.finish("diverged" if on_the_way else failure.status, failure.reason)

    def finish(self, status: Status, error: str | None = None) -> Relaxation:
        """The record of a structure that goes no further."""
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
    """Relax positions and cell of ``structures`` (primitive cells are cheapest).

    Parameters
    ----------
    structures
        May hold None for what could not be decoded.
    max_force
        eV/Å. Converged when every force on an atom and every row of the force on the cell is
        shorter, as in ASE with its ``FrechetCellFilter``. The force on the cell is minus the
        derivative of the energy by the log of the deformation, over the number of atoms; it is
        counted in the same number although its unit is eV. Near the start it is minus the stress
        times the volume per atom: at 15 Å³ per atom a limit of 0.1 stands for 1 GPa.
    max_steps
        Steps after which a structure is given up as ``not_converged``.
    keep_symmetry
        Whether no step may lower the space group that the structure has at 0.01 Å.
    atoms_at_once
        Atoms of the structures under way at a time; a larger structure goes alone, and with 1
        all go alone: then what becomes of one does not depend on the others in a single bit.
    on_done
        Called with index and record as soon as a structure is finished.
    on_sweep
        Called before each evaluation of the structures under way; what it raises ends the call.

    Returns
    -------
    list of Relaxation
        One per structure, in order.
    """
    done: dict[int, Relaxation] = {}
    waiting = list(reversed(range(len(structures))))
    walkers: dict[int, _Walker] = {}

    def finish(index: int, record: Relaxation) -> None:
        done[index] = record
        walkers.pop(index, None)
        if on_done is not None:
            on_done(index, record)

    def enter() -> None:
        atoms = sum(map(len, walkers.values()))
        while waiting:
            structure = structures[waiting[-1]]
            size = len(structure or ())
            if walkers and atoms + size > atoms_at_once:
                return
            index = waiting.pop()
            failure = screen(potential, structure)
            if failure is not None:
                finish(index, _refused(failure))
            elif structure is not None:
                walkers[index] = _Walker(structure, keep_symmetry=keep_symmetry)
                atoms += size

    enter()
    while walkers:
        if on_sweep is not None:
            on_sweep()
        under_way = sorted(walkers.items())
        geometries = [walker.structure for _, walker in under_way]
        answers = evaluate_each(potential, geometries, forces=True)
        for (index, walker), answer in zip(under_way, answers, strict=True):
            if isinstance(answer, Failure):
                finish(index, walker.fail(answer))
                continue
            try:
                walker.accept(answer)
            except ValueError as error:
                finish(index, walker.finish("error", str(error)))
                continue
            if walker.is_converged(max_force):
                finish(index, walker.finish("converged"))
            elif walker.steps >= max_steps:
                finish(index, walker.finish("not_converged"))
            else:
                walker.move()
        enter()
    return [done[i] for i in range(len(structures))]


def _refused(failure: Failure) -> Relaxation:
    """The record of a structure that cannot even begin."""
    return Relaxation(failure.status, failure.reason, None, None, None, None, None, 0)


def _largest(values: NDArray[np.float64] | None, *, rows: bool) -> float:
    assert values is not None
    return float(np.linalg.norm(values, axis=1).max() if rows else np.abs(values).max())
