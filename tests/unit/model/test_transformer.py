"""Size, causality and the cache."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch._inductor.config as inductor
from helpers.policies import MakePolicy

from crystalformer_rl.config import ModelSettings
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.model.transformer import Cache, _rotate

PUBLISHED = ModelSettings(
    layers=16, heads=16, key_size=64, width=64, embedding=32, first_letter_hidden=256
)


@pytest.mark.parametrize(("positions", "parameters"), [("rotary", 4833575), ("learned", 4840295)])
def test_published_size(positions: str, parameters: int) -> None:
    policy = Policy(PUBLISHED.model_copy(update={"positions": positions}))
    assert policy.num_parameters == parameters


@pytest.mark.parametrize("positions", ["rotary", "learned"])
def test_a_token_sees_only_those_before(make_policy: MakePolicy, positions: str) -> None:
    network = make_policy(positions=positions).network.double()
    h = torch.randn(2, 12, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    changed = h.clone()
    changed[:, 7:] = changed[:, 7:].flip(-1)
    with torch.no_grad():
        before, after = network.trunk(h), network.trunk(changed)
    torch.testing.assert_close(before[:, :7], after[:, :7], rtol=0, atol=1e-12)
    assert ((before - after)[:, 7:].abs().amax(-1) > 1e-3).all()


@pytest.mark.parametrize("positions", ["rotary", "learned"])
def test_cache_gives_what_the_whole_sequence_gives(make_policy: MakePolicy, positions: str) -> None:
    network = make_policy(positions=positions).network.double()
    h = torch.randn(4, 45, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    cache = Cache(2, capacity=45)
    rows = torch.arange(4)
    with torch.no_grad():
        whole = network.trunk(h)
        for t in range(45):
            if t in (10, 40):
                kept = np.array([0, 2] if t == 10 else [1])
                cache.keep(kept)
                rows = rows[torch.from_numpy(kept)]
            step = network.step(h[rows, t], cache)
            torch.testing.assert_close(step, whole[rows, t], rtol=0, atol=1e-10)


def test_same_seed_same_weights() -> None:
    settings = ModelSettings(layers=1)
    first, second, other = (Policy(settings, seed=s).network.out.weight for s in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert first.abs().max() <= 0.02


@pytest.mark.slow
def test_compiled_blocks_compute_the_same_at_any_length(make_policy: MakePolicy) -> None:
    plain, compiled = make_policy().network, make_policy().network
    # What is tested is that the blocks can be traced; the code generator would take minutes.
    compiled.compile_blocks(backend="aot_eager")
    for length in (6, 11):
        h = torch.randn(3, length, 16, generator=torch.Generator().manual_seed(0))
        with torch.autocast("cpu", torch.bfloat16):
            outputs = [network.trunk(h) for network in (plain, compiled)]
        torch.testing.assert_close(*outputs, rtol=0, atol=1e-5)
        for output in outputs:
            output.float().sum().backward()
    for ours, theirs in zip(plain.blocks.parameters(), compiled.blocks.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_blocks_that_a_broken_compiler_cannot_compile_run_as_they_are(
    make_policy: MakePolicy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """On a CPU the compiler is that of C++, which here exists and fails."""
    broken = tmp_path / "c++"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(inductor.cpp, "cxx", (str(broken),))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    plain, compiled = make_policy().network, make_policy().network
    compiled.compile_blocks()
    h = torch.randn(3, 6, 16, generator=torch.Generator().manual_seed(0))
    for network in (plain, compiled):
        network.trunk(h).sum().backward()
    assert "No working C++ compiler" in caplog.text
    assert torch.equal(compiled.trunk(h), plain.trunk(h))
    for ours, theirs in zip(plain.blocks.parameters(), compiled.blocks.parameters(), strict=True):
        assert torch.equal(ours.grad, theirs.grad)


def test_turns_agree_in_all_precisions() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 7, 3, 8, generator=generator)
    angle = torch.randn(7, 1, 4, generator=generator)
    rotation = torch.stack([angle.cos(), angle.sin()], dim=-1)
    exact = _rotate(x, rotation)
    torch.testing.assert_close(exact.norm(dim=-1), x.norm(dim=-1))
    torch.testing.assert_close(_rotate(x.double(), rotation.double()).float(), exact)
    half = _rotate(x.bfloat16(), rotation)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), exact, rtol=0.02, atol=0.02)
