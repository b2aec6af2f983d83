"""Stage ``sample``: one shard of crystals drawn from a policy."""

import argparse
import logging
from pathlib import Path

import pandas as pd

from crystalformer_rl.config import SampleSettings
from crystalformer_rl.crystal.decoding import decode
from crystalformer_rl.crystal.structures import structure_columns
from crystalformer_rl.files import write_table
from crystalformer_rl.model.policy import DESCRIPTION, WEIGHTS, Policy
from crystalformer_rl.model.prompts import draw_space_groups, prompt_probabilities
from crystalformer_rl.model.sampler import Samples
from crystalformer_rl.provenance import Provenance, derive_seed
from crystalformer_rl.stages.devices import best_device

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``crystalformer-rl sample``."""
    parser.add_argument("--settings", required=True, help="sample section, as JSON")
    parser.add_argument("--policy", type=Path, required=True, help="folder of the policy")
    parser.add_argument("--name", required=True, help="name of the policy, in ids and the seed")
    parser.add_argument("--shard", type=int, required=True, help="number of the shard, from 0")
    parser.add_argument("--seed", type=int, required=True, help="seed of the run")
    parser.add_argument("--out", type=Path, required=True, help="parquet file to write")


def run(args: argparse.Namespace) -> None:
    """Write the shard and its provenance: a row per crystal, with tokens, ln p and structure.

    A crystal that cannot be decoded has null structure columns and a ``decode_error``.

    Raises
    ------
    ValueError
        If the policy cannot be read or the shard number is negative.
    """
    settings = SampleSettings.model_validate_json(args.settings)
    if args.shard < 0:
        raise ValueError(f"--shard must be 0 or more, got {args.shard}")
    seed = derive_seed(args.seed, "sample", args.name, args.shard)
    device = best_device()
    provenance = Provenance(
        "sample",
        settings=settings.model_dump(mode="json"),
        inputs={"policy": [args.policy / WEIGHTS, args.policy / DESCRIPTION]},
        seed=seed,
        device=device,
    )
    policy = Policy.load(args.policy, device=device)
    prompts = prompt_probabilities(policy.space_group_counts, settings.space_groups)
    groups = draw_space_groups(prompts, settings.shard_size, seed=seed)
    samples = policy.sample(
        groups, seed=seed, temperature=settings.temperature, top_p=settings.top_p
    )
    table = _table(samples, prefix=f"{args.name}-{args.shard:04d}")
    write_table(args.out, table)
    undecodable = int(table["decode_error"].notna().sum())
    log.info("%d crystals of %s, %d cannot be decoded", len(table), args.name, undecodable)
    provenance.write(
        args.out.with_suffix(".provenance.json"), items=len(table), undecodable=undecodable
    )


def _table(samples: Samples, *, prefix: str) -> pd.DataFrame:
    tokens, sites = samples.tokens, samples.tokens.num_sites
    decoded = decode(tokens)
    return pd.DataFrame(
        {
            "id": [f"{prefix}-{i:04d}" for i in range(len(tokens))],
            "space_group": tokens.space_group,
            "num_sites": sites,
            "wyckoff": [row[:n].tolist() for row, n in zip(tokens.wyckoff, sites, strict=True)],
            "element": [row[:n].tolist() for row, n in zip(tokens.element, sites, strict=True)],
            "site_positions": [
                row[:n].ravel().tolist() for row, n in zip(tokens.position, sites, strict=True)
            ],
            "token_lattice": tokens.lattice.tolist(),
            "log_prob": samples.log_prob,
            "decode_error": pd.Series([one.error for one in decoded], dtype="string"),
            **structure_columns([one.structure for one in decoded]),
        }
    )
