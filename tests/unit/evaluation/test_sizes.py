"""The smallest crystal there is, and one far larger than any policy draws."""

import numpy as np
import pytest
from helpers.crystals import rock_salt
from pymatgen.core import Lattice, Structure

from crystalformer_rl.crystal.cell import cells_from, volume_of
from crystalformer_rl.crystal.validity import check_validity
from crystalformer_rl.evaluation.matching import (
    MatchingCell,
    ReferenceIndex,
    matcher_of,
    unique_flags,
)
from crystalformer_rl.potentials.base import Evaluation, Failure, evaluate_each
from crystalformer_rl.potentials.registry import load
from crystalformer_rl.potentials.relax import relax
from crystalformer_rl.stability.hull import Hull

COPPER = Structure(Lattice([[0, 1.8, 1.8], [1.8, 0, 1.8], [1.8, 1.8, 0]]), ["Cu"], [[0, 0, 0]])
SALT = rock_salt(length=5.6)


def block() -> Structure:
    """300 atoms of rock salt, each pushed a little, so that no smaller cell describes them."""
    small = SALT.get_primitive_structure()
    return small.make_supercell([6, 5, 5], in_place=False).perturb(0.02)


def test_energies_of_one_atom_and_of_three_hundred() -> None:
    potential = load("chgnet")
    perfect = SALT.get_primitive_structure().make_supercell([6, 5, 5], in_place=False)
    assert len(perfect) == 300
    answers = evaluate_each(potential, cells_from([COPPER, perfect, SALT]))
    copper, large, small = (a.energy for a in answers if not isinstance(a, Failure))
    assert large / 300 == pytest.approx(small / 8, abs=1e-4)
    assert -5 < copper < -3


def test_one_atom_relaxes_by_its_cell_alone() -> None:
    record = relax(load("chgnet"), cells_from([COPPER]), max_force=0.01, max_steps=100)[0]
    assert record.status == "converged"
    assert record.max_force == pytest.approx(0, abs=1e-4)
    assert volume_of(record.cell.matrix) == pytest.approx(11.8, rel=0.05)  # Å³, measured: 11.81


def test_both_are_checked_matched_and_placed() -> None:
    large = block()
    assert check_validity(COPPER).valid_structure
    assert check_validity(large).valid
    matcher = matcher_of(length_tolerance=0.2, site_tolerance=0.3, angle_tolerance=5.0)
    candidates = [MatchingCell(COPPER), MatchingCell(COPPER.copy()), MatchingCell(large)]
    assert unique_flags(candidates, matcher).flags.tolist() == [True, False, True]
    known = ReferenceIndex([COPPER, SALT], ["copper", "salt"])
    assert [known.match(c, matcher) for c in candidates[:2]] == ["copper", "copper"]
    hull = Hull(["NaCl"], [-1.0], elements=["Na", "Cl", "Cu"])
    found = hull.e_above_hull([COPPER.composition, large.composition], np.array([0.1, -0.9]))
    assert found.e_above_hull == pytest.approx([0.1, 0.1])
    assert isinstance(load("chgnet").evaluate(cells_from([large]))[0], Evaluation)
