"""A potential whose work is divided among the processes of a job."""

from collections.abc import Callable, Sequence

from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.jobs.device import is_out_of_memory
from crystalformer_rl.jobs.parallel import Parallel, in_order
from crystalformer_rl.potentials.base import (
    STRUCTURE_ERRORS,
    Evaluation,
    Potential,
    is_lost_gpu,
)


class SharedPotential:
    """A :class:`~crystalformer_rl.potentials.base.Potential`; each process evaluates its share.

    All processes must hand over the same crystals, and all get the evaluations of all. An error
    in one process is raised in all of them, so that each looks for the crystal at fault in the
    same way.

    Parameters
    ----------
    check
        Called before each evaluation, in every process.
    """

    def __init__(
        self, potential: Potential, parallel: Parallel, *, check: Callable[[], None]
    ) -> None:
        self.name = potential.name
        self.version = potential.version
        self.digest = potential.digest
        self.energy_convention = potential.energy_convention
        self.elements = potential.elements
        self._potential = potential
        self._parallel = parallel
        self._check = check

    def evaluate(self, cells: Sequence[Cell], *, forces: bool = True) -> list[Evaluation]:
        """Evaluate ``cells``.

        Raises
        ------
        RuntimeError, MemoryError
            If any of them cannot be evaluated.
        """
        self._check()
        if self._parallel.size == 1:
            return self._potential.evaluate(cells, forces=forces)
        rank, size = self._parallel.rank, self._parallel.size
        shares = self._parallel.gather(self._attempt(cells[rank::size], forces=forces))
        found: list[list[Evaluation]] = []
        for share in shares:
            if isinstance(share, Exception):
                raise share
            found.append(share)
        return in_order(found)

    def _attempt(
        self, share: Sequence[Cell], *, forces: bool
    ) -> list[Evaluation] | RuntimeError | MemoryError:
        """Evaluations of this process's share, or an error that all processes can raise."""
        if not share:
            return []
        try:
            return self._potential.evaluate(share, forces=forces)
        except STRUCTURE_ERRORS as error:
            if is_lost_gpu(error):
                raise
            kind = MemoryError if is_out_of_memory(error) else RuntimeError
            return kind(f"{type(error).__name__}: {error}")
