"""The presets of reinforcement: named sets of defaults for a branch, which single keys override.

``paper`` is the algorithm of Cao & Wang, arXiv 2504.02367. ``robust`` is what made the same idea
work at small batch sizes; docs/explanation/reinforcement-learning.md gives the reason of each
value. Only keys whose values differ are listed, in both presets, nested as in config.yaml. Below
``reward``, the first level is the kind of the reward.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from crystalformer_rl.config.reward_base import DEFAULT_GUARDS

PresetName = Literal["robust", "paper"]
DEFAULT: Final[PresetName] = "robust"

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "robust": {
        "baseline": "space_group",
        "baseline_decay": 0.9,
        "advantage": "standardised",
        "advantage_clip": 3.0,
        "tau": 0.05,
        "ppo_epochs": 4,
        "max_kl_step": 0.1,
        "warmup_steps": 5,
        "memory": {"by": "composition"},
        "constraints": {"exclude_radioactive": True, "exclude_noble_gases": True},
        "reward": {
            "ehull": {
                "shape": "saturating",
                "floor": -0.1,
                "ceiling": 6.0,
                "guards": list(DEFAULT_GUARDS),
            },
            "figure_of_merit": {
                "caution": 0.5,
                "scale": 0.5,
                "guards": list(DEFAULT_GUARDS),
            },
        },
    },
    "paper": {
        "baseline": "running",
        "baseline_decay": 0.95,
        "advantage": "raw",
        "advantage_clip": None,
        "tau": 0.1,
        "ppo_epochs": 5,
        "max_kl_step": None,
        "warmup_steps": 0,
        "memory": {"by": None},
        "constraints": {"exclude_radioactive": False, "exclude_noble_gases": False},
        "reward": {
            "ehull": {
                "shape": "linear",
                "floor": -10.0,
                "ceiling": 10.0,
                "guards": "none",
            },
            "figure_of_merit": {
                "caution": 0.0,
                "scale": None,
                "guards": "none",
            },
        },
    },
}
"""Each preset's values."""

ByPreset = Mapping[str, Any]
"""The values of one key, or the parts of one section, by preset."""


def part(presets: ByPreset, key: str, kind: str | None = None) -> ByPreset:
    """The values of the key ``key`` in a section; of the reward, those of its kind."""
    found = {name: section[key] for name, section in presets.items() if key in section}
    if key == "reward":
        found = {name: rewards.get(kind, {}) for name, rewards in found.items()}
    return found


def is_section(values: ByPreset) -> bool:
    """Whether the presets have values below a key, and not a value of the key itself."""
    return all(isinstance(value, Mapping) for value in values.values())


def paths(presets: ByPreset = PRESETS, prefix: str = "") -> dict[str, ByPreset]:
    """The value of every key by preset, by its path in a branch: ``reward (ehull).floor``.

    A section that a preset turns off by null is one value.
    """
    found: dict[str, ByPreset] = {}
    for key in dict.fromkeys(key for section in presets.values() for key in section):
        if key == "reward":
            for kind in dict.fromkeys(kind for one in presets.values() for kind in one[key]):
                found |= paths(part(presets, key, kind), f"{prefix}reward ({kind}).")
        elif is_section(values := part(presets, key)):
            found |= paths(values, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = values
    return found


def filled(settings: Mapping[str, Any], preset: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a branch, with the values of a preset where they have none."""
    rewards = preset.get("reward", {})
    others = {key: value for key, value in preset.items() if key != "reward"}
    return _below(settings, others) | {"reward": _reward(settings.get("reward", {}), rewards)}


def _below(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """``defaults`` overridden by ``given``, section by section."""
    nested = {
        key: _below(given.get(key, {}), value)
        for key, value in defaults.items()
        if isinstance(value, Mapping) and isinstance(given.get(key, {}), Mapping)
    }
    return {**defaults, **given, **nested}


def _reward(given: Any, rewards: Mapping[str, Mapping[str, Any]]) -> Any:
    """A reward, and the rewards that it is made of, filled by their kinds."""
    if isinstance(given, Mapping):
        parts = {key: _reward(value, rewards) for key, value in given.items()}
        return _below(parts, rewards.get(str(given.get("kind")), {}))
    if isinstance(given, Sequence) and not isinstance(given, str):
        return [_reward(value, rewards) for value in given]
    return given
