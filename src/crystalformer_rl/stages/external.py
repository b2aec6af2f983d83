"""``external``: crystals of another generator, as shards of the same form as those of ``sample``.

Every row of the source is a row of a shard, in the order of the source. A row that cannot be read,
or that has the id of a row before, has no structure and says why in ``decode_error``. ln p is null:
no policy of this run gives one. Space group and tokens are those of the crystal as it is given;
they are null if no symmetry is found, or if the tokens do not lead back to the crystal.
"""

import argparse
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pymatgen.core import Structure

from crystalformer_rl.crystal.readers import HIDDEN, open_source, source_files
from crystalformer_rl.crystal.rows import Row, Source, listing
from crystalformer_rl.crystal.structures import structure_columns
from crystalformer_rl.crystal.symmetry import PRIMITIVE_SYMPREC, primitive
from crystalformer_rl.crystal.tokenizer import Rejection, SiteTokens, tokenize
from crystalformer_rl.files import write_table
from crystalformer_rl.jobs.progress import counted, progress
from crystalformer_rl.jobs.provenance import Provenance
from crystalformer_rl.layout import shard_name
from crystalformer_rl.manifest import verify

# Sites are no reason to reject a crystal that no transformer has to read.
ANY_NUMBER = 10**9

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class External:
    """A crystal of another generator.

    Attributes
    ----------
    id
        Unique within its source.
    structure
        In a primitive cell; None if there is an ``error``.
    tokens
        None if the crystal cannot be tokenized.
    error
        The kind of what is wrong, a colon and the particulars; or None.
    """

    id: str
    structure: Structure | None
    tokens: SiteTokens | None
    error: str | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument(
        "--source", type=Path, required=True, help="file or folder of the other generator"
    )
    parser.add_argument("--count", type=int, required=True, help="the first crystals that are read")
    parser.add_argument("--shard-size", type=int, required=True, help="crystals per shard")
    parser.add_argument("--symprec", type=float, required=True, help="symmetry tolerance, Å")
    parser.add_argument(
        "--merge-below", type=float, required=True, help="images of a CIF site that are one atom, Å"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the shards")


def run(args: argparse.Namespace) -> None:
    """Call :func:`write_shards` with the arguments of the verb."""
    write_shards(
        args.source,
        args.out,
        count=args.count,
        shard_size=args.shard_size,
        symprec=args.symprec,
        merge_below=args.merge_below,
    )


def write_shards(
    path: Path,
    out: Path,
    *,
    count: int | None,
    shard_size: int,
    symprec: float,
    merge_below: float,
) -> int:
    """Write the first ``count`` crystals of a source as shards, each with its provenance.

    There are as many shards as ``count`` crystals need. If the source has fewer crystals, the last
    shards have fewer rows, or none. None: all crystals, and as many shards as they need.

    Returns
    -------
    int
        The number of crystals that were written.

    Raises
    ------
    FileNotFoundError, ValueError
        If the source is missing, cannot be read at all, or has no crystal that can be read.
    """
    source = open_source(path, merge_below=merge_below)
    files = source_files(path)
    verify(files)
    settings = {
        "count": count, "shard_size": shard_size, "symprec": symprec, "merge_below": merge_below
    }  # fmt: skip
    provenance = Provenance(__name__, settings=settings, inputs={"source": files})
    rows = _rows(source)
    chosen = rows[:count]
    found = list(progress(_externals(chosen, symprec), label="external", total=len(chosen)))
    log.info("%s: %d of %d crystals", path, len(found), len(rows))
    _report_unread(path, found)
    for number in range(-(-(count or len(found)) // shard_size)):
        part = found[number * shard_size : (number + 1) * shard_size]
        shard = out / shard_name(number, "parquet")
        write_table(shard, shard_table(part))
        provenance.write(
            shard.with_suffix(".provenance.json"),
            items=len(part),
            in_source=len(rows),
            unread=sum(one.error is not None for one in part),
            without_tokens=sum(one.tokens is None for one in part),
        )
    return len(found)


def _rows(source: Source) -> list[Row]:
    """The rows of the crystals; the log names the files of a folder or archive that are none."""
    every = list(source.read())
    rows = [row for row in every if row.reason != "left_out"]
    if not rows:
        raise ValueError(f"{source.path}: there is no crystal in it")
    if others := [row.id for row in every if row.reason == "left_out" and row.error != HIDDEN]:
        log.warning("%s: not read, because they are not CIFs: %s", source.path, listing(others))
    if all(row.reason == "unreadable" for row in rows):
        raise ValueError(
            f"{source.path}: none of its crystals can be read; {rows[0].id}: {rows[0].error}"
        )
    return rows


def _report_unread(path: Path, crystals: Sequence[External]) -> None:
    """Say in the log why crystals have no structure, with an example of each reason."""
    unread = [(one, one.error) for one in crystals if one.error is not None]
    reasons = Counter(error.partition(":")[0] for _, error in unread)
    if reasons:
        log.warning("%s: not read: %s", path, counted(reasons))
    for reason in reasons:
        first, error = next(pair for pair in unread if pair[1].startswith(f"{reason}:"))
        log.warning("%s: %s", first.id, error)


def _externals(rows: Sequence[Row], symprec: float) -> Iterator[External]:
    ids: set[str] = set()
    given = {row.id for row in rows}
    for place, row in enumerate(rows):
        if row.id in ids:
            error = f"repeated_id: a crystal before has the id {row.id}"
            own = f"{row.id}#{place}"
            while own in given:
                own += "#"
            yield External(own, None, None, error)
            continue
        ids.add(row.id)
        if row.cell is None:
            yield External(row.id, None, None, f"{row.reason}: {row.error}")
            continue
        structure = primitive(row.cell, symprec=PRIMITIVE_SYMPREC).structure()
        tokens = tokenize(structure, symprec=symprec, max_sites=ANY_NUMBER)
        if isinstance(tokens, Rejection):
            log.info("%s has no tokens: %s %s", row.id, tokens.reason, tokens.detail)
            yield External(row.id, structure, None, None)
        else:
            yield External(row.id, structure, tokens, None)


def shard_table(crystals: Sequence[External]) -> pd.DataFrame:
    """Rows with the columns of :func:`~crystalformer_rl.crystal.writers.crystal_table`."""

    def of_tokens(read: Callable[[SiteTokens], Any]) -> list[Any]:
        return [None if one.tokens is None else read(one.tokens) for one in crystals]

    return pd.DataFrame(
        {
            "id": pd.Series([one.id for one in crystals], dtype="str"),
            "space_group": pd.array(of_tokens(lambda t: t.space_group), dtype="Int64"),
            "num_sites": pd.array(of_tokens(lambda t: len(t.wyckoff)), dtype="Int64"),
            "wyckoff": of_tokens(lambda t: t.wyckoff),
            "element": of_tokens(lambda t: t.element),
            "site_positions": of_tokens(lambda t: t.position.ravel()),
            "token_lattice": of_tokens(lambda t: t.lattice),
            "log_prob": np.full(len(crystals), np.nan),
            "decode_error": pd.Series([one.error for one in crystals], dtype="string"),
            **structure_columns([one.structure for one in crystals]),
        }
    )
