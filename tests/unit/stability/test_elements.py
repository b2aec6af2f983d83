"""Formation energies from total energies."""

import pytest
from pymatgen.core import Composition, Lattice, Structure

from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.stability.elements import (
    ElementReferences,
    element_amounts,
    elements_of,
    parse_formula,
)

REFERENCES = ElementReferences({"Na": -1.3, "Cl": -1.8, "H": -3.3, "N": -8.3})


def test_energy_of_the_elements_is_subtracted_by_atomic_fraction() -> None:
    formation = REFERENCES.formation_energy(Composition("Na3N"), -2.0)
    assert formation == pytest.approx(-2.0 - (3 * -1.3 - 8.3) / 4)


def test_an_element_has_formation_energy_zero() -> None:
    assert REFERENCES.formation_energy(Composition("Na4"), -1.3) == pytest.approx(0)


def test_oxidation_states_and_isotopes_do_not_matter() -> None:
    charged = Composition({"Na+": 1, "Cl-": 1})
    plain = Composition("NaCl")
    assert REFERENCES.formation_energy(charged, -3.0) == pytest.approx(
        REFERENCES.formation_energy(plain, -3.0)
    )
    assert element_amounts(Composition("NaD")) == {"Na": 1.0, "H": 1.0}
    assert element_amounts(Composition("HD")) == {"H": 2.0}


def test_what_is_uncorrected_is_corrected() -> None:
    salt = Cell.of(Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]))
    references = ElementReferences(REFERENCES.energies, correction=lambda _, energy: energy - 0.3)
    plain = REFERENCES.formation_energy(salt, -3.0)
    assert plain == REFERENCES.formation_energy(salt.composition, -3.0)
    assert references.formation_energy(salt, -3.0) == pytest.approx(plain - 0.3)
    with pytest.raises(TypeError, match="NaCl: the correction of its energy needs a structure"):
        references.formation_energy(salt.composition, -3.0)


def test_an_unknown_element_is_named() -> None:
    with pytest.raises(ValueError, match=r"KCl: no reference energy of K"):
        REFERENCES.formation_energy(Composition("KCl"), -3.0)


def test_an_empty_composition_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        REFERENCES.formation_energy(Composition({}), 0.0)


@pytest.mark.parametrize(
    "formula",
    ["NaN", "Na0.5Cl0.5", "Fe10O1.5", "D2O", "HDO", "Ca(OH)2", "Na1Cl01", "No", "Cu 2 O", "NaNa"],
)
def test_the_elements_of_a_formula_are_those_of_its_amounts(formula: str) -> None:
    assert elements_of(formula) == set(parse_formula(formula))


@pytest.mark.parametrize("formula", ["", "Na0Cl", "Xx2O", "Na+Cl-", "sodium", "2"])
def test_a_formula_without_amounts_has_no_elements(formula: str) -> None:
    for read in (parse_formula, elements_of):
        with pytest.raises(ValueError, match="cannot be read"):
            read(formula)
