"""Number by number against the published implementation (tests/fixtures/README.md)."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.policies import FIXTURES
from numpy.typing import NDArray
from torch.nn import functional

from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.model.likelihood import START, allowed_log_probs
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.model.pretrained import import_policy
from crystalformer_rl.model.transformer import ELEMENTS, LETTERS

PARTS = {"wyckoff": "logp_w", "position": "logp_xyz", "element": "logp_a", "lattice": "logp_l"}
PRECISIONS = [(torch.float32, 1e-4), (torch.float64, 1e-6)]


@pytest.fixture(scope="module")
def golden() -> dict[str, NDArray[Any]]:
    with np.load(FIXTURES / "golden_model.npz") as file:
        return dict(file)


def tokens_of(golden: dict[str, NDArray[Any]]) -> CrystalTokens:
    return CrystalTokens(golden["G"], golden["W"], golden["A"], golden["XYZ"], golden["L"])


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
def test_log_probabilities_of_96_crystals(
    golden: dict[str, NDArray[Any]], checkpoint: Path, dtype: torch.dtype, tolerance: float
) -> None:
    policy = import_policy(checkpoint).to(dtype)
    with torch.no_grad():
        found = policy.log_prob(tokens_of(golden))
    for part, name in PARTS.items():
        error = np.abs(getattr(found, part).numpy() - golden[name]).max()
        assert error < tolerance, f"{part}: {error}"


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
def test_outputs_of_the_first_8(
    golden: dict[str, NDArray[Any]], checkpoint: Path, dtype: torch.dtype, tolerance: float
) -> None:
    expected = golden["h"]
    with torch.no_grad():
        found = published_outputs(import_policy(checkpoint).to(dtype), tokens_of(golden)[:8])
    assert found.shape == expected.shape
    # The published code masks by subtracting 1e10, ours by minus infinity.
    np.testing.assert_array_equal(np.isneginf(found), expected < -1e9)
    allowed = np.isfinite(found)
    np.testing.assert_allclose(found[allowed], expected[allowed], rtol=0, atol=tolerance)


def published_outputs(policy: Policy, tokens: CrystalTokens) -> NDArray[np.float64]:
    """The (B, 5 n + 1, 171) outputs as published: W, then A X Y Z W of each site."""
    network, tables, settings = policy.network, policy.tables, policy.settings
    dtype = network.out.weight.dtype
    group, letter, element = (
        torch.tensor(array) for array in (tokens.space_group, tokens.wyckoff, tokens.element)
    )
    column, (batch, sites) = group[:, None], letter.shape
    multiplicity = tables.multiplicity[column, letter]
    position = torch.tensor(tokens.position, dtype=dtype)
    h = network.trunk(network.embed(group, letter, multiplicity, element, position))
    raw = network.read(h, 0, 171).view(batch, sites, 5, 171)

    out = torch.zeros(batch, 5 * sites + 1, 171, dtype=dtype)
    start = torch.full_like(column, START)
    letters = tables.allowed_letters
    first = allowed_log_probs(network.first_letter(group)[:, None], letters[column, start])
    out[:, 0, :LETTERS] = first[:, 0]
    by_site = out[:, 1:].view(batch, sites, 5, 171)
    following = allowed_log_probs(raw[:, :, 4, :LETTERS], letters[column, letter])
    by_site[:, :, 4, :LETTERS] = following
    real = torch.arange(ELEMENTS)[None, None] > 0
    at_pad = torch.where(real, -torch.inf, 0.0).to(dtype)
    log_elements = allowed_log_probs(raw[:, :, 0, :ELEMENTS], real)
    by_site[:, :, 0, :ELEMENTS] = torch.where(letter[..., None] > 0, log_elements, at_pad)
    modes = settings.lattice_modes
    logits, mean, width = raw[:, :, 0, ELEMENTS:].tensor_split((modes, 7 * modes), dim=-1)
    lattice = [logits.log_softmax(-1), mean, functional.softplus(width) + 1e-3]
    by_site[:, :, 0, ELEMENTS:] = torch.cat(lattice, dim=-1)
    size = 3 * settings.coordinate_modes
    logits, location, concentration = raw[:, :, 1:4, :size].chunk(3, dim=-1)
    mixture = [logits.log_softmax(-1), location, functional.softplus(concentration)]
    by_site[:, :, 1:4, :size] = torch.cat(mixture, dim=-1)
    return out.double().numpy()
