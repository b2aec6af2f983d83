"""The mine verb: the best distinct crystals of all rounds, as files."""

from pathlib import Path

import ase.io
import numpy as np
import pandas as pd
import pytest
from helpers.cli import run_verb

from crystalformer_rl.crystal.structures import structures_of
from crystalformer_rl.crystal.token_table import token_columns
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.files import read_json, read_table, write_table
from crystalformer_rl.tools import mine

PARTNERS = {"NaCl": 17, "NaBr": 35, "NaI": 53, "NaF": 9}


def rounds(folder: Path) -> list[str]:
    """Two rounds of rock salt, its best crystal in the first, one crystal without a reward."""
    finds = [
        ("NaCl", 0.9, True, 0.05),
        ("NaBr", 0.5, True, 0.01),
        ("NaCl", 0.8, True, 0.00),
        ("NaI", 1.0, False, -0.20),
        ("NaF", 0.7, True, np.nan),
    ]
    table = pd.DataFrame(finds, columns=["formula", "value", "valid", "e_above_hull"])
    tokens = CrystalTokens(
        space_group=np.full(5, 225),
        wyckoff=np.tile([1, 2], (5, 1)),
        element=np.array([[11, PARTNERS[formula]] for formula in table["formula"]]),
        position=np.tile([[0.0] * 3, [0.5] * 3], (5, 1, 1)),
        lattice=np.tile([2.8] * 3 + [np.pi / 2] * 3, (5, 1)),
    )
    table = table.assign(
        step=[1, 1, 2, 2, 2], log_prob=-9.5, **token_columns(tokens, whole=np.uint8)
    )
    paths = [folder / f"round-{number}" / "crystals.parquet" for number in (1, 2)]
    for path, rows in zip(paths, (table[:2], table[2:]), strict=True):
        write_table(path, rows)
    return [str(path) for path in paths]


def run(folder: Path, *words: str, out: str = "finds.parquet") -> Path:
    run_verb(mine, ["--crystals", *rounds(folder), f"--out={folder / out}", *words])
    return folder / out


def test_the_best_of_all_rounds(tmp_path: Path) -> None:
    found = read_table(run(tmp_path))
    assert found["formula"].tolist() == ["NaCl", "NaF", "NaBr"]
    assert found["step"].tolist() == [1, 2, 1]
    assert found["id"].tolist() == ["find-0000", "find-0001", "find-0002"]
    for structure, formula in zip(structures_of(found), found["formula"], strict=True):
        assert structure is not None
        assert structure.composition.reduced_formula == formula
        assert structure.get_space_group_info()[1] == 225
    listed = pd.read_csv(tmp_path / "finds.csv")
    assert listed["value"].tolist() == pytest.approx([0.9, 0.7, 0.5])
    counts = read_json(tmp_path / "finds.provenance.json")["counts"]
    assert counts == {"items": 3, "sampled": 5}


def test_by_another_column(tmp_path: Path) -> None:
    path = run(tmp_path, "--by=e_above_hull", "--lowest", "-n", "1", out="finds.extxyz")
    (atoms,) = ase.io.read(path, index=":")
    assert atoms.get_chemical_formula() == "ClNa"
    assert pd.read_csv(tmp_path / "finds.csv")["step"].tolist() == [2]
    with pytest.raises(ValueError, match=r"--by formula: no such number; the table has .*value"):
        run(tmp_path, "--by=formula", out="other.parquet")


def test_what_the_dataset_knows(tmp_path: Path) -> None:
    known = pd.DataFrame({"formula": ["NaCl", "NaF", "NaF"], "split": ["test", "train", "val"]})
    write_table(tmp_path / "structures.parquet", known)
    dataset = f"--dataset={tmp_path / 'structures.parquet'}"
    found = read_table(run(tmp_path, dataset))
    assert found["known_in"].tolist() == ["test", "train, val", ""]
    assert read_table(run(tmp_path, dataset, "--novel", out="new.parquet"))["formula"].tolist() == [
        "NaBr"
    ]
    with pytest.raises(ValueError, match="--novel needs the dataset"):
        run(tmp_path, "--novel", out="other.parquet")
