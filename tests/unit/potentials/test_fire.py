"""Our FIRE against ASE's, step by step, on potentials that ASE implements itself."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE

from crystalformer_rl.potentials.fire import Fire


def rattled(kind: str) -> Atoms:
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


@pytest.mark.parametrize("kind", ["emt", "lj"])
def test_equals_ase_step_by_step(kind: str) -> None:
    theirs, ours = rattled(kind), rattled(kind)
    cell_filter = FrechetCellFilter(theirs)
    optimiser = FIRE(cell_filter, logfile=None)
    fire = Fire(ours.cell.array, ours.positions)
    for _ in range(40):
        forces = fire.generalised_forces(ours.get_forces(), ours.get_stress(voigt=False))
        np.testing.assert_allclose(forces, cell_filter.get_forces(), atol=1e-8)
        optimiser.step()
        fire.move(forces)
        ours.set_cell(fire.cell)
        ours.set_scaled_positions(fire.fractional)
        np.testing.assert_allclose(ours.cell.array, theirs.cell.array, atol=1e-8)
        np.testing.assert_allclose(ours.positions, theirs.positions, atol=1e-8)


def test_forces_are_minus_the_slope_of_the_energy() -> None:
    atoms = rattled("emt")
    fire = Fire(atoms.cell.array, atoms.positions)

    def energy() -> float:
        probe = Atoms(
            atoms.numbers,
            cell=fire.cell,
            scaled_positions=fire.fractional,
            pbc=True,
            calculator=EMT(),
        )
        return float(probe.get_potential_energy())

    fire._log = np.array([[0.03, 0.01, -0.02], [0.0, -0.01, 0.02], [0.01, 0.0, 0.02]])
    atoms.set_cell(fire.cell)
    atoms.set_scaled_positions(fire.fractional)
    forces = fire.generalised_forces(atoms.get_forces(), atoms.get_stress(voigt=False))
    count, step = len(atoms), 1e-4
    for row in range(3):
        for column in range(3):
            energies = []
            for sign in (1, -1):
                fire._log[row, column] += sign * step
                energies.append(energy())
                fire._log[row, column] -= sign * step
            slope = (energies[0] - energies[1]) / (2 * step)
            assert forces[count + row, column] == pytest.approx(-slope / count, abs=1e-5)
