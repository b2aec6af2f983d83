"""Validity flags."""

import numpy as np
import pytest
from pymatgen.core import Composition, Element, Lattice, Structure

from crystalformer_rl.evaluation.validity import charge_problem, judge, min_distance


def rock_salt(first: str = "Na", second: str = "Cl", length: float = 5.64) -> Structure:
    return Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(length), [first, second], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )


def test_a_real_crystal_is_valid() -> None:
    verdict = judge(rock_salt())
    assert verdict.valid
    assert verdict.reason is None
    assert verdict.min_distance == pytest.approx(2.82)


def test_what_was_not_decoded_is_not_valid() -> None:
    verdict = judge(None)
    assert not (verdict.distance or verdict.volume or verdict.charge or verdict.valid)
    assert verdict.reason == "no structure"


def test_close_atoms() -> None:
    verdict = judge(Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0.95], [0, 0, 0.05]]))
    assert not verdict.distance
    assert verdict.volume and verdict.charge
    assert verdict.reason == "atoms 0.400 Å apart"


def test_own_images_count() -> None:
    """One atom in a needle of a cell: its neighbour is itself."""
    needle = Structure(Lattice.orthorhombic(0.45, 5, 5), ["Cu"], [[0, 0, 0]])
    assert min_distance(needle) == pytest.approx(0.45)
    assert not judge(needle).distance


def test_skewed_cells() -> None:
    """The same crystal in another basis: distances do not depend on it."""
    skewed = rock_salt().get_primitive_structure()
    skewed.make_supercell([[1, 4, 0], [0, 1, -5], [3, 0, 1]])
    assert min_distance(skewed) == pytest.approx(2.82)
    single = Structure(Lattice([[3, 0, 0], [14.9, 0.6, 0], [7, 2, 9]]), ["Cu"], [[0, 0, 0]])
    steps = np.array(np.meshgrid(*[range(-16, 17)] * 3)).reshape(3, -1).T
    lengths = np.linalg.norm(steps @ single.lattice.matrix, axis=1)
    assert min_distance(single) == pytest.approx(lengths[lengths > 0].min())


def test_small_and_flat_cells() -> None:
    tiny = judge(Structure(Lattice.cubic(0.4), ["H"], [[0, 0, 0]]))
    assert not tiny.volume and not tiny.distance
    flat = judge(Structure(Lattice([[1, 0, 0], [0, 1, 0], [1, 1, 0]]), ["H"], [[0, 0, 0]]))
    assert not flat.volume and not flat.distance
    broken = judge(Structure(Lattice(np.full((3, 3), np.nan)), ["H"], [[0, 0, 0]]))
    assert not broken.volume and not broken.distance


@pytest.mark.parametrize("formula", ["NaCl", "Fe2O3", "TiO2", "CuZn", "Fe", "NaD", "Na4Cl4"])
def test_neutral(formula: str) -> None:
    assert charge_problem(Composition(formula)) is None


@pytest.mark.filterwarnings("ignore:No Pauling electronegativity")
@pytest.mark.parametrize("formula", ["NaCl2", "Na3O", "ArO"])
def test_not_neutral(formula: str) -> None:
    assert charge_problem(Composition(formula)) == "SMACT: no neutral oxidation states"


@pytest.mark.filterwarnings("ignore:No Pauling electronegativity")
def test_every_element_is_answered() -> None:
    for number in range(1, 119):
        symbol = Element.from_Z(number).symbol
        charge_problem(Composition({symbol: 1, "O": 1}))
    assert charge_problem(Composition("OgO2")) == "SMACT: Elemental data for Og not found."
