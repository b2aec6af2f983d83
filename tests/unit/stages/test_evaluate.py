"""The evaluate stage, from shards on disk to the table and the summary."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.cli import parse, run_verb
from helpers.crystals import cubic_crystal
from pymatgen.core import Structure

from crystalformer_rl.config import EvaluateSettings
from crystalformer_rl.crystal.packed import PackedTokens
from crystalformer_rl.crystal.structures import structure_columns
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.evaluation import evaluator
from crystalformer_rl.evaluation.batch import formula_batches
from crystalformer_rl.evaluation.diversity import training_set
from crystalformer_rl.evaluation.evaluator import Evaluator
from crystalformer_rl.evaluation.sun import summarise
from crystalformer_rl.files import read_json, read_table, write_table, write_tensors
from crystalformer_rl.stability.reference import Elements, HullRules, write_hull
from crystalformer_rl.stages import evaluate

SALT = cubic_crystal("Fm-3m", "Na", "Cl", 5.6)
CESIUM = cubic_crystal("Pm-3m", "Na", "Cl", 3.5)
TRAINED = CrystalTokens(
    space_group=[225, 62],
    wyckoff=[[1, 2], [3, 3]],
    element=[[11, 17], [12, 8]],
    position=np.zeros((2, 2, 3)),
    lattice=np.ones((2, 6)),
)


def write_shards(
    folder: Path, policy: str, rows: list[tuple[Structure | None, float | None]]
) -> None:
    ids = [f"{policy}-0000-{i:04d}" for i in range(len(rows))]
    structures = [structure for structure, _ in rows]
    decoded = [structure is not None for structure in structures]
    sample = {
        "id": ids,
        "space_group": 225,
        "num_sites": 2,
        "wyckoff": [[1, 2]] * len(rows),
        "log_prob": -3.0,
        "decode_error": [None if good else "no volume" for good in decoded],
        **structure_columns(structures),
    }
    relaxed = {
        "id": ids,
        "potential": "chgnet",
        "status": ["converged" if good else "unphysical" for good in decoded],
        "error": [None if good else "no structure" for good in decoded],
        "energy_initial": [energy for _, energy in rows],
        "energy_final": [energy for _, energy in rows],
        "max_force": 0.0,
        "max_stress": 0.0,
        "steps": 1,
        **structure_columns(structures, prefix="relaxed_"),
    }
    write_table(folder / f"sample-{policy}/shard-0000.parquet", pd.DataFrame(sample))
    write_table(folder / f"relax-{policy}/shard-0000.parquet", pd.DataFrame(relaxed))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.set_num_threads(1)
    hull = pd.DataFrame({"formula": ["NaCl"], "formation_energy_per_atom": [-2.0]})
    elements = Elements("chgnet", "mp2020_corrected", {"Na": -1.0, "Cl": -2.0})
    write_hull(tmp_path / "hull", hull, elements=elements, rules=HullRules())
    known = {"id": ["mp-22862", "mp-1"], "split": ["test", "train"]}
    known |= structure_columns([SALT, cubic_crystal("Fm-3m", "Mg", "O", 4.2)])
    write_table(tmp_path / "structures.parquet", pd.DataFrame(known))
    write_tensors(tmp_path / "tokens.safetensors", PackedTokens.from_tokens(TRAINED).to_arrays())
    write_shards(tmp_path, "base", [(SALT, -3.45), (CESIUM, -3.45), (None, None), (CESIUM, -3.4)])
    write_shards(tmp_path, "sft", [(None, None)])
    return tmp_path


def run(folder: Path, *policies: str, judge: bool = False, processes: int = 1) -> Path:
    words = ["--settings", EvaluateSettings().model_dump_json(), "--hull", str(folder / "hull")]
    words += ["--structures", str(folder / "structures.parquet"), "--out", str(folder / "out")]
    words += ["--processes", str(processes), "--training", str(folder / "tokens.safetensors")]
    for name, stage in (("samples", "sample"), ("relaxed", "relax")):
        words += [f"--{name}", *(f"{policy}={folder}/{stage}-{policy}:1" for policy in policies)]
    if judge:
        words += ["--judge-hull", str(folder / "judge-hull"), "--judged"]
        words += [f"{policy}={folder}/judge-{policy}:1" for policy in policies]
    run_verb(evaluate, words)
    return folder / "out"


def write_judge(folder: Path, policy: str, energies: list[float]) -> None:
    """The judge's hull, and its relaxations of the samples of a policy."""
    hull = pd.DataFrame({"formula": ["NaCl"], "formation_energy_per_atom": [-1.0]})
    elements = Elements("sevennet", "mp2020_corrected", {"Na": 0.0, "Cl": 0.0})
    write_hull(folder / "judge-hull", hull, elements=elements, rules=HullRules())
    shard = read_table(folder / f"relax-{policy}/shard-0000.parquet")
    shard = shard.assign(potential="sevennet", energy_initial=energies, energy_final=energies)
    write_table(folder / f"judge-{policy}/shard-0000.parquet", shard)


