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
from crystalformer_rl.stability.reference import Elements, HullRules, ReferenceHull, write_hull
from crystalformer_rl.stages import sft
from crystalformer_rl.training.selection import select

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


def arguments(folder: Path, *more: str, out: str = "sft", **settings: float | bool) -> list[str]:
    values = {
        "settings": SftSettings(epochs=2, **settings).model_dump_json(),
        "policy": folder / "pretrain",
        "hull": folder / "hull",
        "seed": 3,
        "checkpoints": folder / "checkpoints" / out,
        "out": folder / out,
    }
    args = [f"--{name}={value}" for name, value in values.items()]
    relaxed = f"--relaxed={folder / 'relax'}:{len(list((folder / 'relax').iterdir()))}"
    return [*args, relaxed, *more]


def run(folder: Path, *more: str, **settings: float | bool) -> None:
    run_verb(sft, arguments(folder, *more, **settings))


def counts_of(folder: Path) -> dict[str, int]:
    counts: dict[str, int] = read_json(folder / "sft" / "provenance.json")["counts"]
    return counts


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
    counts = counts_of(folder)
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


def test_of_a_formula_and_space_group_the_lowest_is_kept(folder: Path) -> None:
    caesium_chloride = Structure(Lattice.cubic(3.4), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    write_shard(
        folder / "relax/shard-0000.parquet",
        [
            ("converged", rocksalt(5.7), -3.45),
            ("converged", rocksalt(5.6), -3.5),
            ("converged", rocksalt(5.6), -3.5),
            ("converged", caesium_chloride, -3.45),
        ],
    )
    run(folder, unique=True)
    counts = counts_of(folder)
    assert (counts["tokenized"], counts["unique"]) == (4, 2)
    relaxed = read_table(folder / "relax/shard-0000.parquet")
    hull = ReferenceHull.load(folder / "hull", energies_of=["chgnet"])
    found = select(
        sft.relaxed_samples(relaxed), hull=hull, max_e_above_hull=0.1, symprec=0.01, max_sites=20,
        unique=True,
    )  # fmt: skip
    assert found.ids == ["shard-0000-1", "shard-0000-3"]
    assert found.tokens.space_group.tolist() == [225, 221]
    assert found.fractions == {"low_fraction": 1.0, "kept_fraction": 0.5}


def test_formulas_of_the_dataset_are_left_out_on_request(folder: Path) -> None:
    write_shard(
        folder / "relax/shard-0000.parquet",
        [
            ("converged", rocksalt(5.6), -3.5),
            ("converged", Structure(np.eye(3) * 4, ["Na"], [[0, 0, 0]]), -1.0),
        ],
    )
    known = folder / "structures.parquet"
    write_table(known, pd.DataFrame({"formula": ["Na", "KCl"]}))
    run(folder, f"--known={known}", novel=True)
    counts = counts_of(folder)
    assert (counts["below_max_e_above_hull"], counts["novel"]) == (2, 1)
    with pytest.raises(ValueError, match=r"--known and `novel: true` .* need each other"):
        run(folder, novel=True)


def test_a_round_of_a_branch_says_which(folder: Path) -> None:
    write_shard(
        folder / "relax/shard-0000.parquet",
        [("converged", rocksalt(5.6), -3.5), ("error", None, None)],
    )
    run(folder, "--name=mine", "--round=2")
    history = read_table(folder / "sft" / "history.parquet")
    assert history["round"].tolist() == [2, 2, 2]
    assert set(history["kept_fraction"]) == set(history["low_fraction"]) == {0.5}
    assert Policy.load(folder / "sft").metadata["trained_by"] == "rl-mine"
    write_shard(folder / "relax/shard-0000.parquet", [("error", None, None)])
    with pytest.raises(ValueError, match=r"raise rl\.mine\.sft\.max_e_above_hull"):
        run(folder, "--name=mine", "--round=3")


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
