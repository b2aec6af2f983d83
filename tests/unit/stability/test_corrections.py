"""MP2020 corrections and oxidation states against pymatgen's, TRI2024 against its table."""

import warnings
from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Composition, Element, Lattice, Structure
from pymatgen.entries.compatibility import MaterialsProject2020Compatibility
from pymatgen.entries.computed_entries import ComputedStructureEntry
from pymatgen.io.vasp.sets import MPRelaxSet

from crystalformer_rl.stability.corrections import (
    TRI2024_METALS,
    correction_of,
    mp2020_correction,
    tri2024_formation_energy,
)
from crystalformer_rl.stability.oxidation import likeliest_states

U_METALS = ("Co", "Cr", "Fe", "Mn", "Mo", "Ni", "V", "W")
METALS = (*U_METALS, "Na", "Ca", "Al", "Ti", "Cu", "La")
ANIONS = ("O", "F", "S", "Cl", "Br", "I", "N", "H", "Se", "Te", "Si", "Sb", "P", "C")
MIXED = [("O", "F"), ("O", "S"), ("O", "Cl"), ("O", "H"), ("F", "Cl"), ("S", "F"), ("N", "O")]
SCHEME = MaterialsProject2020Compatibility(check_potcar=False)
SYMBOLS = [e.symbol for e in Element if e.Z <= 94 and e.symbol not in ("D", "T")]


def cubic(length: float, *sites: tuple[str, tuple[float, float, float]]) -> Structure:
    """A simple cubic cell, Å, with sites in fractional coordinates."""
    return Structure(Lattice.cubic(length), [s for s, _ in sites], [x for _, x in sites])


