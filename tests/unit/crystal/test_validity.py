"""Validity flags."""

import numpy as np
import pytest
from helpers.crystals import rock_salt
from pymatgen.core import Composition, Element, Lattice, Structure
from smact.screening import smact_validity

from crystalformer_rl.crystal.validity import charge_problem, check_validity


def test_a_real_crystal_is_valid() -> None:
    validity = check_validity(rock_salt())
    assert validity.valid
    assert validity.reason is None
    assert validity.min_distance == pytest.approx(2.82)
    assert validity.cell_volume == pytest.approx(5.64**3)
    assert validity.density
    assert validity.mass_density == pytest.approx(2.165, abs=0.01)


@pytest.mark.parametrize(
    ("length", "plausible"), [(2.4, False), (2.6, True), (30, True), (60, False)]
)
def test_density_is_a_separate_check(length: float, plausible: bool) -> None:
    """Rock salt of 28, 22, 0.014 and 0.002 g/cm³: all of it valid by the published rule."""
    validity = check_validity(rock_salt(length=length))
    assert validity.density is plausible
    assert validity.valid and validity.reason is None


@pytest.mark.parametrize("formula", ["H", "Os"])
def test_the_lightest_and_the_heaviest_solids_are_plausible(formula: str) -> None:
    cells = {"H": Lattice.hexagonal(3.78, 6.17), "Os": Lattice.hexagonal(2.734, 4.32)}
    atoms = 4 if formula == "H" else 2
    solid = Structure(cells[formula], [formula] * atoms, np.arange(3 * atoms).reshape(-1, 3) / 97)
    assert check_validity(solid).density


def test_what_was_not_decoded_is_not_valid() -> None:
    validity = check_validity(None)
    assert not (validity.distance or validity.volume or validity.charge or validity.density)
    assert not validity.valid
    assert validity.mass_density is None
    assert validity.reason == "no structure"


def test_close_atoms() -> None:
    validity = check_validity(
        Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0.95], [0, 0, 0.05]])
    )
    assert not validity.distance
    assert validity.volume and validity.charge
    assert validity.reason == "atoms 0.400 Å apart"


def test_own_images_count() -> None:
    assert not check_validity(
        Structure(Lattice.orthorhombic(0.45, 5, 5), ["Cu"], [[0, 0, 0]])
    ).distance


def test_no_atoms_and_no_numbers_are_not_valid() -> None:
    validity = check_validity(Structure(Lattice.cubic(4), [], []))
    assert not validity.valid
    assert validity.reason == "no atoms"
    for lost in (np.nan, np.inf):
        validity = check_validity(
            Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, lost]])
        )
        assert not (validity.distance or validity.valid)
        assert validity.volume and validity.charge
        assert validity.min_distance is None
        assert validity.reason == "a coordinate is not finite"


def test_small_and_flat_cells() -> None:
    tiny = check_validity(Structure(Lattice.cubic(0.4), ["H"], [[0, 0, 0]]))
    assert not tiny.volume and not tiny.distance
    flat = check_validity(Structure(Lattice([[1, 0, 0], [0, 1, 0], [1, 1, 0]]), ["H"], [[0, 0, 0]]))
    assert not flat.volume and not flat.distance and not flat.density
    broken = check_validity(Structure(Lattice(np.full((3, 3), np.nan)), ["H"], [[0, 0, 0]]))
    assert not broken.volume and not broken.distance and not broken.density


@pytest.mark.parametrize("formula", ["NaCl", "Fe2O3", "TiO2", "CuZn", "Fe", "NaD", "Na4Cl4"])
def test_neutral(formula: str) -> None:
    assert charge_problem(Composition(formula)) is None


@pytest.mark.parametrize("formula", ["NaCl2", "Na3O"])
def test_not_neutral(formula: str) -> None:
    assert charge_problem(Composition(formula)) == "SMACT: no neutral oxidation states"


@pytest.mark.filterwarnings("ignore:No Pauling electronegativity")
def test_an_element_without_states_is_named() -> None:
    reason = charge_problem(Composition("ArO"))
    assert reason == "SMACT: no oxidation states or electronegativity of Ar"


@pytest.mark.filterwarnings("ignore:No Pauling electronegativity")
def test_every_element_is_answered() -> None:
    for number in range(1, 119):
        symbol = Element.from_Z(number).symbol
        charge_problem(Composition({symbol: 1, "O": 1}))
    assert charge_problem(Composition("OgO2")) == "SMACT: Elemental data for Og not found."


def test_charges_equal_smact(random_formulas: list[str]) -> None:
    verdicts = [charge_problem(Composition(formula)) is None for formula in random_formulas]
    expected = [smact_validity(f, oxidation_states_set="smact14") for f in random_formulas]
    assert verdicts == expected
    assert 0.2 < np.mean(verdicts) < 0.9


def test_many_elements_take_no_longer() -> None:
    # SMACT's own loop would try more than 10¹⁰ combinations of states.
    many = Composition("Ti2V3Cr4Mn5Fe6Co7Ru8Os9Re10N11P12S13Cl14Se15")
    assert charge_problem(many) is None
    assert charge_problem(Composition("Ti2V3Cr4Mn5Fe6Co7Ru8Os9Re10W3Mo2Ta5Nb4Li")) is None
    assert charge_problem(Composition("Na9K5Rb7Cs2Ca3Sr8Ba4Mg2Al5Sc3Y2F")) is not None


@pytest.fixture
def random_formulas() -> list[str]:
    rng = np.random.default_rng(0)
    symbols = ["Na", "K", "Mg", "Ti", "Fe", "Cu", "La", "U", "Al", "Si", "N", "P", "O", "S", "Cl"]
    return [
        Composition(
            {
                symbols[k]: int(rng.integers(1, 7))
                for k in rng.choice(len(symbols), size=rng.integers(1, 5), replace=False)
            }
        ).reduced_formula
        for _ in range(400)
    ]
