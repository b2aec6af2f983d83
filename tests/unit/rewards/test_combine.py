"""Combinations of rewards: exact values, and the guards of their parts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crystalformer_rl.config import CombineReward, RLSettings, canonical, read
from crystalformer_rl.config.presets import PRESETS
from crystalformer_rl.crystal.cell import Cell, volume_of
from crystalformer_rl.rewards.base import RewardBatch, Sources, build
from crystalformer_rl.stability.reference import ReferenceHull

Batch = list[Cell | None]
Make = Callable[[str, str, float], Cell]

DENSE = {"kind": "property", "name": "density", "target": "ascending", "minimum": 0, "maximum": 4}
FEW = {"kind": "property", "name": "elements", "target": "descending", "minimum": 1, "maximum": 3}
NOVEL = {"kind": "novelty", "known": 0.25}
STABLE = {"kind": "ehull"}


def combine(how: str, **parts: dict[str, Any]) -> CombineReward:
    made = {name: part if "reward" in part else {"reward": part} for name, part in parts.items()}
    return CombineReward.model_validate({"how": how, "parts": made})


@pytest.fixture
def score(hull: ReferenceHull) -> Callable[[Any, Batch], RewardBatch]:
    sources = Sources(device="cpu", hull=hull, known={"NaCl"})
    return lambda settings, batch: build(settings, sources).score(batch)


@pytest.mark.parametrize(
    ("how", "weights", "expected"),
    [
        ("sum", (1, 1), lambda a, b: (a + b) / 2),
        ("sum", (3, 1), lambda a, b: (3 * a + b) / 4),
        ("product", (1, 1), lambda a, b: a * b),
        ("product", (2, 0.5), lambda a, b: a**2 * b**0.5),
        ("minimum", (1, 1), np.minimum),
    ],
)
def test_values_of_parts_become_one(
    score: Callable[[Any, Batch], RewardBatch],
    batch: Batch,
    how: str,
    weights: tuple[float, float],
    expected: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> None:
    first, second = weights
    settings = combine(
        how, dense={"reward": DENSE, "weight": first}, new={"reward": NOVEL, "weight": second}
    )
    found = score(settings, batch[:4])
    density = np.array([s.density for s in batch[:3] if s is not None]) / 4
    novelty = np.array([0.25, 0.25, 1])
    np.testing.assert_allclose(found.value, [*expected(density, novelty), 0])
    assert found.valid.tolist() == [True] * 3 + [False]
    assert found.failure == 0
    assert list(found.components) == ["dense_reward", "new_reward", "density", "novel_formula"]
    np.testing.assert_allclose(found.components["dense_reward"], [*density, np.nan])
    np.testing.assert_allclose(found.components["new_reward"], [*novelty, np.nan])


def test_limits_of_a_part_scale_and_cut_its_value(
    score: Callable[[Any, Batch], RewardBatch], batch: Batch
) -> None:
    narrow = {"reward": NOVEL, "minimum": 0.2, "maximum": 0.3}
    found = score(combine("sum", new=narrow), batch[:4])
    np.testing.assert_allclose(found.value, [0.5, 0.5, 1, 0])
    # A linear energy becomes 0 at the ceiling and 1 at the floor.
    linear = STABLE | {"shape": "linear", "floor": -0.1, "ceiling": 1.9, "guards": "none"}
    found = score(combine("sum", stable=linear), batch[:4])
    above = found.components["e_above_hull"][:3]
    np.testing.assert_allclose(found.value, [*((1.9 - above) / 2), 0])


def test_a_known_stable_crystal_counts_by_novelty(
    score: Callable[[Any, Batch], RewardBatch], batch: Batch
) -> None:
    """The recipe of config/novel.yaml."""
    alone = score(build_settings(STABLE), batch)
    both = score(combine("product", stable=STABLE, new=NOVEL), batch)
    np.testing.assert_allclose(both.value[:3], alone.value[:3] * [0.25, 0.25, 1])
    assert (both.value[3:] == 0).all()


def build_settings(reward: dict[str, Any]) -> Any:
    return RLSettings.model_validate({"reward": reward}).reward


@pytest.mark.parametrize("how", ["sum", "product", "minimum"])
def test_the_guards_of_a_part_hold_for_the_whole(
    score: Callable[[Any, Batch], RewardBatch], batch: Batch, how: str
) -> None:
    alone = score(build_settings(STABLE), batch)
    both = score(combine(how, few=FEW, stable=STABLE), batch)
    assert both.valid.tolist() == alone.valid.tolist() == [True] * 3 + [False] * 6
    assert both.abstain.tolist() == alone.abstain.tolist()
    assert (both.value[3:] == 0).all()
    assert both.struck.keys() == alone.struck.keys()
    assert both.struck["element"].tolist() == [False] * 5 + [True] + [False] * 3
    free = score(combine(how, few=FEW, stable=STABLE | {"guards": "none"}), batch)
    assert free.valid[5]


def test_it_abstains_where_a_part_does_and_none_fails(
    score: Callable[[Any, Batch], RewardBatch], batch: Batch, rock_salt: Make
) -> None:
    unsupported = rock_salt("Cu", "Si", 4.5)
    both = score(combine("sum", stable=STABLE, new=NOVEL), [unsupported, None, batch[0]])
    assert both.abstain.tolist() == [True, False, False]
    assert both.valid.tolist() == [False, False, True]
    hhi = {
        "kind": "property", "name": "hhi_reserve", "target": "descending", "minimum": 0,
        "maximum": 9000,
    }  # fmt: skip
    hydride = rock_salt("Cu", "H", 4.0)  # its HHI is unknown, which is a failure
    cheap = score(combine("sum", stable=STABLE, cheap=hhi), [unsupported, hydride])
    assert cheap.abstain.tolist() == [True, False]


def test_a_failure_is_worth_what_failures_of_the_parts_are_together(
    score: Callable[[Any, Batch], RewardBatch], batch: Batch, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(
        "def score(crystals):\n    return [s.volume for s in crystals]"
    )
    mine = {
        "reward": {"kind": "file", "path": str(tmp_path / "mine.py")}, "minimum": 0, "maximum": 100
    }  # fmt: skip
    found = score(combine("sum", mine=mine, new=NOVEL), batch[:4])
    assert batch[2] is not None
    # The file gives a failure its lowest score, the volume of MgO; the novelty gives 0.
    assert found.value[3] == found.failure == pytest.approx(volume_of(batch[2].matrix) / 100 / 2)


def test_parts_that_record_the_same_are_told_apart(
    score: Callable[[Any, Batch], RewardBatch], batch: Batch
) -> None:
    settings = combine("minimum", near=STABLE, far=STABLE | {"scale": 1.0})
    found = score(settings, batch[:3])
    assert list(found.components) == list(settings.components)
    assert {"near_e_above_hull", "far_e_above_hull"} < settings.components.keys()
    np.testing.assert_array_equal(found.value, found.components["near_reward"])
    assert "e_above_hull" in combine("sum", stable=STABLE, new=NOVEL).components


def test_parts_share_the_evaluations_of_a_potential(hull: ReferenceHull, batch: Batch) -> None:
    sources = Sources(device="cpu", hull=hull)
    gap = DENSE | {"name": "band_gap"}
    settings = combine("sum", stable=STABLE, gap=gap, calm={"reward": {"kind": "force"}})
    build(settings, sources).score(batch[:3])
    assert sources.potential("chgnet").misses == 3  # type: ignore[attr-defined]


def test_what_it_needs_is_what_its_parts_need() -> None:
    plain = combine("sum", dense=DENSE, few=FEW)
    assert (plain.potentials, plain.needs_hull, plain.needs_dataset) == ((), False, False)
    gap = DENSE | {"name": "band_gap"}
    sevennet = STABLE | {"potential": "sevennet"}
    both = combine("sum", gap=gap, stable=sevennet, new=NOVEL)
    assert both.potentials == ("chgnet", "sevennet")
    assert (both.needs_hull, both.needs_dataset, both.runs_code) == (True, True, False)
    code = combine("sum", mine={"reward": {"kind": "file", "path": "a.py"}, "minimum": 0,
                                "maximum": 1})  # fmt: skip
    assert (code.runs_code, code.files) == (True, ["a.py"])


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_reaches_the_parts(preset: str) -> None:
    parts = {"stable": {"reward": {"kind": "ehull", "scale": 0.2}}, "new": {"reward": NOVEL}}
    raw = {"preset": preset, "reward": {"kind": "combine", "how": "product", "parts": parts}}
    settings = RLSettings.model_validate(raw)
    stable = settings.reward.parts["stable"].reward
    assert stable.shape == PRESETS[preset]["reward"]["ehull"]["shape"]
    assert stable.model_fields_set == {"kind", "scale"}
    text = canonical(settings)
    assert canonical(RLSettings.model_validate_json(text)) == text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"how": "minimum", "parts": {"a": {"reward": DENSE, "weight": 2}}},
         r"rl\.x\.reward: parts\.a\.weight has no effect on a minimum"),
        ({"parts": {"a": {"reward": {"kind": "file", "path": "a.py"}}}},
         r"rl\.x\.reward\.parts\.a: a reward of the kind file has no bounds: set minimum and max"),
        ({"parts": {"a": {"reward": NOVEL, "minimum": 2}}},
         r"rl\.x\.reward\.parts\.a: minimum 2 must be below maximum 1"),
        ({"parts": {"a": {"reward": {"kind": "combine"}}}},
         r"rl\.x\.reward\.parts\.a\.reward: unknown kind 'combine'; allowed are ehull"),
        ({"parts": {"a": {"reward": {"kind": "ehull", "scal": 1}}}},
         r"rl\.x\.reward\.parts\.a\.reward\.scal: unknown key \(did you mean scale\?\)"),
        ({"parts": {"a": None}}, r"rl\.x\.reward\.parts"),
        ({"parts": {"a": {"reward": STABLE | {"potential": "sevennet"}}}},
         r"rl\.x\.reward\.parts\.a\.reward\.potential = sevennet must be hull\.potential = chgnet"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_part_is_named(change: dict[str, Any], words: str) -> None:
    reward = {"kind": "combine", "how": "sum"} | change
    with pytest.raises(ValueError, match=words):
        read({"rl": {"x": {"reward": reward}}})
