"""Reinforcement with a function as the reward."""

import inspect
import tempfile
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import ArrayLike
from pymatgen.core import Structure

from crystalformer_rl.api.generator import Generator
from crystalformer_rl.config import RLSettings
from crystalformer_rl.config.errors import validated
from crystalformer_rl.jobs.checkpoints import Checkpoints
from crystalformer_rl.jobs.loop import Interrupted, Loop
from crystalformer_rl.jobs.progress import progress
from crystalformer_rl.model.constraints import build
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.model.prompts import prompt_probabilities
from crystalformer_rl.rewards.file import FunctionScore
from crystalformer_rl.training import reinforce as training
from crystalformer_rl.training.round_state import RoundState

Score = Callable[[list[Structure]], ArrayLike]
# A call has no job's time limit, and an interrupted one starts again.
NEVER = float("inf")


class Reinforced(Generator):
    """A policy after reinforcement.

    Attributes
    ----------
    history
        A row per step, as ``history.parquet`` of a run.
    found
        A row per crystal of every step, with its reward, as ``crystals.parquet`` of a run.
    """

    def __init__(
        self, policy: Policy, name: str, *, history: pd.DataFrame, found: pd.DataFrame
    ) -> None:
        super().__init__(policy, name)
        self.history = history
        self.found = found


def reinforce(
    policy: Generator,
    *,
    reward: Score,
    steps: int = 50,
    seed: int = 0,
    name: str = "rl",
    **settings: Any,
) -> Reinforced:
    """Fine-tune a copy of ``policy`` towards a reward, with a KL penalty to ``policy``.

    Parameters
    ----------
    reward
        Takes a list of pymatgen structures, as generated and unrelaxed, and returns a finite number
        for each; larger is better. A crystal that cannot be decoded gets the lowest number of its
        batch.
    steps
        Steps of one batch each.
    name
        Name of the new policy.
    settings
        Keys of a branch in the configuration, such as ``batch_size``, ``learning_rate``, ``tau``,
        ``preset`` or ``space_groups``.

    Raises
    ------
    ValueError
        If a setting is invalid, or the reward raises or returns anything but a finite number for
        each crystal.
    DivergedError
        If a probability, loss or gradient is not finite.
    """
    chosen = validated(RLSettings, {"steps": steps, "rounds": 1} | settings)
    model = deepcopy(policy.policy)
    prompts = prompt_probabilities(
        model.space_group_counts,
        chosen.space_groups,
        chosen.space_group_weights,
        constraints=build(chosen.constraints, max_sites=model.settings.max_sites),
    )
    with tempfile.TemporaryDirectory() as folder:
        loop = Loop(Checkpoints(Path(folder), key={}), checkpoint_minutes=NEVER)
        try:
            with loop:
                history, _, found = training.reinforce(
                    model,
                    policy.policy,
                    FunctionScore(_file_of(reward), reward),
                    settings=chosen,
                    prompts=prompts,
                    round_number=1,
                    seed=seed,
                    loop=loop,
                    previous=RoundState(),
                    track=_track,
                )
        except Interrupted:
            raise KeyboardInterrupt from None
    return Reinforced(model, name, history=pd.DataFrame(history), found=found)


def _track(steps: Iterable[int]) -> Iterator[int]:
    return progress(steps, label="reinforce")


def _file_of(function: Score) -> str:
    """Where the function is defined, for error messages."""
    try:
        return inspect.getsourcefile(function) or repr(function)
    except TypeError:
        return repr(function)
