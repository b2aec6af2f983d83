"""Relaxation of many structures at once: FIRE for positions and cell, energies in batches.

A structure leaves when it is converged, has failed or has no steps left, and the next ones enter.
Its result depends on the others only through the sums of the potential, in the last digits.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.potentials.base import (
    Evaluation,
    Failure,
    Potential,
    evaluate_each,
    screen,
)
from crystalformer_rl.potentials.fire import Array, Fire
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
    """What is known of one structure during its relaxation, but for the state of the optimiser."""

    def __init__(self, index: int, structure: Structure) -> None:
        self.index = index
        self.structure = structure
        self.steps = 0
        self._numbers = Cell.of(structure).numbers
        self._symmetry: Symmetry | None = None
        self._first: float | None = None
        self._last: Evaluation | None = None
        self._good: Structure | None = None

    def __len__(self) -> int:
        """Number of atoms."""
        return len(self._numbers)

    def accept(self, evaluation: Evaluation, *, keep_symmetry: bool) -> tuple[Array, Array]:
        """Store the evaluation of the current geometry; return forces (n, 3) and stress (3, 3).

        Raises
        ------
        ValueError
            If no symmetry is found.
        """
        forces, stress = evaluation.forces, evaluation.stress
        assert forces is not None and stress is not None
        if keep_symmetry and self._symmetry is None:
            self._symmetry = Symmetry(self.structure)
        if self._symmetry is not None:
            matrix = self.structure.lattice.matrix
            forces, stress = self._symmetry.project(matrix, forces, stress)
        if self._first is None:
            self._first = evaluation.energy
        self._last, self._good = evaluation, self.structure
        return forces, stress

    def move(self, matrix: Array, positions: Array) -> None:
        """Take a new cell (3, 3), Å, and fractional positions (n, 3), to be evaluated next."""
        self.structure = Cell(matrix, self._numbers, positions).structure()
        self.steps += 1

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
    group = _Group(keep_symmetry=keep_symmetry)

    def finish(index: int, record: Relaxation) -> None:
        done[index] = record
        if on_done is not None:
            on_done(index, record)

    def enter() -> None:
        atoms, new = len(group), []
        while waiting:
            structure = structures[waiting[-1]]
            size = len(structure or ())
            if atoms and atoms + size > atoms_at_once:
                break
            index = waiting.pop()
            failure = screen(potential, structure)
            if failure is not None:
                finish(index, _rejected(failure))
            elif structure is not None:
                new.append(_Active(index, structure))
                atoms += size
        group.add(new)

    enter()
    while len(group):
        if on_sweep is not None:
            on_sweep()
        answers = evaluate_each(potential, group.structures, forces=True)
        for index, record in group.advance(answers, max_force=max_force, max_steps=max_steps):
            finish(index, record)
        enter()
    return [done[i] for i in range(len(structures))]


class _Group:
    """The structures that are relaxed together."""

    def __init__(self, *, keep_symmetry: bool) -> None:
        self._keep_symmetry = keep_symmetry
        self._active: list[_Active] = []
        self._fire: Fire | None = None

    def __len__(self) -> int:
        """Number of atoms."""
        return sum(map(len, self._active))

    @property
    def structures(self) -> list[Structure]:
        """The current geometries, in the order of their indices."""
        return [state.structure for state in self._active]

    def add(self, new: list[_Active]) -> None:
        """Let more structures take part."""
        if new:
            start = Fire.at_rest(
                [state.structure.lattice.matrix for state in new],
                [state.structure.cart_coords for state in new],
            )
            self._fire = self._fire.joined(start) if self._fire and self._active else start
            self._active += new

    def advance(
        self, answers: Sequence[Evaluation | Failure], *, max_force: float, max_steps: int
    ) -> list[tuple[int, Relaxation]]:
        """Take one step; return index and record of each structure that ends with these answers."""
        ended: dict[int, Relaxation] = {}
        found = []
        for state, answer in zip(self._active, answers, strict=True):
            try:
                if isinstance(answer, Failure):
                    ended[state.index] = state.fail(answer)
                else:
                    found.append(state.accept(answer, keep_symmetry=self._keep_symmetry))
            except ValueError as error:
                ended[state.index] = state.finish("error", str(error))
        fire = self._without(ended)
        if found:
            forces = fire.generalised_forces(
                np.concatenate([on_atoms for on_atoms, _ in found]),
                np.stack([stress for _, stress in found]),
            )
            converged = fire.largest(*forces) < max_force
            for state, is_converged in zip(self._active, converged.tolist(), strict=True):
                if is_converged or state.steps >= max_steps:
                    status: Status = "converged" if is_converged else "not_converged"
                    ended[state.index] = state.finish(status)
            self._move(ended, *forces)
        return sorted(ended.items(), key=lambda item: item[0])

    def _without(self, ended: Mapping[int, Relaxation]) -> Fire:
        """Leave out what has ended; the state of the others."""
        assert self._fire is not None
        kept = [state.index not in ended for state in self._active]
        self._fire = self._fire.only(np.array(kept, dtype=bool))
        self._active = [state for state in self._active if state.index not in ended]
        return self._fire

    def _move(self, ended: Mapping[int, Relaxation], on_atoms: Array, on_cells: Array) -> None:
        """Take a step along generalised forces, without what has ended."""
        assert self._fire is not None
        kept = np.array([state.index not in ended for state in self._active])
        by_atom = np.repeat(kept, self._fire.counts)
        fire = self._without(ended)
        if not self._active:
            return
        fire.move(on_atoms[by_atom], on_cells[kept])
        positions = np.split(fire.fractional, np.cumsum(fire.counts)[:-1])
        for state, cell, places in zip(self._active, fire.cells, positions, strict=True):
            state.move(cell, places)


def _rejected(failure: Failure) -> Relaxation:
    """The record of a structure that is not relaxed at all."""
    return Relaxation(failure.status, failure.reason, None, None, None, None, None, 0)


def _largest(values: NDArray[np.float64] | None, *, rows: bool) -> float:
    assert values is not None
    return float(np.linalg.norm(values, axis=1).max() if rows else np.abs(values).max())
