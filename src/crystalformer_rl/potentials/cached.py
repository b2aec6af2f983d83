"""A potential with a cache: no crystal is evaluated twice within a run."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.crystal.digest import cell_digest
from crystalformer_rl.potentials.base import Evaluation, Potential


class CachedPotential:
    """A :class:`~crystalformer_rl.potentials.base.Potential` that caches another's evaluations.

    Two crystals are the same if their lattice vectors and their fractional coordinates, wrapped
    into the cell, agree to 1e-8 and their atoms have the same order.

    Parameters
    ----------
    size
        Number of evaluations in the cache; the least recently used one is dropped first.

    Attributes
    ----------
    hits, misses
        Number of crystals found in the cache, and of those that had to be evaluated.
    """

    def __init__(self, potential: Potential, *, size: int = 100_000) -> None:
        self.name = potential.name
        self.version = potential.version
        self.digest = potential.digest
        self.energy_convention = potential.energy_convention
        self.elements = potential.elements
        self.hits = self.misses = 0
        self._potential = potential
        self._size = size
        self._cache: OrderedDict[bytes, Evaluation] = OrderedDict()

    def evaluate(self, cells: Sequence[Cell], *, forces: bool = True) -> list[Evaluation]:
        """Evaluate ``cells``, each at most once.

        A cached evaluation with forces also serves a request without them.
        """
        keys = [cell_digest(cell.matrix, cell.numbers, cell.positions) for cell in cells]
        new: dict[bytes, Cell] = {}
        answers: dict[bytes, Evaluation] = {}
        for key, cell in zip(keys, cells, strict=True):
            cached = self._cache.get(key)
            if cached is None or (forces and cached.forces is None):
                new[key] = cell
            else:
                answers[key] = cached
        if new:
            found = self._potential.evaluate(list(new.values()), forces=forces)
            answers |= zip(new, found, strict=True)
        self.hits += len(cells) - len(new)
        self.misses += len(new)
        for key in keys:
            self._cache[key] = answers[key]
            self._cache.move_to_end(key)
        while len(self._cache) > self._size:
            self._cache.popitem(last=False)
        if forces:
            return [answers[key] for key in keys]
        return [replace(answers[key], forces=None, stress=None) for key in keys]
