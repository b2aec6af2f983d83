"""``mine``: the best of all crystals that a branch of RL has sampled.

A branch keeps every crystal of every step in crystals.parquet, one file per round. `mine` takes the
best with a reward, one of each composition and space group, and writes them as `sample` does, with
their numbers in FILE.csv.

examples:
  the hundred with the highest reward, as CIFs
    crystalformer-rl mine --crystals results/default/rl-fom/round-*/crystals.parquet --out finds
  the 50 with the lowest energy above hull, and where in the dataset their formulas are
    crystalformer-rl mine --crystals results/default/rl-ehull/round-*/crystals.parquet \\
        --by e_above_hull --lowest -n 50 --dataset results/default/dataset/structures.parquet \\
        --out finds.extxyz

The numbers are those of the crystals as sampled. Relax the file with suffix .parquet by
`crystalformer-rl relax` before you trust them.
"""

import argparse
from pathlib import Path

import pandas as pd

from crystalformer_rl.crystal.token_table import TOKEN_COLUMNS, tokens_of
from crystalformer_rl.crystal.writers import FORMATS, check_out, crystal_table, write_crystals
from crystalformer_rl.files import read_table, write_text
from crystalformer_rl.jobs.provenance import Provenance
from crystalformer_rl.stages import options as flags
from crystalformer_rl.training.elites import DISTINCT


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    flags.add_examples(parser, __doc__)
    parser.add_argument(
        "--crystals",
        type=Path,
        nargs="+",
        required=True,
        metavar="FILE",
        help="crystals.parquet of the rounds of a branch",
    )
    parser.add_argument(
        "-n", "--count", type=int, default=100, help="largest number of crystals (default: 100)"
    )
    parser.add_argument(
        "--by", default="value", metavar="COLUMN", help="rank by this number (default: value)"
    )
    parser.add_argument(
        "--lowest", action="store_true", help="the lowest are the best (default: the highest)"
    )
    parser.add_argument(
        "--dataset",
        type=Path,
        metavar="FILE",
        help="structures.parquet of the dataset stage: adds the column known_in, the splits that "
        "have a crystal of the same formula",
    )
    parser.add_argument(
        "--novel", action="store_true", help="only formulas that the dataset does not have"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help=f"output file; its suffix selects the format: {FORMATS}",
    )


def run(args: argparse.Namespace) -> None:
    """Write the crystals, a table of their numbers, and the provenance.

    Raises
    ------
    ValueError
        If a file cannot be read, the column does not exist, or no crystal has a reward.
    """
    check_out(args.out)
    if args.novel and args.dataset is None:
        raise ValueError("--novel needs the dataset: give its structures.parquet with --dataset")
    provenance = Provenance(
        __name__,
        settings={name: getattr(args, name) for name in ("count", "by", "lowest", "novel")},
        inputs={
            "crystals": args.crystals,
            **({"dataset": args.dataset} if args.dataset else {}),
        },
    )
    table = pd.concat([read_table(path) for path in args.crystals], ignore_index=True)
    best = ranked(table, by=args.by, lowest=args.lowest)
    if args.dataset is not None:
        best["known_in"] = best["formula"].map(_splits(args.dataset)).fillna("")
        if args.novel:
            best = best[best["known_in"] == ""]
    if best.empty:
        raise ValueError(f"--crystals: none of {len(table)} crystals is selected")
    best = best.head(args.count).reset_index(drop=True)
    crystals = crystal_table(tokens_of(best), best["log_prob"].to_numpy(), prefix="find")
    numbers = best.drop(columns=[*TOKEN_COLUMNS, "log_prob"])
    found = pd.concat([crystals, numbers], axis=1)
    write_crystals(args.out, found)
    listed = found[["id", "space_group", *numbers.columns, "log_prob"]]
    write_text(args.out.with_suffix(".csv"), listed.to_csv(index=False, float_format="%.6g"))
    provenance.write(args.out.with_suffix(".provenance.json"), items=len(found), sampled=len(table))


def ranked(table: pd.DataFrame, *, by: str, lowest: bool = False) -> pd.DataFrame:
    """The crystals with a reward, best first, one of each composition and space group.

    Of equally good ones the first that was sampled comes first.

    Raises
    ------
    ValueError
        If there is no column of numbers ``by``.
    """
    allowed = table.select_dtypes("number").columns
    if by not in allowed:
        raise ValueError(f"--by {by}: no such number; the table has {', '.join(allowed)}")
    counted = table[table["valid"] & table[by].notna()]
    order = counted.sort_values(by, ascending=lowest, kind="stable")
    return order.drop_duplicates(DISTINCT)


def _splits(path: Path) -> "pd.Series[str]":
    """The splits with a crystal of each formula, such as ``train, val``."""
    known = read_table(path, ["formula", "split"]).drop_duplicates()
    return known.groupby("formula")["split"].agg(", ".join)
