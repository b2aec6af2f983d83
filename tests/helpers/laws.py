"""What every potential must obey, whatever network it holds."""

from typing import TYPE_CHECKING

import numpy as np
import pytest
from ase.calculators.calculator import Calculator
from pymatgen.core import Lattice, Structure

from crystalformer_rl.crystal.cell import Cell, cells_from
from crystalformer_rl.potentials.base import Potential
from crystalformer_rl.potentials.batching import BatchedPotential, ase_atoms

if TYPE_CHECKING:
    from helpers.pretend_gpu import Gpu

FLOAT32 = 1e-5


def rattled_crystals() -> list[Structure]:
    """Crystals of one to five atoms, out of equilibrium and out of symmetry."""
    rng = np.random.default_rng(4)
    perovskite = Structure(
        Lattice.cubic(3.94),
        ["Sr", "Ti", "O", "O", "O"],
        [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
    )
    salt = Structure(Lattice(2.845 * (1 - np.eye(3))), ["Na", "Cl"], [[0, 0, 0], [1.5, -0.5, 0.5]])
    silicon = Structure(
        Lattice(2.735 * (1 - np.eye(3))), ["Si", "Si"], [[0, 0, 0], [0.25, 0.25, 0.25]]
    )
    aluminium = Structure(Lattice(2.02 * (1 - np.eye(3))), ["Al"], [[0, 0, 0]])
    rattled = []
    for structure in (salt, perovskite, aluminium, silicon):
        cell = structure.lattice.matrix @ (np.eye(3) + 0.03 * rng.normal(size=(3, 3)))
        positions = structure.frac_coords + 0.02 * rng.normal(size=(len(structure), 3))
        rattled.append(Structure(Lattice(cell), structure.species, positions))
    return rattled


def check_equals_calculator(potential: Potential, calculator: Calculator) -> None:
    """The package's own ASE calculator, one crystal at a time, says the same."""
    crystals = rattled_crystals()
    for structure, ours in zip(crystals, potential.evaluate(cells_from(crystals)), strict=True):
        atoms = ase_atoms(Cell.of(structure))
        atoms.calc = calculator
        assert ours.energy == pytest.approx(
            float(atoms.get_potential_energy()), abs=1e-4 * len(structure)
        )
        np.testing.assert_allclose(ours.forces, atoms.get_forces(), atol=1e-3)
        np.testing.assert_allclose(ours.stress, atoms.get_stress(voigt=False), atol=1e-5)


def check_batch_does_not_matter(potential: Potential) -> None:
    """Together, backwards and alone, with forces and without: the same numbers."""
    crystals = rattled_crystals()
    together = potential.evaluate(cells_from(crystals))
    backwards = potential.evaluate(cells_from(crystals[::-1]))[::-1]
    energies = potential.evaluate(cells_from(crystals), forces=False)
    for i, structure in enumerate(crystals):
        alone = potential.evaluate(cells_from([structure]))[0]
        near = pytest.approx(alone.energy, abs=FLOAT32 * len(structure))
        assert together[i].energy == near
        assert backwards[i].energy == near
        assert energies[i].energy == near
        assert energies[i].forces is None
        assert energies[i].stress is None
        np.testing.assert_allclose(together[i].forces, alone.forces, atol=FLOAT32)
        np.testing.assert_allclose(backwards[i].stress, alone.stress, atol=FLOAT32)


def check_stress_is_the_slope(potential: Potential, *, tolerance: float) -> None:
    """Stress · volume is the derivative of the energy by a strain, in sign and in unit."""
    structure, step = rattled_crystals()[0], 0.01
    stress = potential.evaluate(cells_from([structure]))[0].stress
    assert stress is not None
    for row, column in ((0, 0), (1, 2)):
        strain = np.zeros((3, 3))
        strain[row, column] = strain[column, row] = step if row == column else step / 2
        low, high = (
            Structure(
                Lattice(structure.lattice.matrix @ (np.eye(3) + sign * strain)),
                structure.species,
                structure.frac_coords,
            )
            for sign in (-1, 1)
        )
        energies = [e.energy for e in potential.evaluate(cells_from([low, high]), forces=False)]
        slope = (energies[1] - energies[0]) / (2 * step) / structure.volume
        assert stress[row, column] == pytest.approx(slope, abs=tolerance)


def check_the_host_waits_only_to_read(
    potential: BatchedPotential, gpu: "Gpu", *, copies: int
) -> None:
    """A batch is launched without waiting, and read by ``copies``, however many crystals it has."""
    crystals = rattled_crystals()
    for cells in (cells_from(crystals[:1]), cells_from(crystals)):
        gpu.counts.clear()
        results = potential._evaluate(cells, forces=True)
        assert gpu.total("launch") > 0
        assert (gpu.total("sync"), gpu.total("to_cpu")) == (0, 0), gpu.report()
        results.read(cells)
        assert (gpu.total("sync"), gpu.total("to_cpu")) == (0, copies), gpu.report()
