"""Presets: defaults that single keys override."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystalformer_rl.config import FigureOfMeritReward, RLSettings, canonical
from crystalformer_rl.config.presets import PRESETS, filled, paths

OTHERS = {
    "baseline": "leave_one_out",
    "advantage_clip": 7.0,
    "tau": 0.7,
    "ppo_epochs": 9,
    "constraints": {"exclude_noble_gases": True, "max_atoms": 7},
    "reward": {"kind": "ehull", "ceiling": 3.0},
}


def test_every_key_has_a_value_in_every_preset() -> None:
    assert all(set(values) == set(PRESETS) for values in paths().values())


def test_a_value_that_all_presets_share_is_no_key_of_a_preset() -> None:
    shared = [path for path, values in paths().items() if len(set(map(str, values.values()))) == 1]
    assert shared == []


def test_the_paper_has_its_values() -> None:
    paper = RLSettings(preset="paper")
    assert (paper.baseline, paper.baseline_decay, paper.advantage) == ("running", 0.95, "raw")
    assert (paper.ppo_epochs, paper.clip, paper.learning_rate, paper.tau) == (5, 0.2, 1e-4, 0.1)
    assert (paper.reward.floor, paper.reward.ceiling) == (-10.0, 10.0)
    assert (paper.advantage_clip, paper.target_kl, paper.max_kl_step, paper.entropy) == (
        *(None,) * 3,
        0.0,
    )
    assert paper.warmup_steps == 0


def test_without_a_word_it_is_robust() -> None:
    assert RLSettings() == RLSettings(preset="robust")
    assert RLSettings().constraints.exclude_radioactive


@given(
    st.sampled_from(list(PRESETS)),
    st.dictionaries(st.sampled_from(list(OTHERS)), st.none(), max_size=4),
)
def test_single_keys_override_and_only_they_count_as_set(
    preset: str, chosen: dict[str, None]
) -> None:
    given_keys = {key: OTHERS[key] for key in chosen}
    settings = RLSettings(preset=preset, **given_keys)
    whole = RLSettings(preset=preset).model_dump()
    for key, value in given_keys.items():
        whole[key] = whole[key] | value if isinstance(value, dict) else value
    assert settings.model_dump() == whole
    assert settings.model_fields_set == {"preset", *chosen}
    for section in ("constraints", "reward"):
        expected = set(given_keys.get(section, {}))
        assert getattr(settings, section).model_fields_set == expected


@pytest.mark.parametrize("preset", PRESETS)
def test_the_text_has_the_values_and_not_the_name(preset: str) -> None:
    settings = RLSettings(preset=preset, reward=FigureOfMeritReward(caution=0.1))
    text = canonical(settings)
    assert "preset" not in json.loads(text)
    assert canonical(RLSettings.model_validate_json(text)) == text


def test_null_overrides_a_preset() -> None:
    assert RLSettings(advantage_clip=None).advantage_clip is None


def test_a_section_that_one_preset_turns_off() -> None:
    presets = {"on": {"memory": {"full": 1, "none": 3}}, "off": {"memory": None}}
    assert paths(presets) == {"memory": {"on": {"full": 1, "none": 3}, "off": None}}
    assert filled({"memory": {"full": 2}}, presets["on"])["memory"] == {"full": 2, "none": 3}
    assert filled({"memory": {"full": 2}}, presets["off"])["memory"] == {"full": 2}
    assert filled({"memory": None}, presets["on"])["memory"] is None


def test_rewards_within_rewards_are_filled_by_their_kinds() -> None:
    preset = {"reward": {"a": {"x": 1}, "b": {"y": 2}}}
    reward = {"kind": "sum", "of": [{"kind": "a"}, {"kind": "b", "y": 3}, {"kind": "c"}]}
    found = filled({"reward": reward}, preset)["reward"]
    expected = [{"kind": "a", "x": 1}, {"kind": "b", "y": 3}, {"kind": "c"}]
    assert found == {"kind": "sum", "of": expected}
