"""Saving and loading."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.policies import MakePolicy

from crystalformer_rl.config import ModelSettings
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.files import read_json, read_tensors, write_json, write_tensors
from crystalformer_rl.jobs.device import best_device
from crystalformer_rl.model.folder import DESCRIPTION, WEIGHTS
from crystalformer_rl.model.policy import Policy


@pytest.mark.gpu
def test_round_trip(make_policy: MakePolicy, crystals: CrystalTokens, tmp_path: Path) -> None:
    policy = make_policy()
    policy.space_group_counts[[2, 225]] = 3, 4
    policy.metadata["trained_by"] = "test"
    policy.save(tmp_path)
    loaded = Policy.load(tmp_path, device=best_device())
    assert loaded.settings == policy.settings
    assert loaded.metadata == {"trained_by": "test"}
    np.testing.assert_array_equal(loaded.space_group_counts, policy.space_group_counts)
    assert not loaded.training
    some = crystals[:10]
    with torch.no_grad():
        assert torch.equal(loaded.log_prob(some).total, policy.log_prob(some).total)
    assert read_json(tmp_path / DESCRIPTION)["parameters"] == policy.num_parameters


def test_weights_of_another_size(make_policy: MakePolicy, tmp_path: Path) -> None:
    make_policy().save(tmp_path)
    other = tmp_path / "other"
    make_policy(width=32).save(other)
    (tmp_path / WEIGHTS).write_bytes((other / WEIGHTS).read_bytes())
    with pytest.raises(ValueError, match=r"parameter letter_in.weight has shape \(32, 17\).*16"):
        Policy.load(tmp_path)


@pytest.mark.parametrize("size", [0, 6, 1000, -1])
def test_truncated_weights(make_policy: MakePolicy, tmp_path: Path, size: int) -> None:
    make_policy().save(tmp_path)
    whole = (tmp_path / WEIGHTS).read_bytes()
    (tmp_path / WEIGHTS).write_bytes(whole[:size])
    with pytest.raises(ValueError, match=f"{WEIGHTS}: not a readable safetensors file"):
        Policy.load(tmp_path)


def test_missing_unknown_and_infinite_weights(make_policy: MakePolicy, tmp_path: Path) -> None:
    make_policy().save(tmp_path)
    arrays = read_tensors(tmp_path / WEIGHTS)
    name = "blocks.0.mlp_in.bias"
    changes = {
        f"parameter {name} is missing": {k: v for k, v in arrays.items() if k != name},
        "the model has no parameter extra": arrays | {"extra": np.zeros(1)},
        f"parameter {name} contains NaN": arrays | {name: np.full_like(arrays[name], np.nan)},
    }
    for message, changed in changes.items():
        write_tensors(tmp_path / WEIGHTS, changed)
        with pytest.raises(ValueError, match=message):
            Policy.load(tmp_path)


def test_descriptions_that_are_none(make_policy: MakePolicy, tmp_path: Path) -> None:
    make_policy().save(tmp_path)
    description = read_json(tmp_path / DESCRIPTION)
    for changed in (
        [],
        description | {"format": 99},
        description | {"settings": {"layers": 0}},
        {k: v for k, v in description.items() if k != "settings"},
        description | {"space_group_counts": [1, 2]},
    ):
        write_json(tmp_path / DESCRIPTION, changed)
        with pytest.raises(ValueError, match=DESCRIPTION):
            Policy.load(tmp_path)
    (tmp_path / DESCRIPTION).unlink()
    with pytest.raises(FileNotFoundError, match=DESCRIPTION):
        Policy.load(tmp_path)


def test_counts_of_another_length() -> None:
    with pytest.raises(ValueError, match="231 counts"):
        Policy(ModelSettings(layers=1), space_group_counts=[1, 2])


def test_another_density_of_the_same_samples(make_policy: MakePolicy) -> None:
    published = make_policy(coordinate_density="published").double()
    published.metadata["trained_by"] = "test"
    ours = published.with_coordinate_density("independent")
    assert ours.settings.coordinate_density == "independent"
    assert ours.metadata == {"trained_by": "test"}
    first, second = (policy.sample([198] * 9, seed=4) for policy in (published, ours))
    for name, array in first.tokens.to_arrays().items():
        np.testing.assert_array_equal(array, second.tokens.to_arrays()[name])
    assert (first.log_prob != second.log_prob).any()
    with torch.no_grad():
        assert ours.log_prob(first.tokens).total.numpy() == pytest.approx(second.log_prob, abs=1e-6)
        ours.network.out.bias.add_(1.0)
    assert not torch.equal(ours.network.out.bias, published.network.out.bias)
