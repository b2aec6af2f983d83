"""``rl``: one round of reinforcement fine-tuning."""

import argparse
import logging
from dataclasses import asdict
from pathlib import Path

from crystalformer_rl.config import RLSettings
from crystalformer_rl.jobs import training as trainings
from crystalformer_rl.jobs.training import Training
from crystalformer_rl.model import constraints
from crystalformer_rl.model.folder import policy_files
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.model.prompts import prompt_probabilities
from crystalformer_rl.potentials import registry
from crystalformer_rl.rewards.base import build
from crystalformer_rl.seeds import derive_seed
from crystalformer_rl.stability.reference import ReferenceHull, hull_files
from crystalformer_rl.training.reinforce import RoundState, reinforce

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    trainings.add_arguments(parser)
    registry.add_arguments(parser)
    parser.add_argument(
        "--policy", type=Path, required=True, help="folder of the policy to start from"
    )
    parser.add_argument(
        "--base", type=Path, required=True, help="folder of the frozen base policy (KL anchor)"
    )
    parser.add_argument("--hull", type=Path, required=True, help="folder of the hull stage")
    parser.add_argument("--round", type=int, required=True, help="number of the round, from 1")
    parser.add_argument("--name", required=True, help="name of the branch in the rl section")


def run(args: argparse.Namespace) -> None:
    """Write the policy, ``history.parquet`` and ``provenance.json`` into ``args.out``.

    Running baseline and step number travel from round to round in the policy's ``model.json``.
    """
    settings = RLSettings.model_validate_json(args.settings)
    seed = derive_seed(args.seed, "rl", args.name, args.round)
    training = Training(
        "rl",
        args,
        sections={"rl": settings},
        names={"name": args.name, "round": args.round},
        inputs={
            "policy": policy_files(args.policy),
            "base": policy_files(args.base),
            "hull": hull_files(args.hull),
        },
        seed=seed,
        potential=settings.reward.potential,
        reward=settings.reward.kind,
    )
    policy, base = (
        _scored_as_drawn(Policy.load(folder, device=training.device), folder)
        for folder in (args.policy, args.base)
    )
    prompts = prompt_probabilities(
        policy.space_group_counts,
        settings.space_groups,
        settings.space_group_weights,
        constraints=constraints.build(settings.constraints, max_sites=policy.settings.max_sites),
    )
    hull = ReferenceHull.load(args.hull, energies_of=[settings.reward.potential])
    reward = build(
        settings.reward,
        hull=hull,
        device=training.device.type,
        trust_pickles=args.trust_pickles,
    )
    with training.loop:
        history, state = reinforce(
            policy,
            base,
            reward,
            settings=settings,
            prompts=prompts,
            round_number=args.round,
            seed=seed,
            loop=training.loop,
            previous=_previous(policy, args),
            track=training.track,
            record=training.record,
        )
    policy.metadata |= {"trained_by": f"rl-{args.name}", "rl": asdict(state)}
    policy.save(args.out)
    training.finish(history, steps=settings.steps, items=settings.steps * settings.batch_size)


def _scored_as_drawn(policy: Policy, folder: Path) -> Policy:
    """The policy with a density that is that of its samples: only such make a probability ratio."""
    if policy.settings.coordinate_density == "independent":
        return policy
    log.info(
        "%s: coordinate_density is set from published to independent, so that the coordinates that "
        "are drawn are those that are scored; weights and samples stay the same",
        folder,
    )
    return policy.with_coordinate_density("independent")


def _previous(policy: Policy, args: argparse.Namespace) -> RoundState:
    if args.round == 1:
        return RoundState()
    if "rl" not in policy.metadata:
        raise ValueError(
            f"{args.policy}: --round {args.round} continues a policy of the round before, and this "
            "model.json has no rl entry; round 1 starts from any policy"
        )
    return RoundState(**policy.metadata["rl"])
