"""The sft stage: which relaxed samples it learns from, and what it says of the rest."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.cli import run_verb
from helpers.launch import TORCHRUN, end, start
from helpers.policies import TINY
from pymatgen.core import Lattice, Structure

from crystalformer_rl.config import SftSettings
from crystalformer_rl.crystal.structures import structure_columns
from crystalformer_rl.files import read_json, read_table, read_tensors, write_table
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.stability.reference import Elements, HullRules, write_hull
from crystalformer_rl.stages import sft

MODEL = TINY


def rocksalt(length: float, other: str = "Cl") -> Structure:
    return Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(length), ["Na", other], [[0, 0, 0], [0.5, 0.5, 0.5]]
    ).get_primitive_structure()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.set_num_threads(1)
    counts = np.zeros(231, dtype=int)
    counts[225] = 4
    Policy(MODEL, seed=1, space_group_counts=counts).save(tmp_path / "pretrain")
    hull = pd.DataFrame({"formula": ["NaCl"], "formation_energy_per_atom": [-2.0]})
    elements = Elements("chgnet", "mp2020_corrected", {"Na": -1.0, "Cl": -2.0})
    write_hull(tmp_path / "hull", hull, elements=elements, rules=HullRules())
    return tmp_path


def write_shard(path: Path, rows: list[tuple[str, Structure | None, float | None]]) -> None:
    columns = {
        "id": [f"{path.stem}-{i}" for i in range(len(rows))],
        "potential": "chgnet",
        "status": [status for status, _, _ in rows],
        "energy_final": [energy for _, _, energy in rows],
    }
    structures = structure_columns([structure for _, structure, _ in rows], prefix="relaxed_")
    write_table(path, pd.DataFrame(columns | structures))


def arguments(folder: Path, *, out: str = "sft", **settings: float) -> list[str]:
    values = {
        "settings": SftSettings(epochs=2, **settings).model_dump_json(),
        "policy": folder / "pretrain",
        "hull": folder / "hull",
        "seed": 3,
        "checkpoints": folder / "checkpoints" / out,
        "out": folder / out,
    }
    args = [f"--{name}={value}" for name, value in values.items()]
    return [*args, f"--relaxed={folder / 'relax'}:{len(list((folder / 'relax').iterdir()))}"]


def run(folder: Path, **settings: float) -> None:
    run_verb(sft, arguments(folder, **settings))


# On the hull NaCl has (-1 - 2) / 2 - 2 = -3.5 eV/atom.
def test_every_filter_is_counted(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    write_shard(
        folder / "relax/shard-0000.parquet",
        [
            ("converged", rocksalt(5.6), -3.5),
            ("converged", rocksalt(5.7), -3.45),
            ("not_converged", rocksalt(5.8), -3.5),
        ],
    )
    write_shard(
        folder / "relax/shard-0001.parquet",
        [
            ("unphysical", None, None),
            ("converged", rocksalt(5.9), -3.0),
            ("converged", rocksalt(5.6, "Br"), -3.5),
        ],
    )
    run(folder)
    counts = read_json(folder / "sft" / "provenance.json")["counts"]
    expected = {
        "samples": 6,
        "converged": 4,
        "e_above_hull_known": 3,
        "below_max_e_above_hull": 2,
        "tokenized": 2,
        "steps": 2,
        "items": 4,
    }
    assert {name: counts[name] for name in expected} == expected
    assert "samples 6, converged 4, e_above_hull_known 3" in caplog.text
    history = read_table(folder / "sft" / "history.parquet")
    assert history["epoch"].tolist() == [0, 1, 2]
    assert history["train_loss"].is_monotonic_decreasing
    assert history["val_loss"].isna().all()
    tuned = Policy.load(folder / "sft")
    assert tuned.space_group_counts[225] == 4
    before = read_tensors(folder / "pretrain" / "model.safetensors")
    after = read_tensors(folder / "sft" / "model.safetensors")
    assert any(not np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.slow
def test_two_processes_of_torchrun_end_like_one(folder: Path) -> None:
    quiet = MODEL.model_copy(update={"dropout": 0.0})
    Policy(quiet, seed=1).save(folder / "pretrain")
    write_shard(
        folder / "relax/shard-0000.parquet",
        [("converged", rocksalt(a), -3.5) for a in (5.5, 5.6, 5.7)],
    )
    run(folder, batch_size=2)
    code, said = end(start("sft", arguments(folder, out="two", batch_size=2), TORCHRUN))
    assert code == 0, said
    one, two = (read_table(folder / name / "history.parquet") for name in ("sft", "two"))
    np.testing.assert_allclose(one, two, rtol=1e-5)


def test_none_left_says_why_and_what_to_change(folder: Path) -> None:
    write_shard(
        folder / "relax/shard-0000.parquet",
        [("converged", rocksalt(5.6), -3.0), ("error", None, None)],
    )
    with pytest.raises(ValueError, match=r"sft\.max_e_above_hull") as error:
        run(folder)
    assert "below_max_e_above_hull 0" in str(error.value)


def test_all_failed(folder: Path) -> None:
    write_shard(folder / "relax/shard-0000.parquet", [("error", None, None)])
    with pytest.raises(ValueError, match="converged 0"):
        run(folder)