def ordinary() -> Iterator[Structure]:
    """CsCl, antifluorite, perovskite and mixed-anion cells of every metal and anion."""
    middle, faces = (0.5, 0.5, 0.5), [(0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    for metal, anion in product(METALS, ANIONS):
        yield cubic(3.2, (metal, (0, 0, 0)), (anion, middle))
        yield Structure(
            Lattice([[0, 2.7, 2.7], [2.7, 0, 2.7], [2.7, 2.7, 0]]),
            [anion, metal, metal],
            [(0, 0, 0), (0.25, 0.25, 0.25), (0.75, 0.75, 0.75)],
        )
        yield cubic(4.0, ("Ba", (0, 0, 0)), (metal, middle), *[(anion, f) for f in faces])
    for metal, (first, second) in product(METALS, MIXED):
        yield cubic(4.0, ("K", (0, 0, 0)), (metal, middle), (first, faces[0]), (second, faces[1]))


def bonded() -> Iterator[Structure]:
    """Peroxides, superoxides, ozonides, hydroxides, polysulphides and sulphates by distance."""
    for metal, length in product(("Li", "Na", "K", "Ba", "Fe", "Zn"), np.linspace(1.15, 1.7, 12)):
        step = length / 6
        yield cubic(6, (metal, (0, 0, 0)), ("O", (0.4, 0.5, 0.5)), ("O", (0.4 + step, 0.5, 0.5)))
        yield cubic(
            6, (metal, (0, 0, 0)), *[("O", (0.3 + k * step, 0.5, 0.5)) for k in range(3)]
        )  # fmt: skip
    for metal, length in product(("Na", "Mg", "Ni"), (0.9, 0.98, 1.1)):
        step = length / 6
        yield cubic(6, (metal, (0, 0, 0)), ("O", (0.5, 0.5, 0.5)), ("H", (0.5 + step, 0.5, 0.5)))
    tetrahedron = np.array([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)])
    for metal, ligand in product(("Na", "Fe", "Pb"), ("O", "F", "N", "Cl", "S", "Se")):
        around = 0.5 + tetrahedron * 0.87 / 6
        sites = [(ligand, (float(x), float(y), float(z))) for x, y, z in around]
        yield cubic(6, (metal, (0, 0, 0)), ("S", (0.5, 0.5, 0.5)), *sites)


def adjustments(structure: Structure) -> dict[str, float]:
    """pymatgen's, eV of the cell by name, for the calculation that the project would make."""
    strongest = max(structure.elements, key=lambda e: e.X).symbol
    expected = MPRelaxSet.CONFIG["INCAR"]["LDAUU"].get(strongest, {})
    hubbards = {e.symbol: expected[e.symbol] for e in structure.elements if e.symbol in expected}
    entry = ComputedStructureEntry(
        structure,
        0.0,
        parameters={
            "run_type": "GGA+U" if hubbards else "GGA",
            "hubbards": hubbards,
            # Of VASP's, the names of the potentials would be looked up: a tenth of a second each.
            "software": "none",
        },
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = SCHEME.get_adjustments(entry)
    return {adjustment.name: adjustment.value for adjustment in found}


def test_equal_to_pymatgen() -> None:
    structures = [*ordinary(), *bonded()]
    assert len(structures) >= 500
    seen: set[str] = set()
    metals: dict[str, set[str]] = {"O": set(), "F": set()}
    for structure in structures:
        theirs = adjustments(structure)
        ours = mp2020_correction(structure) * len(structure)
        assert ours == pytest.approx(sum(theirs.values()), abs=1e-6 * len(structure)), structure
        seen.update(theirs)
        for anion in {"O", "F"} & {e.symbol for e in structure.elements}:
            metals[anion].update(m for m in U_METALS if any(f"({m})" in name for name in theirs))
    kinds = {"oxide", "peroxide", "superoxide", "ozonide", *ANIONS[1:12]}
    assert seen >= {f"MP2020 anion correction ({kind})" for kind in kinds}
    assert metals == {"O": set(U_METALS), "F": set(U_METALS)}


def test_elements_and_alloys_are_not_corrected() -> None:
    assert mp2020_correction(cubic(3, ("O", (0, 0, 0)), ("O", (0.4, 0, 0)))) == 0
    assert mp2020_correction(cubic(3, ("Ni", (0, 0, 0)), ("Al", (0.5, 0.5, 0.5)))) == 0


@pytest.mark.parametrize(
    ("formula", "uncorrected", "expected"),
    [
        # 1.108 E of the compound and of its elements, and -3.189 eV for each Fe in an oxide:
        # (1.108 (-33.0 + 2 · 8.3 + 3 · 4.9) - 2 · 3.189) / 5.
        ("Fe2O3", (-33.0 + 2 * 8.3 + 3 * 4.9) / 5, -1.65232),
        ("WO3", -2.0, -2.216 - 6.261 / 4),
        ("Li2NiF4", -2.5, -2.77 - 3.361 / 7),
        ("Fe2CoO4", -2.0, -2.216 - (2 * 3.189 + 2.275) / 7),
        # Without O or F no U is used, and a nitride fluoride has the fluoride's.
        ("FeS2", -0.5, -0.554),
        ("FeNF", -1.0, -1.108 - 3.189 / 3),
        ("MgO", -3.0, -3.324),
        ("Fe", 0.0, 0.0),
        ("Fe", 0.1, 0.1108),
    ],
)
def test_golden_values_of_tri2024(formula: str, uncorrected: float, expected: float) -> None:
    found = tri2024_formation_energy(Composition(formula), uncorrected)
    assert found == pytest.approx(expected, abs=1e-9)


def test_both_schemes_use_a_u_for_the_same_metals() -> None:
    assert set(TRI2024_METALS) == set(U_METALS)


def test_potentials_of_either_convention_give_the_same_corrected_energy() -> None:
    for scheme in ("MP2020", "TRI2024"):
        from_corrected = correction_of(scheme, corrected=True)
        from_uncorrected = correction_of(scheme, corrected=False)
        assert from_uncorrected is not None
        for structure in list(ordinary())[::9]:
            with_mp2020 = -1.0 + mp2020_correction(structure)
            found = from_corrected(structure, with_mp2020) if from_corrected else with_mp2020
            assert found == pytest.approx(from_uncorrected(structure, -1.0))


def test_oxidation_states_and_isotopes_in_the_structure_do_not_matter() -> None:
    plain = cubic(3, ("Li", (0, 0, 0)), ("H", (0.5, 0.5, 0.5)))
    heavy = cubic(3, ("Li", (0, 0, 0)), ("D", (0.5, 0.5, 0.5)))
    charged = cubic(3, ("Li+", (0, 0, 0)), ("H-", (0.5, 0.5, 0.5)))
    assert mp2020_correction(plain) == pytest.approx(-0.179 / 2)
    assert mp2020_correction(heavy) == mp2020_correction(charged) == mp2020_correction(plain)


@pytest.mark.filterwarnings("ignore:No Pauling electronegativity")
@given(
    amounts=st.dictionaries(st.sampled_from(SYMBOLS), st.integers(1, 7), min_size=2, max_size=5),
    factor=st.sampled_from([1, 2, 0.5]),
)
@settings(max_examples=300)
def test_likeliest_states_are_the_first_guess_of_pymatgen(
    amounts: dict[str, int], factor: float
) -> None:
    composition = Composition(amounts) * factor
    try:
        guesses = composition.oxi_state_guesses(max_sites=-20)
    except ValueError:
        guesses = ()
    assert likeliest_states(composition) == pytest.approx(guesses[0] if guesses else {})
