"""Fixtures of the model's tests."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.policies import FIXTURES, MakePolicy, uneven_policy

from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.model.policy import Policy


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def make_policy() -> MakePolicy:
    return uneven_policy


@pytest.fixture(scope="session")
def policy() -> Policy:
    return uneven_policy()


@pytest.fixture(scope="session")
def crystals(policy: Policy) -> CrystalTokens:
    """A crystal of each space group."""
    return policy.sample(np.arange(1, 231), seed=5).tokens


@pytest.fixture(scope="session")
def checkpoint() -> Path:
    return FIXTURES / "golden_model.pkl"
