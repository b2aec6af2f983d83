"""Interface of potentials: energies, forces and stresses of lists of crystals, and failures.

A bad crystal never affects another: :func:`evaluate_each` screens every crystal first. If a batch
still raises an error, it is halved until the crystal that causes it is isolated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from crystalformer_rl.crystal.cell import Cell, edges_of, volume_of
from crystalformer_rl.crystal.distances import MIN_DISTANCE_ANGSTROM, closer_than
from crystalformer_rl.jobs.device import is_out_of_memory

EnergyConvention = Literal["mp2020_corrected", "uncorrected", "matpes", "omat24"]
"""The kind of energies that a potential was trained on.

``mp2020_corrected``: Materials Project PBE(+U) with the MP2020 corrections already in them.
``uncorrected``: the same without them. The corrections have to be applied once.
``matpes``: MatPES PBE, without U and with other pseudopotentials. The corrections do not apply.
``omat24``: OMat24, PBE(+U) with newer pseudopotentials. Its energy of MgBr2 is 0.18 eV/atom above
the Materials Project's, corrections fitted to it differ from MP2020 by up to 0.5 eV per atom (Co in
oxides), and its authors advise against MP2020 (``facebookresearch/fairchem``,
``src/fairchem/data/omat``).
"""

VOLUME_PER_ATOM_ANGSTROM3 = (1.5, 400.0)
MAX_LENGTH_ANGSTROM = 100.0
# The lowest PBE energy of a solid relative to VASP's atoms is about -13 (W). Far from their
# training data, potentials can predict -100,000.
LOWEST_ENERGY_EV_PER_ATOM = -20.0
STRUCTURE_ERRORS = (RuntimeError, MemoryError, ValueError, ArithmeticError, LookupError)
"""What a potential may raise for a crystal that it cannot evaluate."""


@dataclass(frozen=True)
class Evaluation:
    """The result of a potential for one crystal.

    Attributes
    ----------
    energy
        eV, of the whole cell.
    forces
        (n, 3) eV/Å, or None if they were not requested.
    stress
        (3, 3) eV/Å³, dE/dstrain over the volume (positive if shrinking lowers the energy), or None.
    features
        (d,) learned features of the crystal, averaged over its atoms, or None.
    """

    energy: float
    forces: NDArray[np.float64] | None = None
    stress: NDArray[np.float64] | None = None
    features: NDArray[np.float64] | None = None


FailureStatus = Literal["unphysical", "unknown_element", "out_of_memory", "error"]


@dataclass(frozen=True)
class Failure:
    """Why a crystal has no evaluation."""

    status: FailureStatus
    reason: str


class Potential(Protocol):
    """A machine-learned interatomic potential.

    Attributes
    ----------
    name, version
        Registered name and version of the weights, such as ``chgnet`` and ``0.3.0``.
    digest
        sha256 of its weights and the version of its package, in hexadecimal.
    energy_convention
        The kind of its training energies.
    elements
        Symbols of the elements that it supports.
    """

    name: str
    version: str
    digest: str
    energy_convention: EnergyConvention
    elements: frozenset[str]

    def evaluate(self, cells: Sequence[Cell], *, forces: bool = True) -> list[Evaluation]:
        """Evaluate crystals in batches; raise if any of them cannot be evaluated."""
        ...


def convention_of(name: str) -> EnergyConvention:
    """The convention that a model's ``name`` indicates; ``uncorrected`` if it indicates none.

    The data of the last training count.

    >>> convention_of("MACE-matpes-pbe-omat-ft.model")  # OMat24, fine-tuned on MatPES
    'matpes'
    """
    if "matpes" in name.lower():
        return "matpes"
    return "omat24" if "omat" in name.lower() else "uncorrected"


def is_lost_gpu(error: BaseException) -> bool:
    """Whether the GPU failed, so that no further crystal can be evaluated."""
    return isinstance(error, torch.AcceleratorError) and not is_out_of_memory(error)


def screen(potential: Potential, cell: Cell | None) -> Failure | None:
    """Why a crystal must not be passed to ``potential``, or None.

    Rejected are crystals without atoms, unknown elements, volumes per atom outside the range of
    crystals, and atoms closer than 0.5 Å, periodic images included. Predictions for them are
    meaningless, and the neighbour list of a collapsed cell can exhaust the memory.
    """
    if cell is None:
        return Failure("unphysical", "no structure")
    if not len(cell):
        return Failure("unphysical", "no atoms")
    if unknown := sorted(cell.symbols - potential.elements):
        return Failure("unknown_element", f"{potential.name} does not know {', '.join(unknown)}")
    reason = unphysical(cell)
    return None if reason is None else Failure("unphysical", reason)


def unphysical(cell: Cell) -> str | None:
    """Why the coordinates or the lattice of ``cell`` are those of no crystal, or None."""
    matrix = cell.matrix
    if not (np.isfinite(matrix).all() and np.isfinite(cell.positions).all()):
        return "a coordinate or a lattice vector is not finite"
    volume = volume_of(matrix) / len(cell.numbers)
    low, high = VOLUME_PER_ATOM_ANGSTROM3
    if not low <= volume <= high:
        return f"{volume:.3g} Å³ per atom, allowed: {low:g} to {high:g}"
    longest = max(edges_of(matrix))
    if longest > MAX_LENGTH_ANGSTROM:
        return f"a lattice vector of {longest:.0f} Å, allowed: {MAX_LENGTH_ANGSTROM:g} Å or less"
    distance = closer_than(MIN_DISTANCE_ANGSTROM, cell)
    if distance is not None:
        return f"atoms {distance:.3f} Å apart, allowed: {MIN_DISTANCE_ANGSTROM} Å or more"
    return None


def evaluate_each(
    potential: Potential,
    cells: Sequence[Cell | None],
    *,
    forces: bool = False,
) -> list[Evaluation | Failure]:
    """Evaluate every crystal that can be evaluated; return a reason for each of the others.

    Parameters
    ----------
    cells
        None stands for a crystal that could not be decoded.
    forces
        Whether forces and stresses are computed.

    Returns
    -------
    list
        One :class:`Evaluation` or :class:`Failure` per crystal, in order.

    Raises
    ------
    torch.AcceleratorError
        If the GPU fails. The cause is not a crystal, and no further crystal can be evaluated.
    """
    failures = {i: screen(potential, cell) for i, cell in enumerate(cells)}
    good = [i for i, failure in failures.items() if failure is None]
    answers = _bisect(potential, [c for i in good if (c := cells[i]) is not None], forces=forces)
    by_index: dict[int, Evaluation | Failure] = dict(zip(good, answers, strict=True))
    by_index |= {i: failure for i, failure in failures.items() if failure is not None}
    return [by_index[i] for i in range(len(cells))]


def _bisect(potential: Potential, cells: list[Cell], *, forces: bool) -> list[Evaluation | Failure]:
    """Evaluate together; on an error halve the batch, so that only the crystal at fault fails."""
    if not cells:
        return []
    try:
        answers: list[Evaluation | Failure] = list(potential.evaluate(cells, forces=forces))
    except STRUCTURE_ERRORS as error:
        if is_lost_gpu(error):
            raise
        if len(cells) == 1:
            status: FailureStatus = "out_of_memory" if is_out_of_memory(error) else "error"
            return [Failure(status, _first_line(error))]
    else:
        return [_credible(*pair) for pair in zip(cells, answers, strict=True)]
    half = len(cells) // 2
    return _bisect(potential, cells[:half], forces=forces) + _bisect(
        potential, cells[half:], forces=forces
    )


def _credible(cell: Cell, answer: Evaluation | Failure) -> Evaluation | Failure:
    if not isinstance(answer, Evaluation):
        return answer
    numbers = [np.atleast_1d(answer.energy), answer.forces, answer.stress]
    if not all(np.isfinite(x).all() for x in numbers if x is not None):
        return Failure("error", "the potential returned a number that is not finite")
    energy = answer.energy / len(cell)
    if energy < LOWEST_ENERGY_EV_PER_ATOM:
        return Failure(
            "unphysical",
            f"{energy:.1f} eV/atom, deeper than any solid: allowed are "
            f"{LOWEST_ENERGY_EV_PER_ATOM:g} and more",
        )
    return answer


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else 'no message'}"
