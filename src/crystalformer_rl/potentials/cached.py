"""A potential that remembers: no crystal is evaluated twice within a run."""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from pymatgen.core import Structure

from crystalformer_rl.potentials.base import Evaluation, Potential

DECIMALS = 8


class CachedPotential:
    """``potential`` with a memory; a :class:`~crystalformer_rl.potentials.base.Potential` itself.

    Crystals are the same when lattice vectors and fractional coordinates, wrapped into the cell,
    agree to 1e-8 and the atoms come in the same order.

    Parameters
    ----------
    size
        Evaluations that are kept; the one that was not asked for longest goes first.

    Attributes
    ----------
    hits, misses
        Crystals that were known, and that had to be evaluated.
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
        self._kept: OrderedDict[bytes, Evaluation] = OrderedDict()

    def evaluate(self, structures: Sequence[Structure], *, forces: bool = True) -> list[Evaluation]:
        """Evaluate ``structures``, each at most once; what has forces also answers without them."""
        keys = [structure_digest(structure) for structure in structures]
        new: dict[bytes, Structure] = {}
        answers: dict[bytes, Evaluation] = {}
        for key, structure in zip(keys, structures, strict=True):
            kept = self._kept.get(key)
            if kept is None or (forces and kept.forces is None):
                new[key] = structure
            else:
                answers[key] = kept
        if new:
            found = self._potential.evaluate(list(new.values()), forces=forces)
            answers |= zip(new, found, strict=True)
        self.hits += len(structures) - len(new)
        self.misses += len(new)
        for key in keys:
            self._kept[key] = answers[key]
            self._kept.move_to_end(key)
        while len(self._kept) > self._size:
            self._kept.popitem(last=False)
        if forces:
            return [answers[key] for key in keys]
        return [replace(answers[key], forces=None, stress=None) for key in keys]


def structure_digest(structure: Structure) -> bytes:
    """sha256 of species, lattice vectors and wrapped fractional coordinates."""
    positions = np.round(structure.frac_coords % 1, DECIMALS) % 1
    numbers = np.asarray(structure.atomic_numbers, dtype=np.int64)
    # Adding zero makes −0.0 and 0.0 the same bytes.
    lattice = np.round(structure.lattice.matrix, DECIMALS) + 0.0
    return hashlib.sha256(numbers.tobytes() + lattice.tobytes() + positions.tobytes()).digest()