def test_every_generated_crystal_has_a_row(folder: Path) -> None:
    out = run(folder, "base", "sft")
    table = read_table(out / "structures.parquet")
    assert table["policy"].tolist() == ["base"] * 4 + ["sft"]
    assert table["decoded"].tolist() == [True, True, False, True, False]
    assert table["stable"].tolist() == [True, True, False, False, False]
    assert table["sun"].tolist() == [False, True, False, False, False]
    assert table["matched_id"].dropna().tolist() == ["mp-22862"]
    assert table["e_above_hull"].dropna().tolist() == pytest.approx([0.05, 0.05, 0.1])
    assert table["band_gap"].notna().tolist() == table["decoded"].tolist()
    assert table["failure"].dropna().tolist() == ["decode: no volume"] * 2
    assert table["rmsd"].dropna().tolist() == pytest.approx([0, 0, 0], abs=1e-6)

    text = (out / "summary.json").read_text()
    assert "NaN" not in text
    summary = json.loads(text)
    training = training_set(PackedTokens.from_tokens(TRAINED))
    assert summary == json.loads(json.dumps(summarise(table, training=training)))
    assert table["prototype"].dropna().tolist() == ["225 ab"] * 3
    covered = summary["policies"]["base"]["diversity"]["space_groups"]["coverage"]
    assert (covered["covered"], covered["of"]) == (1, 2)
    assert table["sun_strict"].tolist() == table["sun"].tolist()
    assert summary["policies"]["base"]["fractions"]["sun"]["fraction"] == 0.25
    assert summary["policies"]["sft"]["fractions"]["decoded"]["k"] == 0
    assert read_json(out / "provenance.json")["counts"] == {"items": 5, "failed": 2}


def test_crystals_of_another_generator_need_no_tokens(folder: Path) -> None:
    write_shards(folder, "theirs", [(SALT, -3.45), (CESIUM, -3.45), (None, None)])
    shard = folder / "sample-theirs/shard-0000.parquet"
    groups = pd.array([225, None, None], dtype="Int64")
    without = {"wyckoff": [[1, 2], None, None], "space_group": groups, "log_prob": np.nan}
    write_table(shard, read_table(shard).assign(**without))
    out = run(folder, "base", "theirs")
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


def test_a_judge_adds_columns_and_changes_none(folder: Path) -> None:
    write_judge(folder, "base", [-1.0, -0.5, np.nan, -1.05])
    out = run(folder, "base", judge=True)
    table = read_table(out / "structures.parquet")
    # The results by the first potential do not change.
    assert table["stable"].tolist() == [True, True, False, False]
    assert table["sun"].tolist() == [False, True, False, False]
    above = [0.0, 0.5, -0.05]
    assert table["judge_e_above_hull"].dropna().tolist() == pytest.approx(above)
    assert table["judge_stable"].tolist() == [True, False, False, True]
    assert table["sun_judge"].tolist() == [False, False, False, True]
    judge = read_json(out / "summary.json")["policies"]["base"]["judge"]
    assert judge["fractions"]["sun_judge"]["k"] == 1
    assert judge["agreement"]["only_judge_stable"] == 1


