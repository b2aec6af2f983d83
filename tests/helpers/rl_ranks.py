"""One of the processes of tests/unit/training/test_reinforce_parallel.py: a round of RL.

Called as ``python rl_ranks.py FOLDER`` with the environment of torchrun; with the further word
``straight`` it only makes an uninterrupted round of PPO, with ``cuda`` on GPUs.
"""

import json
import os
import pickle
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pymatgen.core import Structure

from crystalformer_rl.config import RLSettings
from crystalformer_rl.crystal.cell import Cell, volume_of
from crystalformer_rl.files import write_tensors
from crystalformer_rl.jobs.checkpoints import Checkpoints
from crystalformer_rl.jobs.loop import DivergedError, Interrupted, Loop
from crystalformer_rl.jobs.parallel import SINGLE, FailedElsewhere, Parallel, join
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.model.prompts import prompt_probabilities
from crystalformer_rl.potentials.base import Evaluation, Failure, evaluate_each
from crystalformer_rl.potentials.shared import SharedPotential
from crystalformer_rl.rewards.base import RewardBatch
from crystalformer_rl.training.fit import Row
from crystalformer_rl.training.reinforce import reinforce
from crystalformer_rl.training.round_state import RoundState
from helpers.analytic import Analytic
from helpers.policies import TINY
from helpers.ranks import weights_of

_COMMON = {
    "steps": 5,
    "batch_size": 31,
    "learning_rate": 0.001,
    "memory": {"by": "prototype", "full": 1, "none": 3, "window": 20},
    "elites": {"weight": 0.5, "kept": 6, "replayed": 3},
    "constraints": {"elements": ["Na", "Cl"], "max_atoms": 8},
}
SETTINGS = {
    "ppo": RLSettings(ppo_epochs=3, target_kl=0.5, **_COMMON),
    "dpo": RLSettings.model_validate({"algorithm": "dpo", "dpo": {"epochs": 2}, **_COMMON}),
}


def row_of_argon(cell: Cell) -> Cell:
    """A physical crystal in place of one from a policy that has learned nothing."""
    atoms = len(cell)
    spacing = 3.5 + 0.5 * np.sin(volume_of(cell.matrix))
    positions = np.arange(atoms)[:, None] * np.array([1 / atoms, 0, 0])
    return Cell(np.diag([atoms * spacing, 4.0, 4.0]), np.full(atoms, 18), positions)


def energy(structure: Structure) -> Evaluation:
    """Grows with the cell; an error for 8 atoms."""
    if len(structure) == 8:
        raise ValueError(f"{len(structure)} atoms")
    return Evaluation(structure.lattice.a)


def size(cell: Cell | None) -> float:
    """Number of atoms."""
    return np.nan if cell is None else float(len(cell))


@dataclass
class Energies:
    """Minus the energy; a crystal without one gets the lowest value of its batch."""

    potential: SharedPotential
    parallel: Parallel
    hook: Callable[[], None]

    def score(self, cells: Sequence[Cell | None]) -> RewardBatch:
        self.hook()
        rows = [None if cell is None else row_of_argon(cell) for cell in cells]
        answers = evaluate_each(self.potential, rows)
        value = np.array([-a.energy if isinstance(a, Evaluation) else np.nan for a in answers])
        refused = np.array([isinstance(a, Failure) and "atoms" in a.reason for a in answers])
        valid = np.isfinite(value)
        return RewardBatch(
            value=np.where(valid, value, np.nanmin(value)),
            valid=valid,
            abstain=np.zeros_like(valid),
            components={"energy": -value, "atoms": np.array(self.parallel.map(size, rows))},
            struck={"refused": refused},
        )


def run(
    name: str,
    folder: Path,
    *,
    parallel: Parallel = SINGLE,
    hook: Callable[[], None] = lambda: None,
    base: Policy | None = None,
) -> tuple[list[Row], RoundState, pd.DataFrame, Policy]:
    """A round of the algorithm ``name`` with its checkpoints in ``folder``."""
    torch.set_num_threads(1)
    policy = Policy(TINY, seed=1).to(parallel.device)
    loop = Loop(Checkpoints(folder, key={}), checkpoint_minutes=1e6, parallel=parallel)
    potential = Analytic(energy)
    with loop:
        history, state, crystals = reinforce(
            policy,
            (base or Policy(TINY, seed=1)).to(parallel.device),
            Energies(SharedPotential(potential, parallel, check=loop.obey), parallel, hook),
            settings=SETTINGS[name],
            prompts=prompt_probabilities(np.zeros(231, dtype=int), (194, 221, 225), "training"),
            round_number=1,
            seed=7,
            loop=loop,
            previous=RoundState(),
            parallel=parallel,
        )
    shared = [{k: v for k, v in row.items() if k != "seconds"} for row in history]
    return shared, state, crystals, policy


def at_call(number: int, act: Callable[[], None]) -> Callable[[], None]:
    """Calls ``act`` the ``number``-th time that it is called itself."""
    calls = []

    def hook() -> None:
        calls.append(1)
        if len(calls) == number:
            act()

    return hook


def nothing() -> None:
    """Do nothing."""


def refuse() -> None:
    raise ValueError("no reward on Sundays")


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def main(folder: Path, *, straight: bool, kind: str) -> None:
    """Train in every way that is to be compared, and write what came of it."""
    result: dict[str, Any] = {}
    with join(kind) as parallel:
        second = parallel.rank == 1

        def keep(name: str, algorithm: str, **options: Any) -> None:
            history, state, crystals, policy = run(
                algorithm, folder / name, parallel=parallel, **options
            )
            result[name] = {"history": history, "state": state.values()}
            with (folder / f"{name}-{parallel.rank}.pickle").open("wb") as file:
                pickle.dump(crystals, file)
            write_tensors(folder / f"{name}-{parallel.rank}.safetensors", weights_of(policy))

        if straight:
            keep("ppo", "ppo")
            return
        for algorithm in SETTINGS:
            keep(algorithm, algorithm)
            try:
                stop = terminate if second else nothing
                keep(f"{algorithm}-again", algorithm, hook=at_call(4, stop))
            except Interrupted as stopped:
                result[f"{algorithm}-code"] = stopped.code
            parallel.barrier()
            keep(f"{algorithm}-again", algorithm)

        try:
            keep("failed", "ppo", hook=at_call(2, refuse if second else nothing))
        except (FailedElsewhere, ValueError) as error:
            result["failure"] = [type(error).__name__, str(error)]
        base = Policy(TINY, seed=1)
        if second:
            with torch.no_grad():
                base.network.out.bias.fill_(torch.nan)
        try:
            keep("broken", "ppo", base=base)
        except DivergedError as error:
            result["diverged"] = str(error)
    (folder / f"result-{parallel.rank}.json").write_text(json.dumps(result))


if __name__ == "__main__":
    name, *words = sys.argv[1:]
    main(Path(name), straight="straight" in words, kind="cuda" if "cuda" in words else "cpu")
