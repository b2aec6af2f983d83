"""Self-test: a good potential passes and its results are cached, a damaged one is rejected."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from crystalformer_rl.potentials.chgnet import Chgnet
from crystalformer_rl.potentials.self_test import self_test_crystals, verify


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "crystalformer-rl" / "known-answers"


@pytest.fixture
def damaged(chgnet: Chgnet) -> Iterator[Chgnet]:
    """CHGNet with the weights of its readout a tenth too large."""
    weights = list(chgnet._model.mlp.parameters())
    before = [weight.clone() for weight in weights]
    with torch.no_grad():
        for weight in weights:
            weight.mul_(1.1)
    yield chgnet
    with torch.no_grad():
        for weight, old in zip(weights, before, strict=True):
            weight.copy_(old)


def test_results_are_cached(chgnet: Chgnet, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verify(chgnet)
    (cached,) = cache.iterdir()
    results = json.loads(cached.read_text())
    assert results["NaCl"][0] == pytest.approx(-3.67, abs=0.02)
    assert results["MgO"][0] == pytest.approx(-6.31, abs=0.02)
    assert all(force < 1e-4 for _, force in results.values())
    monkeypatch.delattr(Chgnet, "_evaluate")
    verify(chgnet)


def test_another_card_is_tested_again(
    chgnet: Chgnet, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kernels differ from card to card: an answer of the login node says nothing about a GPU."""
    for card in ("A100", "H100", "A100"):
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda card=card: card)
        verify(chgnet, device="cuda")
    assert len(list(cache.iterdir())) == 2
    verify(chgnet)
    assert len(list(cache.iterdir())) == 3


def test_damaged_weights_are_rejected(damaged: Chgnet, cache: Path) -> None:
    with pytest.raises(ValueError, match=r"chgnet 0.3.0 fails its self-test") as error:
        verify(damaged)
    lines = str(error.value).splitlines()[2:]
    assert [line.split()[0] for line in lines] == [crystal.name for crystal in self_test_crystals()]
    assert lines[0].split()[1] == "-3.668"
    assert sum(line.endswith("<- wrong") for line in lines) >= 3
    assert not cache.exists()


def test_cached_results_are_checked_again(
    chgnet: Chgnet, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify(chgnet)
    monkeypatch.setattr(chgnet, "energy_convention", "uncorrected")
    with pytest.raises(ValueError, match=r"convention uncorrected[\s\S]*MgO +-5.977 +-6.314"):
        verify(chgnet)


@pytest.mark.parametrize("text", ["{", '{"NaCl": [1.0, 0.0]}', "[]"])
def test_a_broken_cache_is_computed_again(
    chgnet: Chgnet, cache: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    verify(chgnet)
    (cached,) = cache.iterdir()
    cached.write_text(text)
    verify(chgnet)
    assert "computed again" in caplog.text
    assert set(json.loads(cached.read_text())) == {crystal.name for crystal in self_test_crystals()}


def test_a_cache_that_cannot_be_written_is_not_an_error(
    chgnet: Chgnet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        verify(chgnet)
    assert "self-test results cannot be cached" in caplog.text
