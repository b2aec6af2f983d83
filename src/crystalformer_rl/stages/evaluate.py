"""``evaluate``: join the assessed shards of all policies, find what is unique, and summarise."""

import argparse
import logging
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import pandas as pd

from crystalformer_rl.config import EvaluateSettings
from crystalformer_rl.crystal.packed import PackedTokens
from crystalformer_rl.evaluation import columns
from crystalformer_rl.evaluation.diversity import training_set
from crystalformer_rl.evaluation.generated import KEY
from crystalformer_rl.evaluation.leaderboard import leaderboard_columns
from crystalformer_rl.evaluation.sun import summarise
from crystalformer_rl.evaluation.uniqueness import find_unique
from crystalformer_rl.files import map_tensors, read_table, write_json, write_table
from crystalformer_rl.jobs.provenance import Provenance
from crystalformer_rl.layout import shards_by_policy

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--settings", required=True, help="the evaluate section, as JSON")
    parser.add_argument(
        "--assessed",
        type=shards_by_policy,
        nargs="+",
        required=True,
        metavar="POLICY=FOLDER:COUNT",
        help="assessed shards of each policy",
    )
    parser.add_argument(
        "--training", type=Path, help="tokens of the training split, for coverage (without: none)"
    )
    parser.add_argument(
        "--known", type=Path, required=True, help="table of the known stage, to compare with"
    )
    parser.add_argument("--processes", type=int, default=1, help="worker processes")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")


def run(args: argparse.Namespace) -> None:
    """Write ``structures.parquet``, ``summary.json`` and ``provenance.json`` into ``args.out``."""
    settings = EvaluateSettings.model_validate_json(args.settings)
    shards = list(chain(*args.assessed))
    provenance = Provenance(
        __name__,
        settings=settings.model_dump(mode="json"),
        inputs={
            "assessed": [path for _, path in shards],
            "training": [args.training] if args.training else [],
            "known": args.known,
        },
    )
    training = None
    if args.training:
        training = training_set(PackedTokens.from_arrays(map_tensors(args.training)))
    table = _joined(shards)
    log.info("%d generated crystals", len(table))
    table = table.join(find_unique(table, settings, processes=args.processes))
    table = columns.ordered(table.assign(**leaderboard_columns(table)))
    columns.check(table, keys=columns.keys_of(table))
    write_table(args.out / "structures.parquet", table)
    policies = list(dict.fromkeys(policy for policy, _ in shards))
    known = read_table(args.known, ["density", "num_elements", "space_group"])
    summary = summarise(table, policies=policies, training=training, known=known)
    write_json(args.out / "summary.json", summary)
    provenance.write(
        args.out / "provenance.json", items=len(table), failed=int(table["failure"].notna().sum())
    )


def _joined(shards: Sequence[tuple[str, Path]]) -> pd.DataFrame:
    """The rows of all shards.

    Raises
    ------
    ValueError
        If a shard is of another policy, or a crystal is in two shards.
    """
    parts: list[pd.DataFrame] = []
    for policy, path in shards:
        part = read_table(path)
        if others := sorted({*part["policy"]} - {policy}):
            raise ValueError(f"{path} is a shard of {others[0]}, not of {policy}")
        parts.append(part)
    # A shard without rows does not show the types of its columns.
    table = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    repeated = table[table.duplicated(KEY)]
    if len(repeated):
        raise ValueError(f"id {repeated['id'].iloc[0]!r} occurs twice in the assessed shards")
    return table
