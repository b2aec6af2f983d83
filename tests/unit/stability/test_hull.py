"""Energy above hull, against pymatgen's phase diagram and against its own laws."""

import pickle
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition
from scipy.optimize import linprog

from crystalformer_rl.stability.hull import ARTEFACT_BELOW, Hull
from crystalformer_rl.stability.lower_hull import LowerHull

SYMBOLS = ["Li", "O", "Fe", "P", "Na", "Mn"]


def random_formulas(generator: np.random.Generator, elements: list[str], count: int) -> list[str]:
    """Formulas of random subsets of ``elements`` with small whole amounts."""
    formulas = []
    for _ in range(count):
        size = int(generator.integers(1, len(elements) + 1))
        chosen = generator.choice(elements, size, replace=False)
        formulas.append("".join(f"{symbol}{generator.integers(1, 7)}" for symbol in chosen))
    return formulas


def by_pymatgen(
    formulas: list[str],
    energies: NDArray[np.float64],
    elements: list[str],
    compositions: list[Composition],
    queried: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The same question put to pymatgen, whose entries are whole-formula energies."""
    entries = [PDEntry(Composition(symbol), 0.0) for symbol in elements]
    for formula, energy in zip(formulas, energies, strict=True):
        composition = Composition(formula)
        entries.append(PDEntry(composition, energy * composition.num_atoms))
    diagram = PhaseDiagram(entries)
    return np.array(
        [
            diagram.get_e_above_hull(
                PDEntry(composition, energy * composition.num_atoms), allow_negative=True
            )
            for composition, energy in zip(compositions, queried, strict=True)
        ]
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6])
def test_equal_to_pymatgen(size: int, seed: int) -> None:
    generator = np.random.default_rng([size, seed])
    elements = SYMBOLS[:size]
    formulas = random_formulas(generator, elements, 4 + 10 * size)
    # Some entries above the elements, some pure elements below their reference.
    energies = generator.normal(-0.5, 0.5, len(formulas))
    # With the entries themselves 112 a case, 2,016 in all.
    queries = random_formulas(generator, elements, 102) + formulas[:10]
    compositions = [Composition(formula) for formula in queries]
    queried = generator.normal(-0.7, 0.8, len(compositions))
    result = Hull(formulas, energies, elements=elements).e_above_hull(compositions, queried)
    expected = by_pymatgen(formulas, energies, elements, compositions, queried)
    assert (expected < 0).any()
    assert np.abs(result.e_above_hull - expected).max() < 1e-6
    assert set(result.status) == {"ok"}


@pytest.mark.parametrize("seed", range(4))
def test_a_general_solver_finds_the_same(seed: int) -> None:
    generator = np.random.default_rng(seed)
    fractions = generator.dirichlet(np.ones(4), 60)
    # Rounded energies and compositions on a grid tie, and leave exchanges without effect.
    energies = generator.normal(-0.5, 0.5, 60).round(1)
    grid = generator.integers(0, 3, (40, 4)) + np.eye(4, dtype=int)[np.arange(40) % 4]
    fractions[:40] = grid / grid.sum(axis=1, keepdims=True)
    queried = np.concatenate([generator.dirichlet(np.ones(4), 10), fractions[:10]])
    corners = np.where(fractions == 1, energies[:, None], 0).min(axis=0)
    everything = np.concatenate([np.eye(4), fractions])
    costs = np.concatenate([corners, energies])
    expected = [linprog(costs, A_eq=everything.T, b_eq=x).fun for x in queried]
    found = LowerHull(fractions, energies).energy(queried)
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_where_exchanges_do_not_end_the_general_solver_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generator = np.random.default_rng(5)
    fractions, queried = generator.dirichlet(np.ones(4), 60), generator.dirichlet(np.ones(4), 10)
    hull = LowerHull(fractions, generator.normal(-0.5, 0.5, 60))
    expected = hull.energy(queried)
    monkeypatch.setattr("crystalformer_rl.stability.lower_hull.MAX_EXCHANGES", 1)
    np.testing.assert_allclose(hull.energy(queried), expected, atol=1e-7)


def test_eight_elements() -> None:
    elements = [*SYMBOLS, "K", "S"]
    hull = Hull(["LiFePO4", "Na2S", "K2O"], [-2.5, -1.2, -1.0], elements=elements)
    whole = Composition("LiFePO4Na2SK2OMn")
    energy = (7 * -2.5 + 3 * -1.2 + 3 * -1.0) / 14
    result = hull.e_above_hull([whole], [energy + 0.1])
    assert result.e_above_hull == pytest.approx([0.1], abs=1e-6)


def test_flat_and_degenerate_hulls() -> None:
    """Points on one line, in one plane, and many of the same composition."""
    formulas = ["LiO", "Li2O", "LiO2", "Li4O2", "LiO"]
    hull = Hull(formulas, [-1.0, -2 / 3, -2 / 3, -2 / 3, -0.2], elements=["Li", "O"])
    queried = [Composition(f) for f in ("LiO", "Li3O", "Li3O2", "O2", "Li")]
    expected = [1.0, 0.5, 0.8, 0.0, 0.0]
    np.testing.assert_allclose(hull.e_above_hull(queried, np.zeros(5)).e_above_hull, expected)
    nothing = Hull([], [], elements=SYMBOLS)
    result = nothing.e_above_hull([Composition("LiFePO4")], [-0.3])
    assert result.e_above_hull == pytest.approx([-0.3])
    assert result.references.tolist() == [4]


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(2, 5),
    slope=st.lists(st.floats(-3, 0), min_size=5, max_size=5),
)
@settings(max_examples=30)
def test_entries_lie_on_or_above_and_the_hull_is_convex(
    seed: int, size: int, slope: list[float]
) -> None:
    generator = np.random.default_rng(seed)
    fractions = generator.dirichlet(np.full(size, 0.5), 40)
    energies = generator.normal(-0.3, 0.4, 40) + fractions @ np.array(slope[:size])
    hull = LowerHull(fractions, energies)
    assert (energies - hull.energy(fractions)).min() > -1e-7
    first, second = fractions[:20], fractions[20:]
    middle = hull.energy((first + second) / 2)
    assert (middle <= (hull.energy(first) + hull.energy(second)) / 2 + 1e-7).all()


def test_missing_reference_is_reported_not_guessed() -> None:
    hull = Hull(["NaCl", "XeF2"], [-2.1, -0.5], elements=["Na", "Cl", "F"])
    result = hull.e_above_hull([Composition("XeF2"), Composition("NaCl")], [-0.5, -2.0])
    assert result.status == ["no_element_reference", "ok"]
    assert np.isnan(result.e_above_hull[0])
    assert result.e_above_hull[1] == pytest.approx(0.1)
    assert result.references.tolist() == [0, 3]


def test_ytterbium_and_sparse_systems_are_flagged() -> None:
    formulas = ["Na2O", "NaO", "NaCl", "Yb2O3"]
    queried = [Composition(f) for f in ("Na3O", "NaCl", "YbO", "XeYb", "Na")]
    hull = Hull(
        formulas,
        [-1.4, -1.2, -2.0, -3.5],
        elements=["Na", "Cl", "O", "Yb"],
        min_references=4,
        exclude_ytterbium=True,
    )
    result = hull.e_above_hull(queried, np.full(5, -1.0))
    assert result.status == ["ok", "sparse", "ytterbium", "no_element_reference", "sparse"]
    assert np.isfinite(result.e_above_hull).tolist() == [True, False, False, False, False]
    assert result.references.tolist() == [4, 3, 3, 0, 1]


def test_references_count_distinct_compositions_of_the_subsystems() -> None:
    formulas = ["Na2O", "Na4O2", "Na2O2", "NaCl", "NaClO3", "Na"]
    hull = Hull(formulas, np.full(6, -0.1), elements=["Na", "Cl", "O"])
    result = hull.e_above_hull([Composition("NaClO"), Composition("Na2O")], [0.0, 0.0])
    # Na, Cl, O, Na2O, NaO, NaCl, NaClO3 and Na, O, Na2O, NaO
    assert result.references.tolist() == [7, 4]


def test_sodium_nitride_parentheses_isotopes_and_fractions() -> None:
    hull = Hull(
        ["NaN", "Ca(OH)2", "D2O", "Li0.5O0.5"],
        [-0.2, -2.0, -1.0, -0.8],
        elements=["Na", "N", "Ca", "O", "H", "Li"],
    )
    queried = [Composition(f) for f in ("NaN", "CaH2O2", "H2O", "LiO")]
    result = hull.e_above_hull(queried, [-0.2, -2.0, -1.0, -0.8])
    np.testing.assert_allclose(result.e_above_hull, 0, atol=1e-9)


def test_an_energy_that_is_not_finite_stays_unknown() -> None:
    result = Hull([], [], elements=["Na"]).e_above_hull([Composition("Na")], [np.inf])
    assert np.isnan(result.e_above_hull[0])


@pytest.mark.parametrize("formula", ["", "nan", "Xx2O", "Na0", "sodium", "Na+", "SO4-2", "Fe2+O2-"])
def test_an_unreadable_formula_is_named(formula: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"formula '{formula}' cannot be read")):
        Hull([formula], [0.0], elements=["Na"])


def test_bad_energies_are_refused() -> None:
    with pytest.raises(ValueError, match="entry 1, 'KCl': energy nan"):
        Hull(["NaCl", "KCl"], [0.0, np.nan], elements=["Na"])
    with pytest.raises(ValueError, match="1 formulas need 1 energies"):
        Hull(["NaCl"], [0.0, 1.0], elements=["Na"])
    with pytest.raises(ValueError, match="0 compositions need 0 energies"):
        Hull([], [], elements=["Na"]).e_above_hull([], [1.0])
    with pytest.raises(ValueError, match="composition 0 is empty"):
        Hull([], [], elements=["Na"]).e_above_hull([Composition({})], [1.0])


def test_a_hull_travels_to_another_process() -> None:
    hull = Hull(["NaCl", "NaCl3"], [-2.0, -0.5], elements=["Na", "Cl"], min_references=2)
    asked = ([Composition("NaCl2"), Composition("KCl")], [-0.9, 0.0])
    there = pickle.loads(pickle.dumps(hull)).e_above_hull(*asked)
    here = hull.e_above_hull(*asked)
    np.testing.assert_array_equal(there.e_above_hull, here.e_above_hull)
    assert there.status == here.status


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_only_a_known_compound_supports_an_energy(seed: int) -> None:
    """On a hull of elements alone nothing is supported; elsewhere all but what is too deep."""
    generator = np.random.default_rng(seed)
    formulas = random_formulas(generator, SYMBOLS[:3], 3)
    hull = Hull(formulas, generator.uniform(-1, 0, 3), elements=SYMBOLS)
    queried = [Composition(f) for f in random_formulas(generator, SYMBOLS, 20)]
    found = hull.e_above_hull(queried, generator.uniform(-1, 1, 20))
    compounds = [c for f in formulas if len(c := set(Composition(f).chemical_system_set)) > 1]
    for composition, above, supported in zip(
        queried, found.e_above_hull, found.supported, strict=True
    ):
        known = any(compound <= composition.chemical_system_set for compound in compounds)
        assert supported == (known and above >= ARTEFACT_BELOW)
    excluded = Hull(formulas, [-1.0] * 3, elements=SYMBOLS, min_references=99)
    assert not excluded.e_above_hull(queried, np.zeros(20)).supported.any()
