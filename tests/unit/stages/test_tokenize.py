"""The tokenize stage: what it writes agrees with the structures it read."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher

from crystalformer_rl.config import TokenizeSettings
from crystalformer_rl.crystal.decoding import decode
from crystalformer_rl.crystal.packed import PackedTokens
from crystalformer_rl.crystal.readers import read_crystals
from crystalformer_rl.crystal.structures import structure_columns, structures_of
from crystalformer_rl.files import read_tensors
from crystalformer_rl.stages import tokenize

FIXTURE = Path(__file__).parents[2] / "fixtures" / "mp20_val_16.csv"
SPLITS = ["train", "val", "test", "train"] * 4


@pytest.fixture
def structures(tmp_path: Path) -> Path:
    rows = list(read_crystals(FIXTURE))
    path = tmp_path / "structures.parquet"
    pd.DataFrame(
        {
            "id": [row.id for row in rows],
            "split": SPLITS,
            **structure_columns([row.structure for row in rows]),
        }
    ).to_parquet(path)
    return path


def _run(path: Path, out: Path, *, processes: int = 1, **settings: object) -> None:
    tokenize.tokenize_structures(
        TokenizeSettings.model_validate(settings), structures=path, processes=processes, out=out
    )


def test_tokens_decode_to_the_structures_of_their_rows(structures: Path, tmp_path: Path) -> None:
    _run(structures, tmp_path / "out")
    originals = structures_of(pd.read_parquet(structures))
    seen = []
    for split in ("train", "val", "test"):
        arrays = read_tensors(tmp_path / "out" / f"tokens-{split}.safetensors")
        packed = PackedTokens.from_arrays(arrays)
        assert len(packed.wyckoff) == packed.num_sites.sum()
        tokens = packed[:]
        for decoded, row in zip(decode(tokens), arrays["row"].tolist(), strict=True):
            assert SPLITS[row] == split
            assert StructureMatcher().fit(decoded.structure, originals[row])
            seen.append(row)
        histogram = json.loads((tmp_path / "out" / "space_groups.json").read_text())[split]
        groups, numbers = np.unique(tokens.space_group, return_counts=True)
        assert {int(g): n for g, n in histogram.items()} == dict(
            zip(groups.tolist(), numbers.tolist(), strict=True)
        )
    assert sorted(seen) == list(range(16))
    counts = json.loads((tmp_path / "out" / "provenance.json").read_text())["counts"]
    assert (counts["items"], counts["kept_train"]) == (16, 8)


def test_rejected_crystals_are_records(structures: Path, tmp_path: Path) -> None:
    _run(structures, tmp_path / "out", max_sites=2)
    rejected = pd.read_parquet(tmp_path / "out" / "rejected.parquet")
    assert rejected.columns.tolist() == ["id", "split", "reason", "detail"]
    assert set(rejected["reason"]) == {"too_many_sites"}
    kept = sum(
        len(read_tensors(tmp_path / "out" / f"tokens-{split}.safetensors")["row"])
        for split in ("train", "val", "test")
    )
    assert kept + len(rejected) == 16
    assert kept > 0


def test_no_training_crystals_is_an_error(structures: Path, tmp_path: Path) -> None:
    table = pd.read_parquet(structures)
    table.assign(split="val").to_parquet(structures)
    with pytest.raises(ValueError, match=r"structures\.parquet: no crystal of split 'train'"):
        _run(structures, tmp_path / "out")


def test_rows_that_cannot_be_read_cost_only_themselves(structures: Path, tmp_path: Path) -> None:
    table = pd.read_parquet(structures)
    table["lattice"] = [None, *table["lattice"][1:]]
    numbers = [one.tolist() for one in table["numbers"]]
    numbers[3][0] = 0
    table.assign(numbers=numbers).to_parquet(structures)
    _run(structures, tmp_path / "out", processes=2)
    rejected = pd.read_parquet(tmp_path / "out" / "rejected.parquet")
    assert rejected["id"].tolist() == [table["id"][0], table["id"][3]]
    assert set(rejected["reason"]) == {"unreadable"}
    assert rejected["detail"][0] == "the row has no structure"
    assert rejected["detail"][1].startswith("atomic numbers 0: ")
    arrays = read_tensors(tmp_path / "out" / "tokens-train.safetensors")
    assert arrays["row"].tolist() == [4, 7, 8, 11, 12, 15]


def test_a_table_without_structures_is_an_error(structures: Path, tmp_path: Path) -> None:
    pd.read_parquet(structures).drop(columns="numbers").to_parquet(structures)
    with pytest.raises(ValueError, match=r"structures\.parquet: .*numbers"):
        _run(structures, tmp_path / "out")
    with pytest.raises(FileNotFoundError, match=r"gone\.parquet"):
        _run(tmp_path / "gone.parquet", tmp_path / "out")
