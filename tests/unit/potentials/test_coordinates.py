"""The coordinates of the minimiser against ASE's filter and the slope of the energy."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT
from ase.filters import FrechetCellFilter
from helpers.deformed import forces_and_stresses, place, rattled, start
from scipy.linalg import expm

from crystalformer_rl.potentials.coordinates import Coordinates, _exp


def displaced(crystals: list[Atoms], *, seed: int) -> Coordinates:
    """The coordinates after a random displacement, to which the crystals move."""
    coordinates = start(crystals)
    rng = np.random.default_rng(seed)
    coordinates = coordinates.moved(0.05 * rng.normal(size=(len(coordinates.is_atom), 3)))
    place(crystals, coordinates)
    return coordinates


def test_longest_force_is_ases() -> None:
    crystals = [rattled("lj"), rattled("emt")]
    coordinates = start(crystals)
    forces = coordinates.forces(*forces_and_stresses(crystals))
    for one, longest in zip(crystals, coordinates.longest(forces), strict=True):
        theirs = FrechetCellFilter(one).get_forces()
        assert longest == pytest.approx(np.linalg.norm(theirs, axis=1).max(), abs=1e-8)


def test_displacements_and_forces_are_ases() -> None:
    theirs, ours = rattled("emt"), rattled("emt")
    cell_filter = FrechetCellFilter(theirs)
    before = cell_filter.get_positions()
    coordinates = start([ours])
    shift = 0.05 * np.random.default_rng(1).normal(size=before.shape)
    cell_filter.set_positions(before + shift)
    coordinates = coordinates.moved(shift)
    place([ours], coordinates)
    np.testing.assert_allclose(ours.cell.array, theirs.cell.array, atol=1e-10)
    np.testing.assert_allclose(ours.positions, theirs.positions, atol=1e-10)
    forces = coordinates.forces(*forces_and_stresses([ours]))
    np.testing.assert_allclose(forces, cell_filter.get_forces(), atol=1e-8)


def test_forces_are_minus_the_slope_of_the_energy() -> None:
    atoms = rattled("emt")
    coordinates = displaced([atoms], seed=2)
    forces = coordinates.forces(*forces_and_stresses([atoms]))

    def energy(at: Coordinates) -> float:
        probe = Atoms(
            atoms.numbers,
            cell=at.cells[0],
            scaled_positions=at.fractional,
            pbc=True,
            calculator=EMT(),
        )
        return float(probe.get_potential_energy())

    small = 1e-4
    for row, column in np.ndindex(*forces.shape):
        by = np.zeros_like(forces)
        by[row, column] = small
        slope = (energy(coordinates.moved(by)) - energy(coordinates.moved(-by))) / (2 * small)
        assert forces[row, column] == pytest.approx(-slope, abs=1e-5)


def test_some_of_several() -> None:
    crystals = [rattled("lj"), rattled("emt"), rattled("lj")]
    coordinates = displaced(crystals, seed=4)
    kept = np.array([True, False, True])
    one, other = (coordinates.only(np.arange(3) == k) for k in (0, 2))
    some, again = coordinates.only(kept), one.joined(other)
    for name in ("counts", "start", "log", "natural"):
        np.testing.assert_array_equal(getattr(some, name), getattr(again, name))


@pytest.mark.parametrize("norm", [0.01, 1, 4])
def test_exponential_is_scipys(norm: float) -> None:
    matrices = np.random.default_rng(0).normal(size=(4, 6, 6))
    matrices *= norm / np.linalg.norm(matrices, 2, axis=(1, 2))[:, None, None]
    expected = expm(matrices)
    np.testing.assert_allclose(_exp(matrices), expected, atol=1e-13 * np.abs(expected).max())
    assert np.array_equal(_exp(np.zeros((1, 3, 3))), [np.eye(3)])
