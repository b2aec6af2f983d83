"""Where the time of a step of reinforcement goes: seconds of the processor, by part.

    python benchmarks/reinforcement.py [--batch 200] [--steps 3] [--threads 1]
    torchrun --nproc-per-node 2 benchmarks/reinforcement.py

The policy is the shipped mp20-small, the potential CHGNet. The rewards are random numbers, because
placing 200 energies on a hull takes a hundredth of a step. The first step warms up and is not
counted. Of several processes the first one prints its seconds; the others have less to do.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from crystalformer_rl.config import RLSettings
from crystalformer_rl.crystal.decoding import decode
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.jobs.parallel import Parallel, join
from crystalformer_rl.model import constraints
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.model.prompts import prompt_probabilities, sample_space_groups
from crystalformer_rl.potentials.base import evaluate_each
from crystalformer_rl.potentials.registry import load
from crystalformer_rl.potentials.shared import SharedPotential
from crystalformer_rl.rewards.base import RewardBatch
from crystalformer_rl.training.algorithm import Batch
from crystalformer_rl.training.ppo import PPO
from crystalformer_rl.training.scoring import BatchLogProb, log_probs

POLICY = Path(__file__).parents[1] / "resources" / "pretrained" / "mp20-small"
T = TypeVar("T")


def main() -> None:
    """Print the mean seconds of each part of a step."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--batch", type=int, default=200)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with join("cpu") as parallel:
        measure(args, parallel)


def measure(args: argparse.Namespace, parallel: Parallel) -> None:
    """Make the steps in this process."""
    settings = RLSettings(batch_size=args.batch, max_kl_step=None)
    policy, base = Policy.load(POLICY), Policy.load(POLICY)
    potential = SharedPotential(load("chgnet", device="cpu"), parallel, check=lambda: None)
    asked = constraints.build(settings.constraints, max_sites=policy.settings.max_sites)
    prompts = prompt_probabilities(policy.space_group_counts, None, "training", constraints=asked)
    optimiser = torch.optim.Adam(policy.parameters(), lr=settings.learning_rate)
    spent: dict[str, float] = {}

    def timed(part: str, work: Callable[[], T]) -> T:
        start = time.process_time()
        done = work()
        spent[part] = spent.get(part, 0.0) + time.process_time() - start
        return done

    def sampled(groups: NDArray[np.int64], seed: int) -> CrystalTokens:
        return policy.sample(groups, seed=seed, constraints=asked, parallel=parallel).tokens

    def scored(one: Policy, tokens: CrystalTokens) -> BatchLogProb:
        return log_probs(one, tokens, constraints=asked, parallel=parallel)

    def step(seed: int) -> None:
        groups = sample_space_groups(prompts, args.batch, seed=seed)
        tokens = timed("sample", lambda: sampled(groups, seed))
        cells = timed("decode", lambda: [found.cell for found in decode(tokens)])
        timed("energies", lambda: evaluate_each(potential, cells, forces=False))
        own = timed("score", lambda: scored(policy, tokens))
        anchor = timed("score by the base", lambda: scored(base, tokens))
        everyone = np.ones(args.batch, dtype=bool)
        advantage = np.random.default_rng(seed).normal(size=args.batch)
        batch = Batch(
            tokens=tokens,
            log_prob=own.total,
            base_log_prob=anchor.total,
            rewards=RewardBatch(advantage, everyone, ~everyone, {}),
            advantage=advantage,
            constraints=asked,
            seed=seed,
            parallel=parallel,
        )
        timed("update", lambda: PPO(settings).update(policy, optimiser, batch))

    step(0)
    spent.clear()
    for seed in range(1, args.steps + 1):
        step(seed)
    for part, seconds in {**spent, "step": sum(spent.values())}.items() if parallel.first else ():
        print(f"{part:20} {seconds / args.steps:6.2f} s")


if __name__ == "__main__":
    main()
