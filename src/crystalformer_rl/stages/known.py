"""``known``: properties of the dataset's crystals, with which the generated ones are compared.

A row for each crystal: mass density, number of elements, space group, and average minimum
distances. The last two take a minute for MP-20, and are the same for every policy.
"""

import argparse
from pathlib import Path

import pandas as pd

from crystalformer_rl.crystal.structures import COLUMNS
from crystalformer_rl.evaluation.known import describe
from crystalformer_rl.files import read_table, write_table
from crystalformer_rl.jobs.pool import spread
from crystalformer_rl.jobs.progress import progress
from crystalformer_rl.jobs.provenance import Provenance

CHUNK = 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument(
        "--structures", type=Path, required=True, help="table with the columns of a structure"
    )
    parser.add_argument("--processes", type=int, default=1, help="worker processes")
    parser.add_argument("--out", type=Path, required=True, help="parquet file to write")


def run(args: argparse.Namespace) -> None:
    """Write one row per crystal of the table, in its order, and the provenance."""
    provenance = Provenance(__name__, settings={}, inputs={"structures": args.structures})
    table = read_table(args.structures, ["id", *COLUMNS])
    parts = [table.iloc[start : start + CHUNK] for start in range(0, max(1, len(table)), CHUNK)]
    found = spread(describe, parts, processes=args.processes, window=2 * args.processes)
    described = pd.concat(list(progress(found, label="known", total=len(parts))))
    write_table(args.out, described.reset_index(drop=True))
    provenance.write(args.out.with_suffix(".provenance.json"), items=len(table))
