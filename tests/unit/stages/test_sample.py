"""The sample stage: a policy in, a shard out."""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from crystalformer_rl.config import ModelSettings, SampleSettings
from crystalformer_rl.crystal.structures import structures_of
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.files import read_json, read_table
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.stages import sample

MODEL = ModelSettings(
    layers=1, heads=2, key_size=4, width=16, embedding=8, first_letter_hidden=16, max_sites=6
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.set_num_threads(1)
    counts = np.zeros(231, dtype=np.int64)
    counts[[2, 62, 225]] = 5, 3, 1
    policy = Policy(MODEL, seed=1, space_group_counts=counts)
    # An untrained policy draws lengths around 0: half of them build no cell.
    policy.save(tmp_path / "policy")
    return tmp_path


def run(folder: Path, *, shard: int = 0, out: str = "shard.parquet", **settings: object) -> Path:
    parser = argparse.ArgumentParser()
    sample.add_arguments(parser)
    values = {
        "settings": SampleSettings.model_validate({"shard_size": 40} | settings).model_dump_json(),
        "policy": folder / "policy",
        "name": "base",
        "shard": shard,
        "seed": 7,
        "out": folder / out,
    }
    sample.run(parser.parse_args([f"--{name}={value}" for name, value in values.items()]))
    return folder / out


def test_shard(folder: Path) -> None:
    path = run(folder, shard=2)
    table = read_table(path)
    assert table["id"].tolist() == [f"base-0002-{i:04d}" for i in range(40)]
    assert set(table["space_group"]) <= {2, 62, 225}
    assert list(table.columns[:9]) == [
        "id", "space_group", "num_sites", "wyckoff", "element", "site_positions",
        "token_lattice", "log_prob", "decode_error",
    ]  # fmt: skip
    structures = structures_of(table)
    failed = table["decode_error"].notna()
    assert failed.any()
    assert not failed.all()
    assert [structure is None for structure in structures] == failed.tolist()
    record = read_json(folder / "shard.provenance.json")
    assert record["stage"] == "sample"
    assert record["counts"] == {"items": 40, "undecodable": int(failed.sum())}


def test_rows_hold_the_tokens_that_were_scored(folder: Path) -> None:
    table = read_table(run(folder))
    sites = MODEL.max_sites
    tokens = CrystalTokens(
        space_group=table["space_group"].to_numpy(),
        wyckoff=np.array([np.pad(row, (0, sites - len(row))) for row in table["wyckoff"]]),
        element=np.array([np.pad(row, (0, sites - len(row))) for row in table["element"]]),
        position=np.array(
            [np.pad(row, (0, 3 * sites - len(row))) for row in table["site_positions"]]
        ).reshape(-1, sites, 3),
        lattice=np.array(table["token_lattice"].tolist()),
    )
    np.testing.assert_array_equal(tokens.num_sites, table["num_sites"])
    with torch.no_grad():
        scored = Policy.load(folder / "policy").log_prob(tokens).total.numpy()
    np.testing.assert_allclose(scored, table["log_prob"], rtol=0, atol=1e-4)


def test_shards_differ_and_repeat(folder: Path) -> None:
    tables = [
        read_table(run(folder, shard=shard, out=out)).drop(columns="id")
        for shard, out in ((0, "a.parquet"), (0, "b.parquet"), (1, "c.parquet"))
    ]
    pd.testing.assert_frame_equal(tables[0], tables[1])
    assert not tables[0]["log_prob"].equals(tables[2]["log_prob"])


@pytest.mark.parametrize(
    ("named", "drawn"), [([62, 14], {62}), ([14], {14}), ([14, 15], {14, 15}), (None, {2, 62, 225})]
)
def test_space_groups_by_the_histogram_where_it_has_them(
    folder: Path, named: list[int] | None, drawn: set[int]
) -> None:
    table = read_table(run(folder, space_groups=named))
    assert set(table["space_group"]) == drawn


def test_negative_shard(folder: Path) -> None:
    with pytest.raises(ValueError, match="--shard must be 0 or more, got -1"):
        run(folder, shard=-1)
