"""How far relaxation moved the atoms, as MatterGen's evaluator defines it."""

import numpy as np
import pandas as pd
import pytest
from helpers.crystals import rock_salt
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from crystalformer_rl.crystal.cell import cells_from
from crystalformer_rl.evaluation.displacement import displacement, displacement_columns
from crystalformer_rl.evaluation.generated import Generated
from crystalformer_rl.evaluation.matching import MatchingCell

CESIUM = Structure(Lattice.cubic(3.5), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
SALT = rock_salt(length=5.6)
BORON = Structure(Lattice.hexagonal(2.5, 6.6), ["B", "B", "N", "N"], [
    [1 / 3, 2 / 3, 0], [2 / 3, 1 / 3, 0.5], [2 / 3, 1 / 3, 0], [1 / 3, 2 / 3, 0.5],
])  # fmt: skip


def found(before: Structure, after: Structure) -> tuple[float, bool]:
    return displacement(MatchingCell(before), MatchingCell(after))


def by_pymatgen(before: Structure, after: Structure) -> tuple[float, bool]:
    """The definition, word by word."""
    matcher = StructureMatcher(
        ltol=0.5, stol=0.5, angle_tol=10, primitive_cell=True, scale=False, attempt_supercell=True
    )
    ideal = SpacegroupAnalyzer(before).get_refined_structure().get_primitive_structure()
    ideal = ideal.get_reduced_structure(reduction_algo="LLL")
    answer = matcher.get_rms_dist(after, ideal)
    cell = Lattice.from_parameters(
        *(np.array(after.lattice.parameters) + ideal.lattice.parameters) / 2
    )
    unit = (cell.volume / len(after)) ** (1 / 3)
    return (0.5 if answer is None else answer[0]) * unit, answer is not None


def disturbed(seed: int) -> tuple[Structure, Structure]:
    generator = np.random.default_rng(seed)
    before = [CESIUM, SALT.get_primitive_structure(), BORON][seed % 3]
    size = generator.choice([0.02, 0.3, 1.2])
    shift = generator.normal(0, size, (len(before), 3))
    after = Structure(
        before.lattice, before.species, before.cart_coords + shift, coords_are_cartesian=True
    )
    return before, after.apply_strain(generator.uniform(-0.2, 0.2, 3))


def test_equals_pymatgen_used_as_mattergen_does() -> None:
    pairs = [disturbed(seed) for seed in range(10)]
    answers = [found(*pair) for pair in pairs]
    expected = [by_pymatgen(*pair) for pair in pairs]
    np.testing.assert_allclose(answers, expected, atol=1e-12)
    assert 0 < sum(matched for _, matched in answers) < len(pairs)


def test_it_is_in_angstrom() -> None:
    # Two atoms 0.06 × 3.5 Å off, after the best translation each by half of it.
    moved = CESIUM.copy().translate_sites([0], [0.06, 0, 0])
    assert found(CESIUM, moved) == (pytest.approx(0.105), True)
    assert found(CESIUM, CESIUM) == (pytest.approx(0, abs=1e-12), True)


def test_a_cell_may_swell_without_a_displacement() -> None:
    # The atoms keep their places in the cell; lengths may differ by half, unscaled.
    assert found(CESIUM, CESIUM.copy().apply_strain(0.2)) == (pytest.approx(0, abs=1e-12), True)
    assert found(CESIUM, CESIUM.copy().apply_strain(0.7))[1] is False


def test_what_no_longer_matches_counts_with_the_largest_distance() -> None:
    # Both cells are cubes of 3.5 and 7 Å with two atoms: on average 5.25³ / 2 Å³ per atom.
    swollen = CESIUM.copy().apply_strain(1.0)
    assert found(CESIUM, swollen) == (pytest.approx(0.5 * 5.25 / 2 ** (1 / 3)), False)


def test_a_flat_cell_counts_with_it_too() -> None:
    flat = Structure(Lattice.orthorhombic(20, 20, 0.02), ["Na", "Cl"], CESIUM.frac_coords)
    rmsd, matched = found(CESIUM, flat)
    assert np.isfinite(rmsd) and not matched
    assert found(flat, CESIUM) == (pytest.approx(rmsd), False)


def test_every_relaxed_crystal_has_a_number() -> None:
    swollen = CESIUM.copy().apply_strain(1.0)
    best = [MatchingCell(CESIUM), MatchingCell(swollen), MatchingCell(CESIUM), None]
    befores = cells_from([CESIUM, CESIUM, CESIUM, None])
    afters = cells_from([CESIUM, swollen, None, None])
    columns = displacement_columns(Generated(pd.DataFrame(), befores, afters, best))
    assert np.isfinite(columns["rmsd"]).tolist() == [True, True, False, False]
    assert columns["rmsd_matched"].tolist() == [True, False, False, False]
