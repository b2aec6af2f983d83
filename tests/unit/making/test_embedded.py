"""The embedded crystals: what is committed, and the command that made them."""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crystalformer_rl.crystal.structures import structures_of
from crystalformer_rl.files import read_json, read_table
from crystalformer_rl.making.embedded import _elements, _relaxed, _stable
from crystalformer_rl.making.prototypes import Candidate, prototypes
from crystalformer_rl.potentials.registry import load
from crystalformer_rl.stability.elements import ElementReferences
from crystalformer_rl.stability.reference import Elements

EMBEDDED = Path(__file__).parents[3] / "resources/embedded"


@pytest.fixture(scope="module")
def crystals() -> pd.DataFrame:
    return read_table(EMBEDDED / "crystals.parquet")


def test_what_is_committed_is_what_is_promised(crystals: pd.DataFrame) -> None:
    assert sum(path.stat().st_size for path in EMBEDDED.iterdir()) < 5e6
    assert len(crystals) >= 1500
    assert crystals["id"].is_unique
    assert (crystals["e_above_hull"] < 0.15).all()
    assert (crystals["status"] == "converged").all()
    assert crystals["space_group"].nunique() >= 60
    assert len({z for numbers in crystals["numbers"] for z in numbers}) >= 60
    shares = crystals["split"].value_counts(normalize=True)
    assert shares["train"] == pytest.approx(0.8, abs=0.03)
    assert crystals.groupby("formula")["split"].nunique().max() == 1


def test_energies_can_be_had_again(crystals: pd.DataFrame) -> None:
    rows = crystals.iloc[:: len(crystals) // 12]
    structures = [s for s in structures_of(rows) if s is not None]
    answers = load("chgnet").evaluate(structures)
    for row, structure, answer in zip(rows.itertuples(), structures, answers, strict=True):
        assert answer.energy / len(structure) == pytest.approx(row.energy_per_atom, abs=1e-4)
        assert np.linalg.norm(answer.forces, axis=1).max() < 0.06


def test_elements_are_the_zero_of_formation_energies(crystals: pd.DataFrame) -> None:
    record = read_json(EMBEDDED / "elements-chgnet.json")
    references = ElementReferences(record["energies"])
    assert record["potential"] == "chgnet"
    for row, structure in zip(crystals.itertuples(), structures_of(crystals), strict=True):
        assert structure is not None
        formation = references.formation_energy(structure.composition, row.energy_per_atom)
        assert formation == pytest.approx(row.formation_energy_per_atom, abs=1e-9)
        if structure.n_elems == 1:
            assert formation >= -1e-9


def test_each_element_has_crystals_for_other_potentials(crystals: pd.DataFrame) -> None:
    table = read_table(EMBEDDED / "element_crystals.parquet")
    symbols = [s.elements[0].symbol for s in structures_of(table) if s is not None]
    lowest = table.groupby(pd.Series(symbols, index=table.index))["energy_per_atom"].min()
    energies = read_json(EMBEDDED / "elements-chgnet.json")["energies"]
    assert dict(lowest) == pytest.approx(energies, abs=1e-9)
    assert table.groupby("formula").size().eq(2).all()
    known = set(crystals["id"])
    assert sum(name in known for name in table["id"]) == 2 * 78


@pytest.mark.slow
def test_relaxes_goes_on_and_judges(tmp_path: Path) -> None:
    library = dict(prototypes(2))
    salt = library["AB_cF8_225_a_b-1"]
    candidates = []
    for first, second in (("Na", "Cl"), ("Mg", "O")):
        structure = salt.copy()
        structure.replace_species(
            dict(zip((e.symbol for e in salt.elements), (first, second), strict=True))
        )
        volume = {"Na": 46.0, "Mg": 19.0}[first]
        structure.scale_lattice(volume)
        candidates.append(Candidate(f"salt-{first}", "AB_cF8_225_a_b-1", "NaCl", structure))
    args = argparse.Namespace(work=tmp_path, max_force=0.05, max_steps=60, processes=1)
    first = _relaxed(args, "compounds", iter(candidates[:1]))
    (only,) = tmp_path.iterdir()
    written = only.stat().st_mtime_ns
    both = _relaxed(args, "compounds", iter(candidates))
    assert only.stat().st_mtime_ns == written
    assert both["id"].tolist() == ["salt-Na", "salt-Mg"]
    assert both.iloc[0]["energy_per_atom"] == first.iloc[0]["energy_per_atom"]

    energies = {"Na": -1.3, "Cl": -1.8, "Mg": -1.5, "O": -4.9}
    table = _stable(both, Elements("chgnet", "mp2020_corrected", energies), below=0.15)
    assert sorted(table["formula"]) == ["MgO", "NaCl"]
    assert set(table["space_group"]) == {225}
    assert (table["formation_energy_per_atom"] < -1).all()
    # The lowest crystal of an element is its reference.
    pure = both.iloc[[0]].assign(numbers=[[11, 11]], energy_per_atom=[-1.3], status=["converged"])
    higher = pure.assign(energy_per_atom=[-1.1])
    elements = _elements(pd.concat([higher, pure], ignore_index=True))
    assert elements.energies == {"Na": -1.3}