def test_shards_without_a_crystal_give_a_table_without_a_row(folder: Path) -> None:
    write_shards(folder, "none", [])
    write_judge(folder, "none", [])
    whole = read_table(run(folder, "base") / "structures.parquet")
    out = run(folder, "none")
    table = read_table(out / "structures.parquet")
    assert (len(table), list(table)) == (0, list(whole))
    base = read_json(out / "summary.json")["policies"]["none"]
    assert base["fractions"]["sun"] == dict.fromkeys(("fraction", "low", "high")) | {"k": 0, "n": 0}
    judge = read_json(run(folder, "none", judge=True) / "summary.json")["policies"]["none"]["judge"]
    assert judge["judged"] == 0
    both = read_table(run(folder, "none", "base") / "structures.parquet")
    pd.testing.assert_frame_equal(both, whole)
    assert read_json(out / "summary.json")["policies"]["none"]["generated"] == 0


def test_a_judge_needs_its_hull_and_its_relaxations(folder: Path) -> None:
    words = ["--settings", EvaluateSettings().model_dump_json(), "--hull", str(folder / "hull")]
    words += ["--structures", "x", "--training", "x", "--out", "x", "--samples", "base=x:1"]
    words += ["--relaxed", "base=x:1", "--judge-hull", "x"]
    with pytest.raises(ValueError, match="--judged and --judge-hull must be given together"):
        run_verb(evaluate, words)


def test_shards_of_another_policy_are_refused(folder: Path) -> None:
    write_shards(folder, "mixed", [(SALT, -3.0)])
    other, shard = (folder / f"relax-{name}/shard-0000.parquet" for name in ("sft", "mixed"))
    other.replace(shard)
    with pytest.raises(ValueError, match="not in both the sample and the relaxation shards"):
        run(folder, "mixed")


def test_a_shard_without_a_policy_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(evaluate, ["--samples", "folder:1"])
    assert "'folder:1' must be POLICY=FOLDER:COUNT" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        parse(evaluate, ["--samples", "base=folder"])
    assert "'folder' must be FOLDER:COUNT with a count above 0" in capsys.readouterr().err


@pytest.mark.parametrize("size", [1, 2, 3])
def test_no_result_depends_on_the_batch_size(
    folder: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    write_shards(folder, "rl", [(CESIUM, -3.4), (SALT, -3.3), (None, None), (SALT, -3.45)])
    write_judge(folder, "base", [-1.0, -0.5, np.nan, -1.05])
    write_judge(folder, "rl", [-1.0, -1.0, np.nan, -1.0])
    whole = read_table(run(folder, "base", "rl", judge=True) / "structures.parquet")
    defaults = Evaluator.evaluate.__kwdefaults__ | {"batch_size": size}
    monkeypatch.setattr(Evaluator.evaluate, "__kwdefaults__", defaults)
    divided = read_table(run(folder, "base", "rl", judge=True) / "structures.parquet")
    pd.testing.assert_frame_equal(divided, whole, rtol=1e-4)


@pytest.mark.slow
def test_processes_change_no_bit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluator, "WORTH_A_PROCESS", 2)
    alone = read_table(run(folder, "base") / "structures.parquet")
    shared = read_table(run(folder, "base", processes=2) / "structures.parquet")
    pd.testing.assert_frame_equal(shared, alone, check_exact=True)


def test_batches_are_small_and_keep_formulas_together() -> None:
    formulas = [((11, 1),), None, ((17, 1),), ((11, 1),), None, ((11, 1),), ((3, 1),)]
    found = [rows.tolist() for rows in formula_batches(formulas, size=3)]
    assert found == [[0, 3, 5], [1, 2, 6], [4]]
