"""Relaxation of many crystals at once: L-BFGS for positions and cell, energies in batches.

A crystal leaves when it is converged, has failed or has no steps left, and the next ones enter.
Its result depends on the others only through the sums of the potential, in the last digits.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.potentials.base import (
    Evaluation,
    Failure,
    Potential,
    evaluate_each,
    screen,
)
from crystalformer_rl.potentials.coordinates import Array, Coordinates
from crystalformer_rl.potentials.lbfgs import Lbfgs
from crystalformer_rl.potentials.symmetry import Symmetry

Status = Literal[
    "converged", "not_converged", "diverged", "unphysical", "unknown_element", "out_of_memory",
    "error",
]  # fmt: skip
STATUSES: Mapping[Status, str] = {
    "converged": "All forces on the atoms and on the cell are below the threshold.",
    "not_converged": "The relaxation ran out of steps. The last geometry is used: its energy is "
    "above that of the minimum.",
    "diverged": "The crystal left the physical range during the relaxation, or the potential no "
    "longer returned finite numbers.",
    "unphysical": "The crystal was not evaluated: there is none, its atoms are too close, or its "
    "cell is too small, too large or not finite.",
    "unknown_element": "The potential does not know an element of the crystal.",
    "out_of_memory": "The crystal does not fit into memory, even in a separate batch.",
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
    cell
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
    cell: Cell | None
    energy_initial: float | None
    energy_final: float | None
    max_force: float | None
    max_stress: float | None
    steps: int


class _Active:
    """What is known of one crystal during its relaxation, but for the state of the optimiser."""

    def __init__(self, index: int, cell: Cell) -> None:
        self.index = index
        self.cell = cell
        self.steps = 0
        self._symmetry: Symmetry | None = None
        self._first: float | None = None
        self._last: Evaluation | None = None
        self._good: Cell | None = None

    def __len__(self) -> int:
        """Number of atoms."""
        return len(self.cell)

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
            self._symmetry = Symmetry(self.cell)
        if self._symmetry is not None:
            forces, stress = self._symmetry.project(self.cell.matrix, forces, stress)
        if self._first is None:
            self._first = evaluation.energy
        self._last, self._good = evaluation, self.cell
        return forces, stress

    def move(self, matrix: Array, positions: Array) -> None:
        """Take a new cell (3, 3), Å, and fractional positions (n, 3), to be evaluated next."""
        self.cell = Cell(matrix, self.cell.numbers, positions)
        self.steps += 1

    def fail(self, failure: Failure) -> Relaxation:
        """The record of a crystal whose current geometry cannot be evaluated."""
        diverged = self._last is not None and failure.status != "out_of_memory"
        return self.finish("diverged" if diverged else failure.status, failure.reason)

    def finish(self, status: Status, error: str | None = None) -> Relaxation:
        """The record of a crystal whose relaxation ends here."""
        first, last = self._first, self._last
        return Relaxation(
            status=status,
            error=error,
            cell=self._good,
            energy_initial=None if first is None else first / len(self),
            energy_final=None if last is None else last.energy / len(self),
            max_force=None if last is None else _largest(last.forces, rows=True),
            max_stress=None if last is None else _largest(last.stress, rows=False),
            steps=self.steps,
        )


def relax(
    potential: Potential,
    cells: Sequence[Cell | None],
    *,
    max_force: float,
    max_steps: int,
    keep_symmetry: bool = False,
    atoms_at_once: int = ATOMS_AT_ONCE,
    on_done: Callable[[int, Relaxation], None] | None = None,
    on_sweep: Callable[[], None] | None = None,
) -> list[Relaxation]:
    """Relax positions and cell of crystals; primitive cells are cheapest.

    Parameters
    ----------
    cells
        None stands for a crystal that could not be decoded.
    max_force
        eV/Å. A crystal is converged when every force on an atom and every row of the force on
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
        Total number of atoms that are relaxed at a time; a larger crystal is relaxed alone. With
        1, every crystal is relaxed alone, and its result does not depend on the others at all.
    on_done
        Called with the index and the record as soon as a crystal is finished.
    on_sweep
        Called before each evaluation of the active crystals; an exception from it is passed on.

    Returns
    -------
    list of Relaxation
        One per crystal, in order.
    """
    done: dict[int, Relaxation] = {}
    waiting = list(reversed(range(len(cells))))
    group = _Group(keep_symmetry=keep_symmetry)

    def finish(index: int, record: Relaxation) -> None:
        done[index] = record
        if on_done is not None:
            on_done(index, record)

    def enter() -> None:
        atoms, new = len(group), []
        while waiting:
            cell = cells[waiting[-1]]
            size = 0 if cell is None else len(cell)
            if atoms and atoms + size > atoms_at_once:
                break
            index = waiting.pop()
            failure = screen(potential, cell)
            if failure is not None:
                finish(index, _rejected(failure))
            elif cell is not None:
                new.append(_Active(index, cell))
                atoms += size
        group.add(new)

    enter()
    while len(group):
        if on_sweep is not None:
            on_sweep()
        answers = evaluate_each(potential, group.cells, forces=True)
        for index, record in group.advance(answers, max_force=max_force, max_steps=max_steps):
            finish(index, record)
        enter()
    return [done[i] for i in range(len(cells))]


class _Group:
    """The crystals that are relaxed together."""

    def __init__(self, *, keep_symmetry: bool) -> None:
        self._keep_symmetry = keep_symmetry
        self._active: list[_Active] = []
        self._state: Lbfgs | None = None

    def __len__(self) -> int:
        """Number of atoms."""
        return sum(map(len, self._active))

    @property
    def cells(self) -> list[Cell]:
        """The current geometries."""
        return [one.cell for one in self._active]

    def add(self, new: list[_Active]) -> None:
        """Let more crystals take part."""
        if new:
            start = Lbfgs.at_rest(Coordinates.of([one.cell for one in new]))
            self._state = start if self._state is None else self._state.joined(start)
            self._active += new

    def advance(
        self, answers: Sequence[Evaluation | Failure], *, max_force: float, max_steps: int
    ) -> list[tuple[int, Relaxation]]:
        """Take one step; return index and record of each crystal that ends with these answers."""
        ended: dict[int, Relaxation] = {}
        found = []
        for one, answer in zip(self._active, answers, strict=True):
            try:
                if isinstance(answer, Failure):
                    ended[one.index] = one.fail(answer)
                else:
                    found.append(one.accept(answer, keep_symmetry=self._keep_symmetry))
            except ValueError as error:
                ended[one.index] = one.finish("error", str(error))
        self._leave_out(ended)
        if self._state is not None:
            coordinates = self._state.coordinates
            forces = coordinates.forces(
                np.concatenate([on_atoms for on_atoms, _ in found]),
                np.stack([stress for _, stress in found]),
            )
            converged = coordinates.longest(forces) < max_force
            for one, is_converged in zip(self._active, converged.tolist(), strict=True):
                if is_converged or one.steps >= max_steps:
                    status: Status = "converged" if is_converged else "not_converged"
                    ended[one.index] = one.finish(status)
            self._move(forces[self._leave_out(ended)])
        return sorted(ended.items(), key=lambda item: item[0])

    def _leave_out(self, ended: Mapping[int, Relaxation]) -> NDArray[np.bool_]:
        """Leave out what has ended; return the rows of a vector that are still there."""
        assert self._state is not None
        kept = np.array([one.index not in ended for one in self._active], dtype=bool)
        rows = self._state.coordinates.by_row(kept)
        self._active = [one for one in self._active if one.index not in ended]
        self._state = self._state.only(kept) if self._active else None
        return rows

    def _move(self, forces: Array) -> None:
        """Take a step along forces (n + 3m, 3)."""
        if self._state is None:
            return
        self._state = self._state.moved(forces)
        coordinates = self._state.coordinates
        positions = np.split(coordinates.fractional, np.cumsum(coordinates.counts)[:-1])
        for one, matrix, places in zip(self._active, coordinates.cells, positions, strict=True):
            one.move(matrix, places)


def _rejected(failure: Failure) -> Relaxation:
    """The record of a crystal that is not relaxed at all."""
    return Relaxation(failure.status, failure.reason, None, None, None, None, None, 0)


def _largest(values: NDArray[np.float64] | None, *, rows: bool) -> float:
    assert values is not None
    return float(np.linalg.norm(values, axis=1).max() if rows else np.abs(values).max())
