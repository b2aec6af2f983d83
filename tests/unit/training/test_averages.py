"""Moving averages of weights."""

import pytest
import torch

from crystalformer_rl.training.averages import Averages


def test_follow_the_formula() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(model.weight, 1.0)
    averages = Averages(model, decay=0.3)
    expected = 1.0
    for step in range(1, 8):
        torch.nn.init.constant_(model.weight, float(step * step))
        averages.update(step)
        decay = min(0.3, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step * step
    assert averages.tensors["weight"].item() == pytest.approx(expected, rel=1e-6)


def test_applied_only_inside_the_block() -> None:
    model = torch.nn.Linear(2, 2)
    averages = Averages(model, decay=0.9)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    torch.nn.init.zeros_(model.weight)
    with pytest.raises(RuntimeError), averages.applied():
        assert torch.equal(model.weight, before["weight"])
        raise RuntimeError
    assert not model.weight.any()
    averages.apply()
    assert torch.equal(model.weight, before["weight"])


def test_come_back_from_their_tensors() -> None:
    model = torch.nn.Linear(2, 2)
    averages, other = Averages(model, decay=0.9), Averages(torch.nn.Linear(2, 2), decay=0.9)
    other.load(averages.tensors)
    assert all(torch.equal(other.tensors[name], averages.tensors[name]) for name in other.tensors)
    assert other.tensors["weight"] is not averages.tensors["weight"]
