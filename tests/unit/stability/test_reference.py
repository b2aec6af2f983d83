"""A hull with its elements: placing structures against pymatgen, and the files of a hull."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition, Lattice, Structure

from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.files import read_table, write_json
from crystalformer_rl.stability.corrections import mp2020_correction
from crystalformer_rl.stability.hull import STATUSES, Hull, Status
from crystalformer_rl.stability.reference import (
    Elements,
    HullRules,
    ReferenceHull,
    hull_files,
    write_hull,
)

ENERGIES = {"Na": -1.3, "Cl": -1.8, "Mg": -1.5, "O": -4.9, "Yb": -1.6}
FORMULAS = st.text("abcd", min_size=1, max_size=5).map(
    lambda text: "".join({"a": "Na", "b": "Cl", "c": "Mg", "d": "O"}[one] for one in text)
)
ENTRIES = st.lists(st.tuples(FORMULAS, st.floats(-3, 1)), max_size=12)
QUERIES = st.lists(
    st.tuples(
        st.one_of(st.none(), FORMULAS, st.just("NaYb"), st.just("KCl")),
        st.one_of(st.floats(-6, 0), st.just(float("nan"))),
    ),
    min_size=1,
    max_size=8,
)


def cell(formula: str | None) -> Cell | None:
    """A chain of the atoms of a formula."""
    if formula is None:
        return None
    symbols = [s for s, n in Composition(formula).get_el_amt_dict().items() for _ in range(int(n))]
    places = [[index / len(symbols), 0, 0] for index in range(len(symbols))]
    return Cell.of(Structure(Lattice.orthorhombic(3 * len(symbols), 3, 3), symbols, places))


def reference_hull(
    entries: list[tuple[str, float]], convention: str = "mp2020_corrected", **rules: Any
) -> ReferenceHull:
    formulas, energies = [f for f, _ in entries], [e for _, e in entries]
    return ReferenceHull(
        Hull(formulas, energies, elements=ENERGIES, **rules),
        Elements("chgnet", convention, ENERGIES),
    )


def total_energies(formula: str, formation: float) -> PDEntry:
    """pymatgen's entry, in the total energy of the formula."""
    composition = Composition(formula)
    elements = sum(n * ENERGIES[s] for s, n in composition.get_el_amt_dict().items())
    return PDEntry(composition, elements + formation * composition.num_atoms)


@given(entries=ENTRIES, formula=FORMULAS, energy=st.floats(-6, 0))
@settings(max_examples=50, deadline=None)
def test_equal_to_the_phase_diagram_of_total_energies(
    entries: list[tuple[str, float]], formula: str, energy: float
) -> None:
    known = [total_energies(symbol, 0.0) for symbol in ENERGIES]
    known += [total_energies(*entry) for entry in entries]
    composition = Composition(formula)
    diagram = PhaseDiagram(known)
    queried = PDEntry(composition, energy * composition.num_atoms)
    placement = reference_hull(entries).place([cell(formula)], [energy])
    expected = diagram.get_e_above_hull(queried, allow_negative=True)
    assert placement.e_above_hull == pytest.approx([expected], abs=1e-6)
    elements = sum(n * ENERGIES[s] for s, n in composition.get_el_amt_dict().items())
    per_atom = energy - elements / composition.num_atoms
    assert placement.formation_energy == pytest.approx([per_atom])


@given(entries=ENTRIES, queries=QUERIES, data=st.data())
@settings(max_examples=50, deadline=None)
def test_the_order_of_the_crystals_does_not_matter(
    entries: list[tuple[str, float]], queries: list[tuple[str | None, float]], data: st.DataObject
) -> None:
    hull = reference_hull(entries, exclude_ytterbium=True)
    order = data.draw(st.permutations(range(len(queries))))
    crystals, energies = [cell(f) for f, _ in queries], np.array([e for _, e in queries])
    first = hull.place(crystals, energies)
    second = hull.place([crystals[row] for row in order], energies[order])
    for name in first.__dataclass_fields__:
        np.testing.assert_array_equal(
            np.array(getattr(first, name))[order], getattr(second, name), err_msg=name
        )


@given(entries=ENTRIES, queries=QUERIES, minimum=st.integers(1, 6))
@settings(max_examples=50, deadline=None)
def test_what_the_fields_say_of_each_other(
    entries: list[tuple[str, float]], queries: list[tuple[str | None, float]], minimum: int
) -> None:
    hull = reference_hull(entries, exclude_ytterbium=True, min_references=minimum)
    found = hull.place([cell(f) for f, _ in queries], [e for _, e in queries])
    status = np.array(found.status)
    assert set(found.status) <= set(STATUSES)
    np.testing.assert_array_equal(np.isfinite(found.e_above_hull), status == "ok")
    unplaced = np.isin(status, ["no_energy", "no_element_reference"])
    np.testing.assert_array_equal(np.isnan(found.formation_energy), unplaced)
    assert (found.references[unplaced] == 0).all()
    assert (found.references[status == "ok"] >= minimum).all()
    for (formula, _), references, compounds in zip(
        queries, found.references, found.compounds, strict=True
    ):
        if references:
            assert references - compounds == len(set(Composition(formula).elements))
    assert not found.supported[(found.compounds == 0) | (status != "ok")].any()


