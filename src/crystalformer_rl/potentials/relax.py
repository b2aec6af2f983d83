"""Relaxation of many structures at once: FIRE over positions and cell, energies in batches.

Every structure has an optimiser of its own and shares only the potential's batched call: it
leaves when it is converged, broken or out of steps, and the next one enters.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Lattice, Structure

from crystalformer_rl.potentials.base import Evaluation, Failure, Potential, evaluate_each
from crystalformer_rl.potentials.fire import Fire

Status = Literal[
    "converged", "not_converged", "diverged", "unphysical", "unknown_element", "out_of_memory",
    "error",
]  # fmt: skip
STRUCTURES_AT_ONCE = 24


@dataclass(frozen=True)
class Relaxation:
    """What became of one structure.

    Attributes
    ----------
    status
        ``converged`` and ``not_converged`` (out of steps) carry a relaxed structure; ``diverged``
        means that it left the physical range on the way, and carries the last good geometry.
    error
        The reason, for every status but the first two.
    structure
        Last good geometry, or None if there never was one.
    energy_initial, energy_final
        eV/atom before the first and at the last good step.
    max_force
        Largest force on an atom, eV/Å, at the last good step.
    max_stress
        Largest component of the stress, eV/Å³, at the last good step.
    steps
        Steps taken.
    """

    status: Status
    error: str | None
    structure: Structure | None
    energy_initial: float | None
    energy_final: float | None
    max_force: float | None
    max_stress: float | None
    steps: int


NOTHING = Relaxation("unphysical", "no structure", None, None, None, None, None, 0)


class _Walker:
    """One structure on its way down."""

    def __init__(self, structure: Structure) -> None:
        self._species = structure.species
        self._fire = Fire(structure.lattice.matrix, structure.cart_coords)
        self._forces: NDArray[np.float64] | None = None
        self.structure = structure
        self.first: float | None = None
        self.last: Evaluation | None = None
        self.good: Structure | None = None
        self.steps = 0

    def accept(self, evaluation: Evaluation) -> None:
        """Take the evaluation of the present geometry."""
        assert evaluation.forces is not None and evaluation.stress is not None
        self._forces = self._fire.generalised_forces(evaluation.forces, evaluation.stress)
        if self.first is None:
            self.first = evaluation.energy
        self.last, self.good = evaluation, self.structure

    def is_converged(self, max_force: float) -> bool:
        """Whether forces on the atoms and on the cell are all below ``max_force``, eV/Å."""
        assert self._forces is not None
        return bool(np.linalg.norm(self._forces, axis=1).max() < max_force)

    def move(self) -> None:
        """Take one FIRE step; the new geometry awaits its evaluation."""
        assert self._forces is not None
        self._fire.move(self._forces)
        self.steps += 1
        self.structure = Structure(
            Lattice(self._fire.cell),
            self._species,
            self._fire.positions,
            coords_are_cartesian=True,
        )

    def finish(self, status: Status, error: str | None = None) -> Relaxation:
        last, count = self.last, len(self.structure)
        return Relaxation(
            status=status,
            error=error,
            structure=self.good,
            energy_initial=None if self.first is None else self.first / count,
            energy_final=None if last is None else last.energy / count,
            max_force=_largest(None if last is None else last.forces, rows=True),
            max_stress=_largest(None if last is None else last.stress, rows=False),
            steps=self.steps,
        )


def relax(
    potential: Potential,
    structures: Sequence[Structure | None],
    *,
    max_force: float,
    max_steps: int,
    at_once: int = STRUCTURES_AT_ONCE,
    on_done: Callable[[int, Relaxation], None] | None = None,
) -> list[Relaxation]:
    """Relax positions and cell of ``structures`` (primitive cells are cheapest).

    Parameters
    ----------
    max_force
        Converged when every force on an atom, and on the cell (the filter's: the virial over the
        number of atoms), is below this, eV/Å.
    max_steps
        Steps after which a structure is given up as ``not_converged``.
    at_once
        Structures under way at a time.
    on_done
        Called with index and record as soon as a structure is finished.

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

    while waiting or walkers:
        while waiting and len(walkers) < at_once:
            index = waiting.pop()
            structure = structures[index]
            if structure is None:
                finish(index, NOTHING)
            else:
                walkers[index] = _Walker(structure)
        active = sorted(walkers)
        answers = evaluate_each(
            potential, [walkers[i].structure for i in active], forces=True, chunk=at_once
        )
        for index, answer in zip(active, answers, strict=True):
            walker = walkers[index]
            if isinstance(answer, Failure):
                status: Status = answer.status if walker.first is None else "diverged"
                finish(index, walker.finish(status, answer.reason))
                continue
            walker.accept(answer)
            if walker.is_converged(max_force):
                finish(index, walker.finish("converged"))
            elif walker.steps >= max_steps:
                finish(index, walker.finish("not_converged"))
            else:
                walker.move()
    return [done[i] for i in range(len(structures))]


def _largest(values: NDArray[np.float64] | None, *, rows: bool) -> float | None:
    if values is None:
        return None
    return float(np.linalg.norm(values, axis=1).max() if rows else np.abs(values).max())
