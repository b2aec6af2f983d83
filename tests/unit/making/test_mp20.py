"""MP-20 as it is embedded, and the command that packs it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.cli import run_verb

from crystalformer_rl.crystal.readers import read_crystals
from crystalformer_rl.crystal.structures import cells_of, structures_of
from crystalformer_rl.files import read_table
from crystalformer_rl.making import mp20
from crystalformer_rl.potentials.registry import load
from crystalformer_rl.stability.readers import read_csv

EMBEDDED = Path(__file__).parents[3] / "resources/mp20"
SOME = Path(__file__).parents[2] / "fixtures/mp20_val_16.csv"
# Of the rows that the tests draw.
SEED = 20


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return read_table(EMBEDDED / "crystals.parquet")


def test_what_is_embedded_is_mp20(table: pd.DataFrame) -> None:
    assert sum(path.stat().st_size for path in EMBEDDED.iterdir()) < 6e6
    assert table["id"].is_unique
    # The training split lacks 891 of its 27,136 rows.
    assert table["split"].value_counts().to_dict() == {"train": 26245, "val": 9047, "test": 9046}
    assert table["numbers"].map(len).max() == 20
    for potential in ("chgnet", "sevennet"):
        assert table[f"energy_per_atom:{potential}"].between(-20, 2).all()
    official = table[table["split"] != "train"]
    assert (
        official[["formation_energy_per_atom", "e_above_hull", "band_gap"]].notna().all(axis=None)
    )
    assert (official["e_above_hull"] < 0.081).all()


def test_reading_it_is_reading_the_cifs(table: pd.DataFrame) -> None:
    packed = table.set_index("id")
    for row in read_crystals(SOME):
        (crystal,) = structures_of(packed.loc[[row.id]])
        assert row.structure is not None and crystal is not None
        assert crystal.atomic_numbers == row.structure.atomic_numbers
        np.testing.assert_allclose(crystal.frac_coords, row.structure.frac_coords, atol=1e-13)
        np.testing.assert_allclose(crystal.lattice.matrix, row.structure.lattice.matrix, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(("potential", "count"), [("chgnet", 40), ("sevennet", 8)])
def test_its_energies_can_be_computed_again(
    table: pd.DataFrame, potential: str, count: int
) -> None:
    rows = table.sample(count, random_state=SEED)
    answers = load(potential).evaluate([cell for cell in cells_of(rows) if cell is not None])
    sizes = rows["numbers"].map(len)
    energies = [answer.energy for answer in answers] / sizes
    np.testing.assert_allclose(energies, rows[f"energy_per_atom:{potential}"], atol=1e-5)


def test_the_formation_energies_are_a_hull() -> None:
    entries = read_csv(EMBEDDED / "formation_energies.csv.xz")
    assert len(entries) == 87285
    energies = {entry.formula: entry.energy for entry in entries}
    # Sodium chloride in the Materials Project.
    assert energies["NaCl"] == pytest.approx(-2.11, abs=0.02)


def test_packing(tmp_path: Path) -> None:
    source = pd.read_csv(SOME, dtype=str, keep_default_na=False)
    energies = pd.DataFrame({"material_id": source["material_id"]})
    energies["chgnet_energy_per_atom"] = -1.25 - np.arange(len(source))
    energies["sevennet_energy_per_atom"] = -1.5
    energies.to_csv(tmp_path / "energies.csv", index=False)
    formations = pd.DataFrame(
        {"formula": ["NaCl", "MgO"], "formation_energy_per_atom": [-2.1, -3.0123456789]}
    )
    formations.assign(source="test").to_csv(tmp_path / "formations.csv", index=False)
    words = [
        *(f"--{split}={SOME}" for split in ("train", "val", "test")),
        f"--energies={tmp_path}/energies.csv", f"--formation-energies={tmp_path}/formations.csv",
        f"--out={tmp_path}/out",
    ]  # fmt: skip
    run_verb(mp20, words)
    packed = read_table(tmp_path / "out/crystals.parquet")
    assert packed["split"].tolist() == ["train"] * 16 + ["val"] * 16 + ["test"] * 16
    assert packed["energy_per_atom:chgnet"][:3].tolist() == [-1.25, -2.25, -3.25]
    rows = list(read_crystals(tmp_path / "out/crystals.parquet"))
    for row, first in zip(rows, read_crystals(SOME), strict=False):
        assert row.structure is not None and first.structure is not None
        assert row.structure == first.structure
        for name in mp20.LABELS:
            known = first.properties.get(name)
            assert row.properties[name] == (
                None if known is None else pytest.approx(known, abs=6e-7)
            )
    (one, two) = read_csv(tmp_path / "out/formation_energies.csv.xz")
    assert (one.formula, one.energy, two.formula, two.energy) == ("MgO", -3.012346, "NaCl", -2.1)

    energies.head(3).to_csv(tmp_path / "energies.csv", index=False)
    with pytest.raises(ValueError, match="no energies of 39 crystals: "):
        run_verb(mp20, words)