def test_every_status_is_reached_and_has_a_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(get_args(Status)) == set(STATUSES)

    def correction(structure: Structure) -> float:
        if "Mg" in structure.composition:
            raise ValueError("no symmetry")
        return 0.0

    monkeypatch.setattr("crystalformer_rl.stability.corrections.mp2020_correction", correction)
    rules = {"min_references": 3, "exclude_ytterbium": True}
    hull = reference_hull([("NaCl", -1.0)], "uncorrected", **rules)
    formulas = ["NaCl", None, "NaCl", "KCl", "MgO", "YbO", "Na"]
    energies = [-3.0, -3.0, np.nan, -3.0, -3.0, -3.0, -1.3]
    found = hull.place([cell(formula) for formula in formulas], energies)
    assert found.status == [
        "ok", "no_energy", "no_energy", "no_element_reference", "no_correction", "ytterbium",
        "sparse",
    ]  # fmt: skip
    assert set(found.status) == set(STATUSES)
    assert found.compounds.tolist() == [1, 0, 0, 0, 0, 0, 0]


def test_uncorrected_energies_are_corrected() -> None:
    oxide = cell("MgO")
    assert oxide is not None
    hull = reference_hull([("MgO", -2.0)], "uncorrected")
    at_hull = (-1.5 - 4.9) / 2 - 2.0 - mp2020_correction(oxide.structure())
    assert hull.place([oxide], [at_hull]).e_above_hull == pytest.approx([0], abs=1e-12)
    with pytest.raises(ValueError, match=r"1 crystals need 1 energies, .* shape \(2,\)"):
        hull.place([oxide], [0.0, 0.0])
    assert hull.place([], []).status == []


def test_energies_on_a_hull_of_tri2024() -> None:
    """Taken from MP2020's to no corrections and on to TRI2024's, whatever the potential gives."""
    oxide = cell("MgO")
    assert oxide is not None
    formation = 1.108 * (-6.2 - (-1.5 - 4.9) / 2)
    for convention, energy in (
        ("uncorrected", -6.2), ("mp2020_corrected", -6.2 + mp2020_correction(oxide.structure()))
    ):  # fmt: skip
        elements = Elements("chgnet", convention, ENERGIES, "TRI2024")
        found = elements.references.formation_energy(oxide, energy)
        assert found == pytest.approx(formation)
    own = Elements("orb", "omat24", ENERGIES, "TRI2024")
    assert own.references.formation_energy(oxide, -6.2) == pytest.approx(formation / 1.108)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    entries = pd.DataFrame(
        {"formula": ["NaN", "NaCl"], "formation_energy_per_atom": [-0.1, -2.0], "id": ["a", "b"]}
    )
    elements = Elements("chgnet", "mp2020_corrected", ENERGIES)
    write_hull(tmp_path, entries, elements=elements, rules=HullRules(3, exclude_ytterbium=True))
    return tmp_path


def test_a_hull_is_read_as_it_was_written(folder: Path) -> None:
    hull = ReferenceHull.load(folder, energies_of=["chgnet"])
    assert hull.elements == Elements("chgnet", "mp2020_corrected", ENERGIES)
    found = hull.place([cell(f) for f in ("NaCl", "MgO", "NaYb")], [-3.0] * 3)
    assert found.status == ["ok", "sparse", "ytterbium"]
    assert read_table(folder / "hull.parquet")["id"].tolist() == ["a", "b"]
    # Another program may write the table again: the rules are not in it.
    pd.read_parquet(folder / "hull.parquet").rename(columns={"id": "name"}).to_parquet(
        folder / "hull.parquet"
    )
    again = ReferenceHull.load(folder).place([cell("MgO")], [-3.0])
    assert again.status == ["sparse"]


def test_a_hull_without_its_rules_is_refused(folder: Path) -> None:
    (folder / "hull.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"hull\.json: .* rules .* build the hull again"):
        ReferenceHull.load(folder)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"min_references": 3}, "must be an object with the entries"),
        ({"min_references": "3", "exclude_ytterbium": True}, "not '3' and True"),
        ({"min_references": None, "exclude_ytterbium": None}, "not None and None"),
    ],
)
def test_bad_rules_are_named(folder: Path, rules: dict[str, Any], message: str) -> None:
    write_json(folder / "hull.json", rules)
    with pytest.raises(ValueError, match=rf"hull\.json: .*{message}"):
        ReferenceHull.load(folder)


def test_energies_of_another_potential_are_refused(folder: Path) -> None:
    message = "a hull of chgnet energies, but the energies to place on it are from mace, orb"
    with pytest.raises(ValueError, match=message):
        ReferenceHull.load(folder, energies_of=["orb", "chgnet", "mace"])
    assert {path.name for path in hull_files(folder)} == {path.name for path in folder.iterdir()}
