"""Deformed crystals with potentials that ASE implements itself, and what the optimiser sees."""

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.potentials.coordinates import Coordinates


def rattled(kind: str) -> Atoms:
    """Four atoms of an alloy (``emt``), or two of argon (``lj``)."""
    if kind == "emt":
        atoms = bulk("Cu", cubic=True)
        atoms.symbols[1] = "Au"
        atoms.calc = EMT()
    else:
        atoms = bulk("Ar", "fcc", a=5.4).repeat((2, 1, 1))
        atoms.calc = LennardJones(sigma=3.4, epsilon=0.0104, rc=9.0, smooth=True)
    rng = np.random.default_rng(3)
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.04 * rng.normal(size=(3, 3))), True)
    atoms.positions += 0.05 * rng.normal(size=atoms.positions.shape)
    return atoms


def start(crystals: list[Atoms]) -> Coordinates:
    """Their undeformed coordinates."""
    return Coordinates.of(
        [
            Cell(one.cell.array, one.numbers, one.get_scaled_positions(wrap=False))
            for one in crystals
        ]
    )


def forces_and_stresses(crystals: list[Atoms]) -> tuple[np.ndarray, np.ndarray]:
    """Forces (n, 3) and stresses (m, 3, 3) of all crystals."""
    forces = np.concatenate([one.get_forces() for one in crystals])
    return forces, np.stack([one.get_stress(voigt=False) for one in crystals])


def place(crystals: list[Atoms], coordinates: Coordinates) -> None:
    """Move the crystals to ``coordinates``."""
    ends = np.cumsum(coordinates.counts)[:-1]
    for one, cell, places in zip(
        crystals, coordinates.cells, np.split(coordinates.fractional, ends), strict=True
    ):
        one.set_cell(cell)
        one.set_scaled_positions(places)
