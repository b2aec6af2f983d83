"""A potential with a cache: no crystal is evaluated twice within a run."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

from pymatgen.core import Structure

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

    def evaluate(self, structures: Sequence[Structure], *, forces: bool = True) -> list[Evaluation]:
        """Evaluate ``structures``, each at most once.

        A cached evaluation with forces also serves a request without them.
        """
        keys = [structure_digest(structure) for structure in structures]
        new: dict[bytes, Structure] = {}
        answers: dict[bytes, Evaluation] = {}
        for key, structure in zip(keys, structures, strict=True):
            cached = self._cache.get(key)
            if cached is None or (forces and cached.forces is None):
                new[key] = structure
            else:
                answers[key] = cached
        if new:
            found = self._potential.evaluate(list(new.values()), forces=forces)
            answers |= zip(new, found, strict=True)
        self.hits += len(structures) - len(new)
        self.misses += len(new)
        for key in keys:
            self._cache[key] = answers[key]
            self._cache.move_to_end(key)
        while len(self._cache) > self._size:
            self._cache.popitem(last=False)
        if forces:
            return [answers[key] for key in keys]
        return [replace(answers[key], forces=None, stress=None) for key in keys]


def structure_digest(structure: Structure) -> bytes:
    """:func:`~crystalformer_rl.crystal.digest.cell_digest` of a structure."""
    return cell_digest(structure.lattice.matrix, structure.atomic_numbers, structure.frac_coords)
