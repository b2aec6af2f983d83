"""The stage that describes the crystals of the dataset."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.cli import run_verb
from helpers.crystals import cubic_crystal, rock_salt

from crystalformer_rl.crystal.structures import structure_columns
from crystalformer_rl.evaluation.known import describe
from crystalformer_rl.files import read_json, read_table, write_table
from crystalformer_rl.stages import known


@pytest.mark.parametrize("chunk", [1, 500])
def test_every_crystal_has_a_row_in_order(
    chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "CHUNK", chunk)
    crystals = [rock_salt(), cubic_crystal("Pm-3m", "Cs", "Cl"), rock_salt("K", "Br", 6.6)]
    table = pd.DataFrame({"id": ["a", "b", "c"], **structure_columns(crystals)})
    write_table(tmp_path / "structures.parquet", table)
    out = tmp_path / "known.parquet"
    run_verb(known, ["--structures", f"{tmp_path}/structures.parquet", "--out", str(out)])
    found = read_table(out)
    assert found["id"].tolist() == ["a", "b", "c"]
    assert np.array_equal(np.stack(found["amd"].tolist()), np.stack(describe(table)["amd"]))
    assert read_json(tmp_path / "known.provenance.json")["counts"]["items"] == 3
