"""Crystals of a CSV file, rattled, to be relaxed."""

from itertools import islice
from pathlib import Path

import numpy as np
from pymatgen.core import Lattice, Structure

from crystalformer_rl.crystal.readers import read_crystals

DISPLACEMENT = 0.1
STRAIN = 0.03


def rattled_crystals(
    path: Path, *, count: int, max_atoms: int, seed: int = 0
) -> dict[str, Structure]:
    """The first ``count`` crystals of a file that have at most ``max_atoms``, by their names.

    Every atom is moved by 0.1 Å in a random direction, and the six components of a symmetric
    strain are drawn from −3 % to 3 %.
    """
    rng = np.random.default_rng(seed)
    rows = ((row.id, row.structure) for row in read_crystals(path))
    small = ((name, s) for name, s in rows if s is not None and len(s) <= max_atoms)
    return {name: rattled(structure, rng) for name, structure in islice(small, count)}


def rattled(ideal: Structure, rng: np.random.Generator) -> Structure:
    """``ideal`` with every atom moved and the cell strained."""
    upper = np.triu(rng.uniform(-STRAIN, STRAIN, size=(3, 3)))
    strain = upper + np.triu(upper, k=1).T
    strained = Structure(
        Lattice(ideal.lattice.matrix @ (np.eye(3) + strain)), ideal.species, ideal.frac_coords
    )
    shifts = rng.normal(size=(len(ideal), 3))
    shifts *= DISPLACEMENT / np.linalg.norm(shifts, axis=1, keepdims=True)
    return Structure(
        strained.lattice,
        ideal.species,
        strained.cart_coords + shifts,
        coords_are_cartesian=True,
    )
