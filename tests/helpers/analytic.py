"""Potentials with a formula, to relax with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from pymatgen.core import Lattice, Structure

from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.potentials.base import EnergyConvention, Evaluation
from crystalformer_rl.potentials.relax import Relaxation

# Argon binds weakly.
LIMITS = {"max_force": 0.002, "max_steps": 60}
SIGMA, EPSILON, CUTOFF = 3.4, 0.0104, 9.0


def lennard_jones(structure: Structure) -> Evaluation:
    """Argon: 4ε((σ/r)¹² − (σ/r)⁶), shifted to zero at the cutoff."""
    first, second, image, distance = structure.get_neighbor_list(r=CUTOFF)
    positions, cell = structure.cart_coords, structure.lattice.matrix
    bond = positions[second] + image @ cell - positions[first]
    six, shift = (SIGMA / distance) ** 6, (SIGMA / CUTOFF) ** 6
    energy = 4 * EPSILON * (six**2 - six - shift**2 + shift)
    pull = (24 * EPSILON * (six - 2 * six**2) / distance**2)[:, None] * bond
    forces = np.zeros_like(positions)
    np.add.at(forces, first, pull)
    # Every pair stands twice in the list.
    return Evaluation(
        energy=float(energy.sum() / 2),
        forces=forces,
        stress=bond.T @ pull / 2 / structure.volume,
    )


@dataclass
class Analytic:
    """A :class:`~crystalformer_rl.potentials.base.Potential` that calls ``formula`` on each
    crystal; ``calls`` has the numbers of atoms that were handed over together."""

    formula: Callable[[Structure], Evaluation] = lennard_jones
    calls: list[list[int]] = field(default_factory=list)
    name: str = "analytic"
    version: str = "1"
    digest: str = "0"
    energy_convention: EnergyConvention = "uncorrected"
    elements: frozenset[str] = frozenset({"Ar"})

    def evaluate(self, cells: Sequence[Cell], *, forces: bool = True) -> list[Evaluation]:
        self.calls.append([len(cell) for cell in cells])
        return [self.formula(cell.structure()) for cell in cells]


def argon(atoms: int, *, seed: int) -> Structure:
    """A row of face-centred cells of solid argon, bent; the smallest is the primitive cell."""
    rng = np.random.default_rng(seed)
    cell = 2.7 * (1 - np.eye(3)) * np.array([[atoms], [1], [1]])
    positions = np.arange(atoms)[:, None] * [1 / atoms, 0, 0]
    bend = np.eye(3) + 0.03 * rng.uniform(-1, 1, size=(3, 3))
    structure = Structure(Lattice(cell @ bend), ["Ar"] * atoms, positions)
    shift = 0.1 * rng.normal(size=(atoms, 3))
    return Structure(
        structure.lattice,
        structure.species,
        structure.cart_coords + shift,
        coords_are_cartesian=True,
    )


def same(first: Relaxation, second: Relaxation) -> bool:
    """Whether two records agree in every bit."""
    geometries = [
        None if r.cell is None else (r.cell.matrix, r.cell.positions) for r in (first, second)
    ]
    if None in geometries:
        equal = geometries == [None, None]
    else:
        equal = all(np.array_equal(a, b) for a, b in zip(*geometries, strict=True))
    return equal and replace(first, cell=None) == replace(second, cell=None)
