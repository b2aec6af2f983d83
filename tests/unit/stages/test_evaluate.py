"""The evaluate stage, from assessed shards to the table and the summary."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.cli import parse, run_verb
from helpers.shards import CESIUM, SALT, assess_shard, prepare, write_judge, write_shard

from crystalformer_rl.config import EvaluateSettings
from crystalformer_rl.crystal.packed import PackedTokens
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.evaluation.diversity import training_set
from crystalformer_rl.evaluation.sun import summarise
from crystalformer_rl.files import read_json, read_table, write_table, write_tensors
from crystalformer_rl.stages import evaluate

ROWS = [(SALT, -3.45), (CESIUM, -3.45), (None, None), (CESIUM, -3.4)]
TRAINED = CrystalTokens(
    space_group=[225, 62],
    wyckoff=[[1, 2], [3, 3]],
    element=[[11, 17], [12, 8]],
    position=np.zeros((2, 2, 3)),
    lattice=np.ones((2, 6)),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.set_num_threads(1)
    prepare(tmp_path)
    write_tensors(tmp_path / "tokens.safetensors", PackedTokens.from_tokens(TRAINED).to_arrays())
    write_shard(tmp_path, "base", ROWS)
    write_shard(tmp_path, "sft", [(None, None)])
    return tmp_path


def join(folder: Path, **shards: int) -> Path:
    """Evaluate the first shards of each policy."""
    words = ["--settings", EvaluateSettings().model_dump_json(), "--out", str(folder / "out")]
    words += ["--training", str(folder / "tokens.safetensors")]
    words += ["--known", str(folder / "known.parquet"), "--assessed"]
    words += [f"{policy}={folder}/assess/{policy}:{count}" for policy, count in shards.items()]
    run_verb(evaluate, words)
    return folder / "out"


def run(folder: Path, **shards: int) -> Path:
    """Assess them, and evaluate."""
    for policy, count in shards.items():
        for number in range(count):
            assess_shard(folder, policy, number)
    return join(folder, **shards)


def test_every_generated_crystal_has_a_row(folder: Path) -> None:
    out = run(folder, base=1, sft=1)
    table = read_table(out / "structures.parquet")
    assert table["policy"].tolist() == ["base"] * 4 + ["sft"]
    assert table["decoded"].tolist() == [True, True, False, True, False]
    assert table["sun"].tolist() == [False, True, False, False, False]
    assert table["sun_strict"].tolist() == table["sun"].tolist()
    assert table["failure"].dropna().tolist() == ["decode: no volume"] * 2

    text = (out / "summary.json").read_text()
    assert "NaN" not in text
    summary = json.loads(text)
    training = training_set(PackedTokens.from_tokens(TRAINED))
    known = read_table(folder / "known.parquet")
    again = summarise(table, training=training, known=known)
    assert summary == json.loads(json.dumps(again))
    covered = summary["policies"]["base"]["diversity"]["space_groups"]["coverage"]
    assert (covered["covered"], covered["of"]) == (1, 2)
    assert summary["policies"]["base"]["fractions"]["sun"]["fraction"] == 0.25
    assert summary["policies"]["sft"]["fractions"]["decoded"]["k"] == 0
    assert read_json(out / "provenance.json")["counts"] == {"items": 5, "failed": 2}


def test_crystals_of_another_generator_need_no_tokens(folder: Path) -> None:
    write_shard(folder, "theirs", [(SALT, -3.45), (CESIUM, -3.45), (None, None)])
    shard = folder / "sample/theirs/shard-0000.parquet"
    groups = pd.array([225, None, None], dtype="Int64")
    without = {"wyckoff": [[1, 2], None, None], "space_group": groups, "log_prob": np.nan}
    write_table(shard, read_table(shard).assign(**without))
    out = run(folder, base=1, theirs=1)
    table = read_table(out / "structures.parquet")
    assert table["space_group"].isna().tolist() == [False] * 5 + [True] * 2
    theirs = table[table["policy"] == "theirs"]
    assert theirs["sun"].tolist() == [False, True, False]
    assert theirs["prototype"].tolist()[0] == "225 ab"
    assert theirs["prototype"].isna().tolist() == [False, True, True]
    summary = read_json(out / "summary.json")["policies"]["theirs"]
    assert summary["generated"] == 3
    assert summary["diversity"]["space_groups"]["distinct"] == 1
    assert list(summary["space_groups"]) == ["225"]


def test_uniqueness_is_that_of_all_shards_of_a_policy(folder: Path) -> None:
    write_shard(folder, "base", [(CESIUM, -3.45), (SALT, -3.3)], number=1)
    write_shard(folder, "sft", [(CESIUM, -3.45)])
    table = read_table(run(folder, base=2, sft=1) / "structures.parquet")
    one, two, other = "base-0000", "base-0001", "sft-0000"
    assert table["representative"].fillna("").tolist() == [
        f"{one}-0000", f"{one}-0001", "", f"{one}-0001", f"{one}-0001", f"{one}-0000",
        f"{other}-0000",
    ]  # fmt: skip
    assert table.loc[table["sun"], "id"].tolist() == [f"{one}-0001", f"{other}-0000"]
    # The first of the second shard is stable and new, and repeats one of the first shard.
    (row,) = table[table["id"] == f"{two}-0000"].to_dict("records")
    assert (row["stable"], row["novel"], row["sun"]) == (True, True, False)


def test_shards_that_the_judge_has_not_seen_are_null_in_its_columns(folder: Path) -> None:
    write_judge(folder, "base", [-1.0, -0.5, np.nan, -1.05])
    write_shard(folder, "base", [(CESIUM, -3.45)], number=1)
    for policy in ("base", "sft"):
        assess_shard(folder, policy)
    assess_shard(folder, "base", 1)
    tables = []
    for shards in ({"base": 2, "sft": 1}, {"sft": 1, "base": 2}):
        out = join(folder, **shards)
        tables.append(read_table(out / "structures.parquet").sort_values("id", ignore_index=True))
    pd.testing.assert_frame_equal(*tables)
    table = tables[0]
    assert table["judge_status"].isna().tolist() == [False] * 4 + [True] * 2
    assert table["sun_judge"].tolist() == [False, False, False, True, pd.NA, pd.NA]
    assert table["judge_stable"].tolist() == [True, False, False, True, pd.NA, pd.NA]
    assert table["sun"].tolist() == [False, True, False, False, False, False]
    judge = read_json(out / "summary.json")["policies"]["base"]["judge"]
    assert (judge["judged"], judge["fractions"]["sun_judge"]["k"]) == (4, 1)
    assert judge["agreement"]["only_judge_stable"] == 1


def test_shards_without_a_crystal_give_a_table_without_a_row(folder: Path) -> None:
    write_shard(folder, "none", [])
    whole = read_table(run(folder, base=1) / "structures.parquet")
    out = run(folder, none=1)
    table = read_table(out / "structures.parquet")
    assert (len(table), list(table)) == (0, list(whole))
    base = read_json(out / "summary.json")["policies"]["none"]
    assert base["fractions"]["sun"] == dict.fromkeys(("fraction", "low", "high")) | {"k": 0, "n": 0}
    both = read_table(join(folder, none=1, base=1) / "structures.parquet")
    pd.testing.assert_frame_equal(both, whole)
    assert read_json(out / "summary.json")["policies"]["none"]["generated"] == 0
    write_judge(folder, "none", [])
    judge = read_json(run(folder, none=1) / "summary.json")["policies"]["none"]["judge"]
    assert judge["judged"] == 0


def test_a_shard_of_another_policy_and_a_shard_given_twice_are_refused(folder: Path) -> None:
    assess_shard(folder, "base")
    assessed = folder / "assess"
    (assessed / "base/shard-0001.parquet").write_bytes(
        (assessed / "base/shard-0000.parquet").read_bytes()
    )
    with pytest.raises(ValueError, match="id 'base-0000-0000' occurs twice in the assessed shards"):
        join(folder, base=2)
    (assessed / "base").rename(assessed / "sft")
    with pytest.raises(ValueError, match=r"shard-0000.parquet is a shard of base, not of sft"):
        join(folder, sft=1)


def test_a_column_that_is_not_described_is_refused(folder: Path) -> None:
    path = folder / "assess/base/shard-0000.parquet"
    assess_shard(folder, "base").assign(novelty=1.0).to_parquet(path)
    with pytest.raises(ValueError, match=r"has the unknown columns \['novelty'\]"):
        join(folder, base=1)


def test_a_shard_without_a_policy_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(evaluate, ["--assessed", "folder:1"])
    assert "'folder:1' must be POLICY=FOLDER:COUNT" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        parse(evaluate, ["--assessed", "base=folder"])
    assert "'folder' must be FOLDER:COUNT with a count above 0" in capsys.readouterr().err
