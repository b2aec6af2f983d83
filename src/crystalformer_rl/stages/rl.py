"""``rl``: one round of RL fine-tuning."""

import argparse
import logging
from functools import partial
from pathlib import Path

from crystalformer_rl.config import FileReward, RewardSettings, RLSettings
from crystalformer_rl.crystal.known import formulas_of
from crystalformer_rl.files import read_json, write_json, write_table
from crystalformer_rl.jobs.device import best_device
from crystalformer_rl.jobs.parallel import Parallel, join
from crystalformer_rl.jobs.training import Training, add_training_arguments
from crystalformer_rl.layout import CRYSTALS, STATE
from crystalformer_rl.model import constraints
from crystalformer_rl.model.folder import policy_files
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.model.prompts import prompt_probabilities
from crystalformer_rl.potentials import registry
from crystalformer_rl.rewards.base import Sources, build
from crystalformer_rl.seeds import derive_seed
from crystalformer_rl.stability.reference import ReferenceHull, hull_files
from crystalformer_rl.training.fit import Row
from crystalformer_rl.training.past import earlier_steps
from crystalformer_rl.training.reinforce import reinforce
from crystalformer_rl.training.round_state import RoundState

ROUNDING = 1e-12

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_training_arguments(parser)
    registry.add_arguments(parser)
    parser.add_argument(
        "--policy", type=Path, required=True, help="folder of the policy to start from"
    )
    parser.add_argument(
        "--base",
        type=Path,
        required=True,
        help="folder of the frozen base policy of the KL penalty",
    )
    parser.add_argument(
        "--hull", type=Path, help="folder of the hull stage, for a reward that needs it"
    )
    parser.add_argument(
        "--known",
        type=Path,
        help="table of the dataset, for a reward or a memory that compares with it",
    )
    parser.add_argument(
        "--trust-code", action="store_true", help="run the Python file that the reward names"
    )
    parser.add_argument("--round", type=int, required=True, help="number of the round, from 1")
    parser.add_argument(
        "--earlier",
        type=Path,
        nargs="*",
        default=[],
        metavar="FILE",
        help=f"{CRYSTALS} of the rounds before, in order",
    )
    parser.add_argument("--name", required=True, help="name of the branch in the rl section")


def run(args: argparse.Namespace) -> None:
    """Write one round of a branch into ``args.out``.

    These are the policy, ``history.parquet`` with a row per step, ``crystals.parquet`` with a row
    per crystal, ``state.json`` and ``provenance.json``. The next round continues from the policy,
    the state and the crystals of all rounds before it. Processes started by torchrun share every
    batch.

    Raises
    ------
    ValueError
        If the reward would run code that is not trusted, needs a hull or a dataset that is not
        given, or its code has a mistake; or if ``--policy`` is not the policy of the round before,
        or ``--earlier`` not the crystals of all rounds before.
    """
    with join(best_device()) as parallel:
        _train(args, parallel)


def _train(args: argparse.Namespace, parallel: Parallel) -> None:
    settings = RLSettings.model_validate_json(args.settings)
    files = settings.reward.files
    if settings.reward.runs_code and not args.trust_code:
        raise ValueError(
            f"{', '.join(files)} is Python code that the reward would run: if you trust it, give "
            "--trust-code (in the workflow: `trust_code: true` under `jobs:` in config.yaml)"
        )
    seed = derive_seed(args.seed, "rl", args.name, args.round)
    training = Training(
        "rl",
        args,
        sections={"rl": settings},
        names={"name": args.name, "round": args.round},
        inputs={
            "policy": [*policy_files(args.policy), *_state_files(args)],
            "base": policy_files(args.base),
            **({"earlier": args.earlier} if args.earlier else {}),
            **({"hull": hull_files(args.hull)} if args.hull else {}),
            **({"known": args.known} if args.known else {}),
            **({"reward": [Path(file) for file in files]} if files else {}),
        },
        seed=seed,
        parallel=parallel,
        reward=settings.reward,
    )
    policy, base = (
        _with_sampled_density(Policy.load(folder, device=training.device), folder)
        for folder in (args.policy, args.base)
    )
    prompts = prompt_probabilities(
        policy.space_group_counts,
        settings.space_groups,
        settings.space_group_weights,
        constraints=constraints.build(settings.constraints, max_sites=policy.settings.max_sites),
    )
    known = None if args.known is None else formulas_of(args.known)
    reward = build(settings.reward, _sources(args, settings.reward, known, training, parallel))
    previous = _previous(args)
    with training.loop:
        history, state, crystals = reinforce(
            policy,
            base,
            reward,
            settings=settings,
            prompts=prompts,
            round_number=args.round,
            seed=seed,
            loop=training.loop,
            previous=previous,
            earlier=earlier_steps(args.earlier, steps=previous.step),
            known=known or frozenset(),
            parallel=parallel,
            track=training.track,
            record=partial(_record, training, settings.reward),
        )
    policy.metadata |= {"trained_by": f"rl-{args.name}"}
    if parallel.first:
        policy.save(args.out)
        write_json(args.out / STATE, state.values())
        write_table(args.out / CRYSTALS, crystals)
    training.finish(history, steps=settings.steps, items=settings.steps * settings.batch_size)


def _sources(
    args: argparse.Namespace,
    reward: RewardSettings,
    known: frozenset[str] | None,
    training: Training,
    parallel: Parallel,
) -> Sources:
    """The files that the reward reads, from the arguments."""
    on_hull = [one.potential_used for one in reward.singles.values() if one.needs_hull]
    hull = None
    if on_hull and args.hull is not None:
        hull = ReferenceHull.load(args.hull, energies_of=[one for one in on_hull if one])
    return Sources(
        device=training.device.type,
        hull=hull,
        known=known,
        trust_pickles=args.trust_pickles,
        parallel=parallel,
        check=training.loop.obey,
    )


def _record(training: Training, reward: RewardSettings, row: Row) -> None:
    training.record(row)
    spread, mean = row["reward_std"], row["reward_mean"]
    constant = spread is not None and mean is not None and spread <= ROUNDING * max(1, abs(mean))
    # The first step of all has no checkpoint before it, so an interruption changes nothing here.
    if isinstance(reward, FileReward) and row["step"] == 1 and constant:
        raise ValueError(
            f"{reward.path}: score returned {mean:g} for every crystal of the first "
            "batch, and a constant reward trains nothing. Return numbers that differ between "
            "crystals, such as the distance from a target instead of yes or no"
        )


def _with_sampled_density(policy: Policy, folder: Path) -> Policy:
    """The policy with the density of its samples, which a probability ratio requires."""
    if policy.settings.coordinate_density == "independent":
        return policy
    log.info(
        "%s: coordinate_density is changed from published to independent, so that exactly the "
        "sampled coordinates are scored; weights and samples stay the same",
        folder,
    )
    return policy.with_coordinate_density("independent")


def _state_files(args: argparse.Namespace) -> list[Path]:
    """The state of the round before, if there was one.

    Raises
    ------
    ValueError
        If there was one, but ``--policy`` is not its folder.
    """
    if args.round == 1:
        return []
    path = args.policy / STATE
    if not path.is_file():
        raise ValueError(
            f"{args.policy}: --round {args.round} needs the folder of the previous round, but this "
            f"one has no {STATE}; only round 1 starts from any policy"
        )
    return [path]


def _previous(args: argparse.Namespace) -> RoundState:
    files = _state_files(args)
    return RoundState.restore(read_json(files[0])) if files else RoundState()
