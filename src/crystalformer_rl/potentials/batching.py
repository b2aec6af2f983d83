"""Batches of crystals: as large as throughput and memory permit.

The size of a batch is counted in atoms, because time and memory scale with them. On a GPU the size
is determined by timing. On a CPU, where larger batches are not faster
(docs/reference/potentials.md), it is constant: the sums in a batch then do not depend on timing,
and runs agree bit for bit.
"""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray

from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.jobs.device import is_out_of_memory
from crystalformer_rl.potentials.base import EnergyConvention, Evaluation

ATOMS_ON_CPU = 96
ATOMS_ON_GPU = 512
TRIALS = 3
GAIN = 1.1
FULL = 0.75
PATIENCE = 10

log = logging.getLogger(__name__)


class BatchSize:
    """Atoms per batch.

    The size is doubled as long as this raises the throughput by more than a tenth, and is constant
    afterwards. If a batch does not fit into memory, the size is halved. It is doubled again after
    ten full batches, because another process on the device may have been the reason, but never
    beyond half of the largest batch that failed. If that fails too, it waits for twice as many.

    Parameters
    ----------
    atoms
        Initial size.
    grows
        Whether larger sizes are tried.
    """

    def __init__(self, atoms: int, *, grows: bool) -> None:
        self.atoms = atoms
        self._grows = grows
        self._best = 0.0
        self._rates: list[float] = []
        self._ceiling = 0  # 0: no batch has failed
        self._patience, self._full, self._regrown = PATIENCE, 0, False

    def take(self, cells: Sequence[Cell]) -> Sequence[Cell]:
        """The first ``cells`` that fit into a batch, at least one."""
        atoms = 0
        for count, cell in enumerate(cells):
            atoms += len(cell)
            if count and atoms > self.atoms:
                return cells[:count]
        return cells

    def learn(self, atoms: int, seconds: float) -> None:
        """Record that a batch of ``atoms`` took ``seconds``.

        The fastest of three batches counts, because the first ones include the warm-up of the
        device. Batches that are far from full are ignored.
        """
        if atoms < FULL * self.atoms:
            return
        if self.atoms < self._ceiling:
            self._full += 1
            if self._full == self._patience:
                self.atoms = min(2 * self.atoms, self._ceiling)
                self._full, self._regrown = 0, True
            return
        if not self._grows:
            return
        self._rates.append(atoms / seconds)
        if len(self._rates) < TRIALS:
            return
        rate = max(self._rates)
        self._rates = []
        if rate > GAIN * self._best:
            self._best = rate
            self.atoms *= 2
        else:
            self.atoms //= 2
            self._grows = False

    def shrink(self, atoms: int) -> None:
        """Record that a batch of ``atoms`` did not fit into memory."""
        self.atoms = max(1, atoms // 2)
        self._ceiling = max(self._ceiling, self.atoms)
        if self._regrown:
            self._patience *= 2
        self._full, self._regrown, self._grows = 0, False, False
        log.info("a batch of %d atoms does not fit into memory: the next has %d", atoms, self.atoms)


class BatchedPotential(ABC):
    """Base class of potentials: splits crystals into batches; subclasses evaluate one batch.

    Time and memory differ with and without forces, so each case has a separate batch size.
    """

    name: str
    version: str
    digest: str
    energy_convention: EnergyConvention
    elements: frozenset[str]

    def __init__(self, *, device: str) -> None:
        self._device = torch.device(device)
        on_cpu = self._device.type == "cpu"
        self._sizes = {
            forces: BatchSize(ATOMS_ON_CPU if on_cpu else ATOMS_ON_GPU, grows=not on_cpu)
            for forces in (False, True)
        }

    def evaluate(self, cells: Sequence[Cell], *, forces: bool = True) -> list[Evaluation]:
        """Evaluate ``cells``: eV per cell, eV/Å, eV/Å³.

        Raises
        ------
        RuntimeError, MemoryError, ValueError
            Raised by the package for a crystal that it cannot evaluate, or that does not fit into
            memory even in a separate batch.
        """
        results: list[Evaluation] = []
        while len(results) < len(cells):
            batch = self._sizes[forces].take(cells[len(results) :])
            results += self._attempt(batch, forces=forces)
        return results

    def _attempt(self, batch: Sequence[Cell], *, forces: bool) -> list[Evaluation]:
        """Evaluate a batch. If it does not fit into memory, return nothing and reduce the size."""
        size, atoms = self._sizes[forces], sum(map(len, batch))
        start = time.perf_counter()
        try:
            answers = self._evaluate(batch, forces=forces)
        except (RuntimeError, MemoryError) as error:
            if len(batch) == 1 or not is_out_of_memory(error):
                raise
            size.shrink(atoms)
            answers = []
        else:
            size.learn(atoms, time.perf_counter() - start)
        if not answers:
            # Only after the except block does the error no longer reference the batch's tensors.
            torch.cuda.empty_cache()
        return answers

    @abstractmethod
    def _evaluate(self, cells: Sequence[Cell], *, forces: bool) -> list[Evaluation]:
        """Evaluate ``cells`` in one batch."""


def ase_atoms(cell: Cell) -> Atoms:
    """Convert ``cell`` to the periodic ``Atoms`` that the packages' graph builders take."""
    return Atoms(
        numbers=cell.numbers,
        cell=cell.matrix,
        positions=cell.positions @ cell.matrix,
        pbc=True,
    )


def evaluations(
    cells: Sequence[Cell],
    energies: torch.Tensor,
    forces: torch.Tensor | None = None,
    stresses: torch.Tensor | None = None,
) -> list[Evaluation]:
    """Split the results of a batch into one evaluation per crystal.

    Parameters
    ----------
    cells
        The m crystals of the batch.
    energies
        (m,) eV.
    forces
        (n, 3) eV/Å of the n atoms of all crystals, or None.
    stresses
        (m, 3, 3) eV/Å³, or None.
    """
    # One copy from the device each, and not one per crystal.
    totals = array(energies)
    each_forces = None if forces is None else split(forces, cells)
    each_stress = None if stresses is None else array(stresses)
    return [
        Evaluation(
            energy=float(totals[i]),
            forces=None if each_forces is None else each_forces[i],
            stress=None if each_stress is None else each_stress[i],
        )
        for i in range(len(cells))
    ]


def split(rows: torch.Tensor, cells: Sequence[Cell]) -> list[NDArray[np.float64]]:
    """The rows of the atoms of each crystal, as arrays."""
    ends = np.cumsum([len(cell) for cell in cells])[:-1]
    return np.split(array(rows), ends)


def array(tensor: torch.Tensor) -> NDArray[np.float64]:
    """Copy ``tensor`` to a NumPy array in double precision, detached from the graph."""
    return np.asarray(tensor.detach().cpu().numpy(), dtype=np.float64)
