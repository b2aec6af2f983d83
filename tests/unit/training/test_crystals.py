"""The table of all crystals, and what is remembered of it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.policies import TINY

from crystalformer_rl.config import ConstraintSettings
from crystalformer_rl.config.memory import EliteSettings, MemorySettings
from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.crystal.token_table import tokens_of
from crystalformer_rl.files import read_table, write_table
from crystalformer_rl.jobs.checkpoints import Checkpoint, Checkpoints
from crystalformer_rl.model.constraints import build
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.rewards.base import RewardBatch
from crystalformer_rl.training.crystals import RoundCrystals, crystal_rows
from crystalformer_rl.training.past import READ, Past
from crystalformer_rl.training.rollout import Rollout, collect

PAST = Past(MemorySettings(full=1, none=3), EliteSettings(weight=1, kept=5, replayed=2))
FORGETFUL = Past(MemorySettings(by=None), EliteSettings())


class Small:
    """Rewards few atoms, and abstains from crystals with an odd number of them."""

    def score(self, cells: Sequence[Cell | None]) -> RewardBatch:
        atoms = np.array([99.0 if cell is None else len(cell) for cell in cells])
        abstain = atoms % 2 == 1
        return RewardBatch(-atoms, ~abstain, abstain, {"atoms": atoms})


@pytest.fixture
def rollouts(new_policy: Callable[[], Policy]) -> list[Rollout]:
    """Four batches of compounds of two elements, so that compositions repeat."""
    policy = new_policy()
    few = build(ConstraintSettings(elements=["Na", "Cl"]), max_sites=TINY.max_sites)
    return [
        collect(policy, policy, Small(), space_groups=np.repeat([2, 62, 225], 5),
                constraints=few, seed=seed)
        for seed in range(4)
    ]  # fmt: skip


def steps(rollouts: list[Rollout], past: Past = PAST) -> list[pd.DataFrame]:
    tables = []
    for number, rollout in enumerate(rollouts, start=1):
        weight = past.weights(rollout.tokens, rollout.rewards.valid)
        advantage = np.arange(len(weight), dtype=float)
        tables.append(crystal_rows(number, rollout, weight=weight, advantage=advantage))
        past = past.after(tables[-1:])
    return tables


def test_rows(rollouts: list[Rollout]) -> None:
    rows = crystal_rows(3, rollouts[0], weight=np.ones(15), advantage=np.arange(15.0))
    assert list(rows.columns) == [
        "step", "space_group", "wyckoff", "element", "site_positions", "token_lattice", "formula",
        "valid", "abstain", "value", "memory_weight", "advantage", "log_prob", "base_log_prob",
        "atoms",
    ]  # fmt: skip
    assert (rows["step"] == 3).all()
    assert (rows["value"] == -rows["atoms"]).all()
    np.testing.assert_allclose(rows["log_prob"], rollouts[0].log_prob, rtol=1e-6)
    for formula, cell in zip(rows["formula"], rollouts[0].cells, strict=True):
        if cell is not None:
            assert formula == cell.composition.reduced_formula


def test_what_the_dataset_has_counts_less_from_the_first_time_on(rollouts: list[Rollout]) -> None:
    first = rollouts[0]
    formulas = np.array([c.composition.reduced_formula if c else "" for c in first.cells])
    counted = first.rewards.valid
    known = frozenset(formulas[counted][:1])
    new = Past(MemorySettings(by=None, known=0.25), EliteSettings(), known)
    expected = np.where(counted & np.isin(formulas, list(known)), 0.25, 1.0)
    np.testing.assert_array_equal(new.weights(first.tokens, counted), expected)
    both = replace(PAST, memory_settings=MemorySettings(full=1, none=3, known=0.25), known=known)
    np.testing.assert_allclose(
        both.weights(first.tokens, counted), expected * PAST.weights(first.tokens, counted)
    )
    rows = crystal_rows(1, first, weight=expected, advantage=np.zeros(15))
    share = np.isin(formulas[counted], list(known)).mean()
    assert new.metrics(rows, new.after([rows]))["known_fraction"] == pytest.approx(share)
    assert "known_fraction" not in PAST.metrics(rows, PAST.after([rows]))


def test_a_checkpoint_holds_every_row(rollouts: list[Rollout], tmp_path: Path) -> None:
    crystals, tables = RoundCrystals(), steps(rollouts)
    for rows in tables:
        crystals.add(rows)
    store = Checkpoints(tmp_path, key={})
    store.save(4, Checkpoint(crystals.tensors() | {"model.other": torch.zeros(2)}, {}))
    saved = store.newest()
    assert saved is not None
    restored = RoundCrystals.restore(saved.tensors)
    for one, other in zip(restored.tables(), tables, strict=True):
        pd.testing.assert_frame_equal(one, other)
    write_table(tmp_path / "whole.parquet", restored.table())
    read = read_table(tmp_path / "whole.parquet")
    assert read["step"].tolist() == np.repeat([1, 2, 3, 4], 15).tolist()
    np.testing.assert_array_equal(
        tokens_of(read[read["step"] == 2]).element, tokens_of(tables[1]).element
    )
    assert RoundCrystals().table().empty


def test_the_past_is_a_function_of_the_table(rollouts: list[Rollout], tmp_path: Path) -> None:
    tables = steps(rollouts)
    write_table(tmp_path / "whole.parquet", pd.concat(tables))
    read = read_table(tmp_path / "whole.parquet", READ)
    again = PAST.after(rows for _, rows in read.groupby("step"))
    straight = PAST.after(tables)
    np.testing.assert_array_equal(again.memory.seen, straight.memory.seen)
    assert len(again.elites.rows) == 5
    for name in ("step", "formula", "value", "base_log_prob", "key"):
        assert again.elites.rows[name].tolist() == straight.elites.rows[name].tolist()


def test_repeats_are_discounted_over_the_steps(rollouts: list[Rollout]) -> None:
    tables = steps(rollouts)
    earned = pd.concat(tables).query("valid").groupby("formula")["memory_weight"].sum()
    assert (earned <= 1.5 + 1e-6).all()
    assert (pd.concat(tables).query("not valid")["memory_weight"] == 1).all()
    free = steps(rollouts, FORGETFUL)
    assert (pd.concat(free)["memory_weight"] == 1).all()


def metrics(past: Past, rows: pd.DataFrame) -> dict[str, float | None]:
    return past.metrics(rows, past.after([rows]))


def test_metrics(rollouts: list[Rollout]) -> None:
    tables = steps(rollouts)
    first, later = metrics(PAST, tables[0]), metrics(PAST.after(tables[:3]), tables[3])
    valid = tables[0].query("valid")
    assert first["distinct"] == valid["formula"].nunique()
    assert first["repeat_fraction"] == pytest.approx(1 - valid["formula"].nunique() / len(valid))
    assert first["memory_weight"] == pytest.approx(valid["memory_weight"].mean())
    assert later["distinct"] == pd.concat(tables).query("valid")["formula"].nunique()
    assert later["elite_best"] is not None
    assert "elite_best" not in metrics(FORGETFUL, tables[0])
    nothing = metrics(FORGETFUL, tables[0].assign(valid=False))
    assert nothing == {"repeat_fraction": None, "memory_weight": None, "distinct": 0}
