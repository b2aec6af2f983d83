"""Relaxation that keeps the space group: the law of projections, and ASE as the other source."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.lj import LennardJones
from ase.constraints import FixSymmetry
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE
from helpers.analytic import LIMITS, Analytic, argon
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from crystalformer_rl.crystal.cell import Cell, cells_from
from crystalformer_rl.potentials.batching import ase_atoms
from crystalformer_rl.potentials.relax import relax
from crystalformer_rl.potentials.symmetry import Symmetry

RUTILE = Structure.from_spacegroup(
    "P4_2/mnm", Lattice.tetragonal(4.6, 2.96), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]]
)
QUARTZ = Structure.from_spacegroup(
    "P3_221", Lattice.hexagonal(4.91, 5.40), ["Si", "O"],
    [[0.47, 0, 2 / 3], [0.41, 0.27, 0.79]],
)  # fmt: skip


@pytest.mark.parametrize("crystal", [RUTILE, QUARTZ], ids=["rutile", "quartz"])
@settings(max_examples=20)
@given(seed=st.integers(0, 1000))
def test_projections(crystal: Structure, seed: int) -> None:
    """Projected twice is projected once; the projection is ASE's; it is the nearest."""
    rng = np.random.default_rng(seed)
    cell, forces = crystal.lattice.matrix, rng.normal(size=(len(crystal), 3))
    stress = rng.normal(size=(3, 3))
    stress += stress.T
    symmetry = Symmetry(Cell.of(crystal))
    once = symmetry.project(cell, forces, stress)
    twice = symmetry.project(cell, *once)
    for first, second in zip(once, twice, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-12)
    assert np.vdot(forces - once[0], once[0]) == pytest.approx(0, abs=1e-10)

    atoms = ase_atoms(Cell.of(crystal))
    theirs, voigt = forces.copy(), stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    constraint = FixSymmetry(atoms)
    constraint.adjust_forces(atoms, theirs)
    constraint.adjust_stress(atoms, voigt)
    np.testing.assert_allclose(once[0], theirs, atol=1e-10)
    np.testing.assert_allclose(once[1][[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]], voigt, atol=1e-10)


def test_a_saddle_of_high_symmetry_is_kept() -> None:
    """Simple-cubic argon only breathes; along its diagonal stretched it may fall, to fcc's 60°."""
    lattices = [Lattice.cubic(3.5), Lattice.rhombohedral(3.5, 85)]
    crystals = [Structure(lattice, ["Ar"], [[0, 0, 0]]) for lattice in lattices]
    crystals.append(crystals[1].copy().apply_strain([0.02, 0, -0.02]))
    cubic, stretched, bent = relax(
        Analytic(), cells_from(crystals), max_force=0.001, max_steps=300, keep_symmetry=True
    )
    assert {cubic.status, stretched.status} == {"converged"}
    assert cubic.cell.structure().lattice.angles == pytest.approx((90, 90, 90), abs=1e-6)
    assert stretched.cell.structure().lattice.angles == pytest.approx((60, 60, 60), abs=1)
    assert stretched.energy_final < cubic.energy_final - 0.005
    # Without the constraint the bent cell goes where the stretched one goes.
    free = relax(Analytic(), cells_from(crystals[2:]), max_force=0.001, max_steps=300)[0]
    assert free.energy_final == pytest.approx(stretched.energy_final, abs=1e-3)
    assert bent.energy_final >= free.energy_final - 1e-3


@pytest.mark.slow
def test_it_ends_where_ases_does() -> None:
    crystal = Structure(
        Lattice.tetragonal(3.9, 5.9), ["Ar"] * 2, [[0, 0, 0], [0.5, 0.5, 0.5]]
    )  # body-centred tetragonal
    ours = relax(
        Analytic(), cells_from([crystal]), max_force=0.0005, max_steps=500, keep_symmetry=True
    )[0]
    atoms: Atoms = ase_atoms(Cell.of(crystal))
    atoms.calc = LennardJones(sigma=3.4, epsilon=0.0104, rc=9.0)
    atoms.set_constraint(FixSymmetry(atoms))
    FIRE(FrechetCellFilter(atoms), logfile=None).run(fmax=0.0005, steps=500)
    assert ours.status == "converged"
    assert ours.energy_final == pytest.approx(atoms.get_potential_energy() / 2, abs=1e-4)
    np.testing.assert_allclose(
        np.linalg.norm(ours.cell.matrix, axis=1), atoms.cell.lengths(), atol=0.02
    )


def test_without_symmetry_nothing_is_held() -> None:
    """A crystal of P1 goes the same way with the constraint and without."""
    bent = argon(3, seed=4)
    assert len(Symmetry(Cell.of(bent)).rotations) == 1
    free, held = (
        relax(Analytic(), cells_from([bent]), keep_symmetry=keep, **LIMITS)[0]
        for keep in (False, True)
    )
    assert held.steps == free.steps
    assert held.energy_final == pytest.approx(free.energy_final, abs=1e-9)
