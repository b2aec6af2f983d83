"""The relax stage: a record per crystal of the shard, in order, whatever became of it."""

from pathlib import Path

import pandas as pd
from pymatgen.core import Lattice, Structure

from crystalformer_rl.cli import main
from crystalformer_rl.crystal.structures import structure_columns, structures_of
from crystalformer_rl.files import read_json, read_table, write_table


def salt(length: float) -> Structure:
    return Structure(
        Lattice([[0, length / 2, length / 2], [length / 2, 0, length / 2], [length / 2] * 2 + [0]]),
        ["Na", "Cl"],
        [[0, 0, 0], [0.5, 0.5, 0.5]],
    )


def test_every_crystal_has_a_record(tmp_path: Path) -> None:
    overlap = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0.05, 0, 0]])
    heavy = Structure(Lattice.cubic(4), ["Cf"], [[0, 0, 0]])
    crystals = [salt(5.8), None, overlap, heavy]
    shard = pd.DataFrame(
        {"id": [f"base-0000-{i:04d}" for i in range(4)], **structure_columns(crystals)}
    )
    write_table(tmp_path / "sample.parquet", shard)
    out = tmp_path / "relax/shard-0000.parquet"
    settings = '{"max_force": 0.05, "max_steps": 60}'
    sample = str(tmp_path / "sample.parquet")
    main(["relax", "--settings", settings, "--sample", sample, "--out", str(out)])
    table = read_table(out)
    assert table["id"].tolist() == shard["id"].tolist()
    assert table["status"].tolist() == [
        "converged",
        "unphysical",
        "unphysical",
        "unknown_element",
    ]
    assert table["error"].isna().tolist() == [True, False, False, False]
    assert table["energy_final"].iloc[0] < table["energy_initial"].iloc[0]
    relaxed = structures_of(table, prefix="relaxed_")
    assert [s is None for s in relaxed] == [False, True, True, True]
    record = read_json(tmp_path / "relax/shard-0000.provenance.json")
    assert record["counts"]["converged"] == 1
    assert record["counts"]["unphysical"] == 2
