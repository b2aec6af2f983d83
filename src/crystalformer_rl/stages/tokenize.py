"""Stage ``tokenize``: structures to tokens, per split."""

import argparse
import json
import logging
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from crystalformer_rl.config import TokenizeSettings
from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.crystal.packed import PackedTokens
from crystalformer_rl.crystal.structures import (
    COLUMNS,
    REJECTED_COLUMNS,
    SPLITS,
    readable_cells,
)
from crystalformer_rl.crystal.tokenizer import Rejection, tokenize_many
from crystalformer_rl.files import read_table, write_json, write_table, write_tensors
from crystalformer_rl.jobs.progress import counted, progress
from crystalformer_rl.jobs.provenance import Provenance

WINDOW = 10_000

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``crystalformer-rl tokenize``."""
    parser.add_argument("--settings", required=True, help="tokenize section, as JSON")
    parser.add_argument("--structures", type=Path, required=True, help="structures.parquet")
    parser.add_argument("--processes", type=int, default=1, help="worker processes")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")


def run(args: argparse.Namespace) -> None:
    """Call :func:`tokenize_structures` with the arguments of the verb."""
    tokenize_structures(
        TokenizeSettings.model_validate_json(args.settings),
        structures=args.structures,
        processes=args.processes,
        out=args.out,
    )


def tokenize_structures(
    settings: TokenizeSettings, *, structures: Path, processes: int, out: Path
) -> None:
    """Write ``tokens-{train,val,test}.safetensors``, ``rejected.parquet``, ``space_groups.json``.

    A tokens file holds the arrays of ``PackedTokens``, and ``row``, the row of each crystal in
    structures.parquet. Only crystals whose tokens lead back to the structure are kept.

    Raises
    ------
    ValueError
        If the table cannot be read, or none of the training split is kept.
    """
    provenance = Provenance(
        __name__,
        settings=settings.model_dump(mode="json"),
        inputs={"structures": structures},
    )
    table = read_table(structures, ["id", "split", *COLUMNS])
    tokens, kept, rejected = tokenize_many(
        _cells(table),
        symprec=settings.symprec,
        max_sites=settings.max_sites,
        processes=processes,
        track=partial(progress, label="tokenize", total=len(table)),
    )
    reasons = Counter(rejection.reason for _, rejection in rejected)
    log.info("kept %d of %d; rejected: %s", len(kept), len(table), counted(reasons))
    split_of_kept = table["split"].to_numpy()[kept]
    if not (split_of_kept == "train").any():
        raise ValueError(
            f"{structures}: no crystal of split 'train' could be tokenized; "
            f"rejected of all splits: {counted(reasons)}"
        )
    histograms = {}
    for split in SPLITS:
        chosen = np.flatnonzero(split_of_kept == split)
        part = tokens[chosen]
        write_tensors(
            out / f"tokens-{split}.safetensors",
            PackedTokens.from_tokens(part).to_arrays() | {"row": kept[chosen]},
            {"settings": json.dumps(settings.model_dump(mode="json"), sort_keys=True)},
        )
        groups, numbers = np.unique(part.space_group, return_counts=True)
        histograms[split] = dict(zip(map(str, groups.tolist()), numbers.tolist(), strict=True))
    write_json(out / "space_groups.json", histograms)
    write_table(
        out / "rejected.parquet",
        pd.DataFrame(
            [
                (table["id"][index], table["split"][index], rejection.reason, rejection.detail)
                for index, rejection in rejected
            ],
            columns=list(REJECTED_COLUMNS),
            dtype="str",
        ),
    )
    provenance.write(
        out / "provenance.json",
        items=len(table),
        processes=processes,
        **{f"kept_{split}": int((split_of_kept == split).sum()) for split in SPLITS},
        **{f"rejected_{reason}": number for reason, number in sorted(reasons.items())},
    )


def _cells(table: pd.DataFrame) -> Iterator[Cell | Rejection]:
    """The crystals of a table, a few at a time; rows that cannot be read are rejected."""
    for start in range(0, len(table), WINDOW):
        crystals, faults = readable_cells(table.iloc[start : start + WINDOW])
        for place, cell in enumerate(crystals):
            if cell is None:
                yield Rejection("unreadable", faults.get(place, "the row has no structure"))
            else:
                yield cell
