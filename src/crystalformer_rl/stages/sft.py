"""``sft``: fine-tune a policy on relaxed, filtered samples.

The policy "sft" learns from samples of the base policy. A round of a branch with ``algorithm: sft``
learns from samples of the policy of the round before.
"""

import argparse
from pathlib import Path

import pandas as pd

from crystalformer_rl.config import SftSettings
from crystalformer_rl.crystal.known import formulas_of
from crystalformer_rl.crystal.structures import cells_of
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.files import read_table
from crystalformer_rl.jobs.device import best_device
from crystalformer_rl.jobs.parallel import Parallel, join
from crystalformer_rl.jobs.training import Training, add_training_arguments
from crystalformer_rl.layout import shards
from crystalformer_rl.model.folder import policy_files
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.seeds import derive_seed
from crystalformer_rl.stability.reference import ReferenceHull, hull_files
from crystalformer_rl.training.fit import fit
from crystalformer_rl.training.selection import Relaxed, select


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_training_arguments(parser)
    parser.add_argument(
        "--policy", type=Path, required=True, help="folder of the policy to fine-tune"
    )
    parser.add_argument(
        "--relaxed",
        type=shards,
        required=True,
        metavar="FOLDER:COUNT",
        help="relaxed shards of the samples",
    )
    parser.add_argument("--hull", type=Path, required=True, help="folder of the hull stage")
    parser.add_argument(
        "--known", type=Path, help="table of the dataset, if the settings ask for novel samples"
    )
    parser.add_argument("--name", help="name of the branch in the rl section, if it is one")
    parser.add_argument("--round", type=int, default=1, help="number of its round, from 1")


def run(args: argparse.Namespace) -> None:
    """Write the policy, ``history.parquet`` and ``provenance.json`` into ``args.out``.

    Processes started by torchrun share every batch; each selects the same samples.
    """
    with join(best_device()) as parallel:
        _train(args, parallel)


def _train(args: argparse.Namespace, parallel: Parallel) -> None:
    settings = SftSettings.model_validate_json(args.settings)
    if settings.novel != (args.known is not None):
        raise ValueError("--known and `novel: true` of the settings need each other")
    branch = () if args.name is None else ("rl", args.name, args.round)
    seed = derive_seed(args.seed, *(branch or ("sft",)))
    training = Training(
        "sft",
        args,
        sections={"sft": settings},
        names={"name": args.name, "round": args.round} if branch else None,
        inputs={
            "policy": policy_files(args.policy),
            "relaxed": args.relaxed,
            "hull": hull_files(args.hull),
            **({"known": args.known} if args.known else {}),
        },
        seed=seed,
        parallel=parallel,
    )
    policy = Policy.load(args.policy, device=training.device)
    relaxed = pd.concat([read_table(path) for path in args.relaxed], ignore_index=True)
    hull = ReferenceHull.load(args.hull, energies_of=relaxed["potential"])
    selection = select(
        relaxed_samples(relaxed),
        hull=hull,
        max_e_above_hull=settings.max_e_above_hull,
        symprec=settings.symprec,
        max_sites=policy.settings.max_sites - 1,
        known=formulas_of(args.known) if settings.novel else frozenset(),
        unique=settings.unique,
        section=f"rl.{args.name}.sft" if branch else "sft",
    )
    with training.loop:
        history = fit(
            policy,
            selection.tokens,
            CrystalTokens.empty(policy.settings.max_sites),
            settings=settings,
            seed=seed,
            loop=training.loop,
            name_of=selection.ids.__getitem__,
            parallel=parallel,
            track=training.track,
            record=training.record,
        )
    if branch:
        history = [row | {"round": args.round} | selection.fractions for row in history]
    policy.metadata |= {"trained_by": f"rl-{args.name}" if branch else "sft"}
    if parallel.first:
        policy.save(args.out)
    training.finish(
        history,
        steps=history[-1]["step"],
        items=len(selection.ids) * history[-1]["epoch"],
        **selection.counts,
    )


def relaxed_samples(table: pd.DataFrame) -> list[Relaxed]:
    """The samples of shards of the relax stage."""
    cells = cells_of(table, prefix="relaxed_")
    rows = zip(table["id"], table["status"], cells, table["energy_final"], strict=True)
    return [
        Relaxed(str(name), str(status), cell, None if pd.isna(energy) else float(energy))
        for name, status, cell, energy in rows
    ]
