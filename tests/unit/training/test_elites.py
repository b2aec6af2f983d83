"""Which crystals are kept and replayed."""

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from crystalformer_rl.config.memory import EliteSettings, MemorySettings
from crystalformer_rl.crystal.token_table import token_columns
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.training.crystals import formulas
from crystalformer_rl.training.elites import Elites
from crystalformer_rl.training.memory import Memory, composition_keys

BY = MemorySettings(full=2, none=4)
KEPT = EliteSettings(weight=1, kept=3, replayed=2)


def rows(step: int, values: dict[int, float], *, group: int = 225) -> pd.DataFrame:
    """Rock salt of sodium and elements with these atomic numbers and values."""
    count = len(values)
    tokens = CrystalTokens(
        space_group=np.full(count, group),
        wyckoff=np.tile([1, 2], (count, 1)),
        element=np.array([[11, number] for number in values]),
        position=np.zeros((count, 2, 3)),
        lattice=np.ones((count, 6)),
    )
    return pd.DataFrame(
        {
            "step": step,
            **token_columns(tokens, whole=np.uint8, real=np.float32),
            "formula": formulas(tokens),
            "value": list(values.values()),
            "valid": [value >= 0 for value in values.values()],
            "base_log_prob": -1.0,
        }
    )


def after(*steps: pd.DataFrame, settings: EliteSettings = KEPT) -> Elites:
    elites = Elites()
    for table in steps:
        elites = elites.after(table, Memory(), settings=settings, by=BY)
    return elites


def test_the_best_are_kept_and_ties_go_to_the_newest() -> None:
    elites = after(rows(1, {17: 2, 9: 1, 35: -5}), rows(2, {53: 1, 47: 1, 8: 0.5}))
    assert elites.rows["formula"].tolist() == ["NaCl", "NaI", "NaAg"]
    assert elites.rows["step"].tolist() == [1, 2, 2]
    assert elites.metrics() == {"elite_best": 2, "elite_mean": pytest.approx(4 / 3)}


def test_one_of_each_composition_and_space_group() -> None:
    salts = [rows(step, {17: value}) for step, value in ((1, 1), (2, 2), (3, 1.5))]
    elites = after(*salts, rows(4, {17: 0}, group=216))
    assert elites.rows[["step", "space_group"]].to_numpy().tolist() == [[2, 225], [4, 216]]


def test_what_the_memory_no_longer_rewards_is_dropped() -> None:
    table = rows(1, {17: 2, 9: 1})
    tokens = after(table).rows
    salt, fluoride = tokens["key"]
    memory = Memory().after(np.array([salt] * 2 + [fluoride]))
    elites = Elites().after(table, memory, settings=KEPT, by=BY)
    assert elites.rows["formula"].tolist() == ["NaCl", "NaF"]
    exhausted = memory.after(np.array([salt]))
    assert elites.after(rows(2, {35: 0}), exhausted, settings=KEPT, by=BY).rows[
        "formula"
    ].tolist() == ["NaF", "NaBr"]


def test_keys_are_those_of_the_memory() -> None:
    table = rows(1, {17: 2})
    (key,) = after(table).rows["key"]
    chloride = CrystalTokens(
        space_group=np.array([221]),
        wyckoff=np.array([[1, 2]]),
        element=np.array([[17, 11]]),
        position=np.zeros((1, 2, 3)),
        lattice=np.ones((1, 6)),
    )
    assert [key] == composition_keys(chloride).tolist()


def test_drawing_depends_on_the_seed_alone() -> None:
    elites = after(rows(1, {17: 2, 9: 1, 35: 1}))
    drawn = elites.drawn(settings=KEPT, seed=4)
    assert len(drawn) == len(set(drawn["formula"])) == 2
    assert drawn.equals(elites.drawn(settings=KEPT, seed=4))
    found = {tuple(elites.drawn(settings=KEPT, seed=seed)["formula"]) for seed in range(30)}
    assert len(found) == 3


def test_without_elites() -> None:
    assert len(Elites().drawn(settings=KEPT, seed=1)) == 0
    assert Elites().metrics() == {"elite_best": None, "elite_mean": None}
    assert len(after(rows(1, {17: -1})).rows) == 0


def test_settings() -> None:
    with pytest.raises(ValidationError, match="replayed 10 must not exceed kept 5"):
        EliteSettings(kept=5)
