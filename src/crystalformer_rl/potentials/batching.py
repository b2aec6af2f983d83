"""Batches of crystals: as large as throughput and memory permit.

The size of a batch is counted in atoms, because time and memory scale with them. On a GPU the size
is determined by timing. On a CPU, where larger batches are not faster
(docs/reference/potentials.md), it is constant: the sums in a batch then do not depend on timing,
and runs agree bit for bit.
"""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray

from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.jobs.device import FULL, Limit, is_out_of_memory
from crystalformer_rl.potentials.base import EnergyConvention, Evaluation

T = TypeVar("T")
ATOMS_ON_CPU = 96
ATOMS_ON_GPU = 512
TRIALS = 3
GAIN = 1.1

log = logging.getLogger(__name__)


class BatchSize(Limit):
    """Atoms per batch.

    The size is doubled as long as this raises the throughput by more than a tenth, and is constant
    afterwards, unless a batch does not fit into memory.

    Parameters
    ----------
    atoms
        Initial size.
    grows
        Whether larger sizes are tried.
    """

    def __init__(self, atoms: int, *, grows: bool) -> None:
        super().__init__(atoms)
        self._grows = grows
        self._best = 0.0
        self._rates: list[float] = []

    def take(self, cells: Sequence[Cell]) -> Sequence[Cell]:
        """The first ``cells`` that fit into a batch, at least one."""
        atoms = 0
        for count, cell in enumerate(cells):
            atoms += len(cell)
            if count and atoms > self.most:
                return cells[:count]
        return cells

    def learn(self, atoms: int, seconds: float) -> None:
        """Record that a batch of ``atoms`` took ``seconds``.

        The fastest of three batches counts, because the first ones include the warm-up of the
        device. Batches that are far from full are ignored.
        """
        self.fitted(atoms)
        if not self._grows or atoms < FULL * self.most:
            return
        self._rates.append(atoms / seconds)
        if len(self._rates) < TRIALS:
            return
        rate = max(self._rates)
        self._rates = []
        if rate > GAIN * self._best:
            self._best = rate
            self.most *= 2
        else:
            self.most //= 2
            self._grows = False

    def shrink(self, units: int) -> None:
        """Record that a batch of ``units`` atoms did not fit into memory."""
        super().shrink(units)
        self._grows = False
        log.info("a batch of %d atoms does not fit into memory: the next has %d", units, self.most)


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

        The host prepares a batch while a GPU works on the one before. Of that one only the results
        are still in memory, so that batches can be as large as if they were evaluated in turn.

        Raises
        ------
        RuntimeError, MemoryError, ValueError
            Raised by the package for a crystal that it cannot evaluate, or that does not fit into
            memory even in a separate batch.
        """
        answers: list[Evaluation] = []
        size, clock = self._sizes[forces], time.perf_counter()
        for batch, results in _one_ahead(self._begun(cells, forces=forces)):
            answers += results.read(batch)
            now = time.perf_counter()
            size.learn(sum(map(len, batch)), now - clock)
            clock = now
        return answers

    def _begun(
        self, cells: Sequence[Cell], *, forces: bool
    ) -> Iterator[tuple[Sequence[Cell], "Results"]]:
        """The batches and their results, as soon as the device works on them.

        A batch that does not fit into memory is replaced by smaller ones.
        """
        size, begun = self._sizes[forces], 0
        while begun < len(cells):
            batch = size.take(cells[begun:])
            try:
                results = self._evaluate(batch, forces=forces)
            except (RuntimeError, MemoryError) as error:
                if len(batch) == 1 or not is_out_of_memory(error):
                    raise
                size.shrink(sum(map(len, batch)))
            else:
                begun += len(batch)
                yield batch, results
                continue
            # Only after the except block does the error no longer reference the batch's tensors.
            torch.cuda.empty_cache()

    @abstractmethod
    def _evaluate(self, cells: Sequence[Cell], *, forces: bool) -> "Results":
        """Evaluate ``cells`` in one batch; on a GPU, without waiting for the numbers."""


class Results:
    """Numbers of a batch of m crystals with n atoms, which a GPU may still be computing.

    They keep nothing else of the batch in memory: what has led to them is detached.

    Parameters
    ----------
    energies
        (m,) eV.
    forces
        (n, 3) eV/Å of the atoms of all crystals, or None.
    stresses
        (m, 3, 3) eV/Å³, or None.
    features
        (m, d), or None.
    """

    def __init__(
        self,
        energies: torch.Tensor,
        forces: torch.Tensor | None = None,
        stresses: torch.Tensor | None = None,
        features: torch.Tensor | None = None,
    ) -> None:
        self._energies = energies.detach()
        self._forces = None if forces is None else forces.detach()
        self._stresses = None if stresses is None else stresses.detach()
        self._features = None if features is None else features.detach()

    def read(self, cells: Sequence[Cell]) -> list[Evaluation]:
        """Wait for the numbers and divide them among the ``cells`` of the batch."""
        # One copy from the device each, and not one per crystal.
        energies = array(self._energies)
        ends = np.cumsum([len(cell) for cell in cells])[:-1]
        none: Sequence[Any] = [None] * len(cells)
        forces = none if self._forces is None else np.split(array(self._forces), ends)
        stresses = none if self._stresses is None else array(self._stresses)
        features = none if self._features is None else array(self._features)
        rows = zip(energies.tolist(), forces, stresses, features, strict=True)
        return [Evaluation(*row) for row in rows]


def _one_ahead(items: Iterable[T]) -> Iterator[T]:
    """The items, each of them only after the next one has been made.

    The host can then prepare the next batch while a GPU works on the present one.
    """
    made = None
    for item in items:
        if made is not None:
            yield made
        made = item
    if made is not None:
        yield made


def ase_atoms(cell: Cell) -> Atoms:
    """Convert ``cell`` to the periodic ``Atoms`` that the packages' graph builders take."""
    return Atoms(
        numbers=cell.numbers,
        cell=cell.matrix,
        positions=cell.positions @ cell.matrix,
        pbc=True,
    )


def array(tensor: torch.Tensor) -> NDArray[np.float64]:
    """Copy ``tensor`` to a NumPy array in double precision, detached from the graph."""
    return np.asarray(tensor.detach().cpu().numpy(), dtype=np.float64)
