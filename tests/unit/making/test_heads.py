"""``train-heads`` on made-up labels of real crystals: what it writes and what it rejects."""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from crystalformer_rl.cli import main
from crystalformer_rl.crystal.cell import cells_from
from crystalformer_rl.files import read_json
from crystalformer_rl.potentials.registry import load
from crystalformer_rl.properties.ensemble import read_ensemble

CATIONS = ["Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Cd", "Zn"]
ANIONS = ["F", "Cl", "Br", "I", "O", "S", "Se", "Te"]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Cubic AB crystals with labels that follow from the elements."""
    rows = []
    for index, (cation, anion) in enumerate(product(CATIONS, ANIONS)):
        crystal = Structure(Lattice.cubic(3.3), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])
        gap = max(0.0, 3 - 0.5 * CATIONS.index(cation) + 0.5 * ANIONS.index(anion))
        rows.append(
            {
                "material_id": f"x-{index}",
                "cif": crystal.to(fmt="cif"),
                "band_gap": str(gap),
                "poly_electronic": str(1.5 + ANIONS.index(anion)),
            }
        )
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def arguments(table: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("heads")
    known = table.drop(columns="poly_electronic")
    train = known.iloc[::2].copy()
    train.loc[0, "cif"] = "data_broken"
    train.loc[2, "band_gap"] = ""
    train.to_csv(folder / "train.csv.xz", index=False)
    known.iloc[1::4].to_csv(folder / "val.csv", index=False)
    known.iloc[3::4].to_csv(folder / "test.csv.gz", index=False)
    table.to_csv(folder / "dielectric.csv", index=False)
    return {
        "--band-gaps-train": str(folder / "train.csv.xz"),
        "--band-gaps-val": str(folder / "val.csv"),
        "--band-gaps-test": str(folder / "test.csv.gz"),
        "--dielectric": str(folder / "dielectric.csv"),
        "--features": str(folder / "features"),
    }


def train(arguments: dict[str, str], out: Path, **changes: str) -> Path:
    arguments = arguments | {
        f"--{name.replace('_', '-')}": value for name, value in changes.items()
    }
    main(["train-heads", "--out", str(out), *(word for pair in arguments.items() for word in pair)])
    return out


def test_it_writes_weights_with_their_history(
    arguments: dict[str, str], table: pd.DataFrame, tmp_path: Path
) -> None:
    first = train(arguments, tmp_path / "first")
    record = read_json(first / "band_gap.json")
    assert [part["rows"] for part in record["data"]] == [42, 22, 22]
    assert [part["rejected"] for part in record["data"]] == [1, 0, 0]
    assert {"train", "val", "test"} == set(record["errors"])
    dielectric = read_json(first / "dielectric.json")
    counted = [part["rows"] for part in dielectric["errors"].values()]
    assert sum(counted) == len(table)
    assert 0 < dielectric["figure_of_merit_errors"]["rows"] < dielectric["errors"]["test"]["rows"]
    assert read_json(first / "provenance.json")["seed"] == 0
    salt = Structure.from_str(table["cif"][9], fmt="cif")
    features = load("chgnet").evaluate(cells_from([salt]), forces=False)[0].features
    assert np.isfinite(read_ensemble(first, "band_gap").predict([features]).mean).all()

    again = train(arguments, tmp_path / "again")
    other = train(arguments, tmp_path / "other", seed="1")
    for name in ("band_gap", "dielectric"):
        weights = f"{name}.safetensors"
        assert (first / weights).read_bytes() == (again / weights).read_bytes()
        assert (first / f"{name}.json").read_bytes() == (again / f"{name}.json").read_bytes()
        assert (first / weights).read_bytes() != (other / weights).read_bytes()


@pytest.mark.parametrize("column", ["cif", "band_gap"])
def test_bad_tables_are_named(
    column: str,
    arguments: dict[str, str],
    table: pd.DataFrame,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "odd.csv"
    odd = table.head(3).assign(band_gap="wide") if column == "band_gap" else table.head(3)
    message = "is not a number" if column == "band_gap" else "missing columns ['cif']; it has"
    odd.drop(columns=column if column == "cif" else []).to_csv(path, index=False)
    with pytest.raises(SystemExit):
        train(arguments, tmp_path / "out", band_gaps_train=str(path))
    answer = capsys.readouterr().err
    assert str(path) in answer
    assert message in answer
    assert not (tmp_path / "out").exists()


def test_a_truncated_file_is_named(
    arguments: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "short.csv.xz"
    path.write_bytes(Path(arguments["--band-gaps-train"]).read_bytes()[:300])
    with pytest.raises(SystemExit):
        train(arguments, tmp_path / "out", band_gaps_train=str(path))
    assert str(path) in capsys.readouterr().err
