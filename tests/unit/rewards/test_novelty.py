"""Rewards for what the dataset, or the batch, does not have."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crystalformer_rl.config import DiversityReward, NoveltyReward
from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.crystal.known import formulas_of
from crystalformer_rl.rewards.base import Sources, build

Make = Callable[[str, str, float], Cell]


def test_a_formula_of_the_dataset_is_worth_less(batch: list[Cell | None]) -> None:
    assert batch[0] is not None
    doubled = Cell.of(batch[0].structure() * (2, 1, 1))
    sources = Sources(device="cpu", known={"NaCl", "Cs"})
    found = build(NoveltyReward(known=0.4), sources).score([*batch[:4], doubled])
    assert found.value.tolist() == [0.4, 0.4, 1, 0, 0.4]
    assert found.valid.tolist() == [True, True, True, False, True]
    assert found.components["novel_formula"][[0, 2]].tolist() == [0, 1]
    assert np.isnan(found.components["novel_formula"][3])
    assert not found.abstain.any()


def test_the_formulas_of_a_dataset(tmp_path: Path) -> None:
    table = pd.DataFrame({"formula": ["NaCl", "MgO", "NaCl"], "split": ["train", "val", "test"]})
    table.to_parquet(tmp_path / "structures.parquet")
    assert formulas_of(tmp_path / "structures.parquet") == {"NaCl", "MgO"}


def test_without_a_dataset_it_says_what_is_missing() -> None:
    with pytest.raises(ValueError, match="the reward novelty: it needs the dataset: give its"):
        build(NoveltyReward(), Sources(device="cpu"))


def test_rare_elements_of_a_batch(rock_salt: Make) -> None:
    batch = [rock_salt("Na", "Cl", 5), rock_salt("Na", "F", 5), None, rock_salt("Mg", "O", 5)]
    found = build(DiversityReward(), Sources(device="cpu")).score(batch)
    # Na is in one of the two other crystals, the rest in none.
    assert found.value.tolist() == [0.75, 0.75, 0, 1]
    assert found.valid.tolist() == [True, True, False, True]
    alone = build(DiversityReward(), Sources(device="cpu")).score([batch[0], None])
    assert alone.value.tolist() == [1, 0]


def test_rare_compositions_of_a_batch(rock_salt: Make) -> None:
    salt = rock_salt("Na", "Cl", 5)
    doubled = Cell.of(salt.structure() * (1, 1, 2))
    batch = [salt, None, rock_salt("Mg", "O", 5), rock_salt("Na", "Cl", 6), doubled]
    found = build(DiversityReward(over="composition"), Sources(device="cpu")).score(batch)
    np.testing.assert_allclose(found.value, [1 / 3, 0, 1, 1 / 3, 1 / 3])
    assert found.failure == 0
