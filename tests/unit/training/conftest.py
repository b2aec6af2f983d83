"""A policy that trains in milliseconds, and crystals for it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.policies import TINY

from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.jobs.checkpoints import Checkpoints
from crystalformer_rl.jobs.device import best_device
from crystalformer_rl.jobs.loop import Loop
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.training.scoring import scoring_room


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _new_rooms() -> Iterator[None]:
    """A room that a test has halved is not that of the next test."""
    yield
    scoring_room.cache_clear()


@pytest.fixture
def new_policy() -> Callable[[], Policy]:
    return lambda: Policy(TINY, seed=1).to(best_device())


@pytest.fixture
def crystals() -> CrystalTokens:
    """30 crystals in three space groups."""
    groups = np.repeat([2, 62, 225], 10)
    return Policy(TINY, seed=2).sample(groups, seed=3).tokens


@pytest.fixture
def new_loop(tmp_path: Path) -> Callable[..., Loop]:
    """Loops that find one another's checkpoints."""

    def make(
        *, name: str = "checkpoints", minutes: float = 1e6, limit: float | None = None
    ) -> Loop:
        store = Checkpoints(tmp_path / name, key={})
        return Loop(store, checkpoint_minutes=minutes, limit_minutes=limit)

    return make
