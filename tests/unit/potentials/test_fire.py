"""Our FIRE against ASE's, step by step, on potentials that ASE implements itself."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE
from scipy.linalg import expm

from crystalformer_rl.potentials.fire import Fire, _exp


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
    fire = Fire.at_rest([ours.cell.array], [ours.positions])
    for _ in range(40):
        forces = fire.generalised_forces(*forces_and_stresses([ours]))
        np.testing.assert_allclose(rows(*forces), cell_filter.get_forces(), atol=1e-8)
        optimiser.step()
        fire.move(*forces)
        place([ours], fire)
        np.testing.assert_allclose(ours.cell.array, theirs.cell.array, atol=1e-8)
        np.testing.assert_allclose(ours.positions, theirs.positions, atol=1e-8)


def test_many_at_once_are_ases_and_those_of_one_at_a_time() -> None:
    """Structures join and leave; each goes on as ASE's optimiser does that has it alone."""
    ours = [rattled("lj"), rattled("emt"), rattled("lj"), rattled("emt")]
    theirs = [rattled("lj"), rattled("emt"), rattled("lj"), rattled("emt")]
    optimisers = [FIRE(FrechetCellFilter(one), logfile=None) for one in theirs]
    alone = [Fire.at_rest([one.cell.array], [one.positions]) for one in ours]
    here = [0, 1, 2]
    fire = Fire.at_rest([ours[k].cell.array for k in here], [ours[k].positions for k in here])
    for step in range(24):
        if step == 5:
            fire = fire.joined(Fire.at_rest([ours[3].cell.array], [ours[3].positions]))
            here = [0, 1, 2, 3]
        if step == 12:
            fire = fire.only(np.array([True, False, True, True]))
            here = [0, 2, 3]
        fire.move(*fire.generalised_forces(*forces_and_stresses([ours[k] for k in here])))
        for k in here:
            alone[k].move(*alone[k].generalised_forces(*forces_and_stresses([ours[k]])))
            optimisers[k].step()
        place([ours[k] for k in here], fire)
        assert np.array_equal(fire.cells, np.concatenate([alone[k].cells for k in here]))
        assert np.array_equal(fire.fractional, np.concatenate([alone[k].fractional for k in here]))
        for k in here:
            np.testing.assert_allclose(ours[k].positions, theirs[k].positions, atol=1e-8)


def test_largest_force() -> None:
    atoms = [rattled("lj"), rattled("emt")]
    fire = Fire.at_rest([one.cell.array for one in atoms], [one.positions for one in atoms])
    forces = fire.generalised_forces(*forces_and_stresses(atoms))
    for one, largest in zip(atoms, fire.largest(*forces), strict=True):
        expected = np.linalg.norm(FrechetCellFilter(one).get_forces(), axis=1).max()
        assert largest == pytest.approx(expected, abs=1e-8)


def forces_and_stresses(crystals: list[Atoms]) -> tuple[np.ndarray, np.ndarray]:
    forces = np.concatenate([one.get_forces() for one in crystals])
    return forces, np.stack([one.get_stress(voigt=False) for one in crystals])


def place(crystals: list[Atoms], fire: Fire) -> None:
    ends = np.cumsum(fire.counts)[:-1]
    for one, cell, places in zip(
        crystals, fire.cells, np.split(fire.fractional, ends), strict=True
    ):
        one.set_cell(cell)
        one.set_scaled_positions(places)


def rows(on_atoms: np.ndarray, on_cells: np.ndarray) -> np.ndarray:
    """Forces on one structure as ASE's filter gives them."""
    return np.concatenate([on_atoms, on_cells[0]])


def test_forces_are_minus_the_slope_of_the_energy() -> None:
    atoms = rattled("emt")
    fire = Fire.at_rest([atoms.cell.array], [atoms.positions])

    def energy() -> float:
        probe = Atoms(
            atoms.numbers,
            cell=fire.cells[0],
            scaled_positions=fire.fractional,
            pbc=True,
            calculator=EMT(),
        )
        return float(probe.get_potential_energy())

    fire.log = np.array([[[0.03, 0.01, -0.02], [0.0, -0.01, 0.02], [0.01, 0.0, 0.02]]])
    fire.deformation = _exp(fire.log)
    place([atoms], fire)
    forces = rows(*fire.generalised_forces(*forces_and_stresses([atoms])))
    count, step = len(atoms), 1e-4
    for row in range(3):
        for column in range(3):
            energies = []
            for sign in (1, -1):
                fire.log[0, row, column] += sign * step
                fire.deformation = _exp(fire.log)
                energies.append(energy())
                fire.log[0, row, column] -= sign * step
            slope = (energies[0] - energies[1]) / (2 * step)
            assert forces[count + row, column] == pytest.approx(-slope / count, abs=1e-5)


@pytest.mark.parametrize("norm", [0.01, 1, 4])
def test_exponential_is_scipys(norm: float) -> None:
    matrices = np.random.default_rng(0).normal(size=(4, 6, 6))
    matrices *= norm / np.linalg.norm(matrices, 2, axis=(1, 2))[:, None, None]
    expected = expm(matrices)
    np.testing.assert_allclose(_exp(matrices), expected, atol=1e-13 * np.abs(expected).max())
    assert np.array_equal(_exp(np.zeros((1, 3, 3))), [np.eye(3)])
