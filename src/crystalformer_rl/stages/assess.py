"""``assess``: evaluate one shard of crystals, apart from their uniqueness.

Validity, stability, novelty and predicted properties of a crystal do not depend on the others of
the run, so that shards are evaluated by separate jobs. Finished crystals are kept in a journal,
from which an interrupted job continues. The workflow deletes the journal (jobs/cleanup.py).
"""

import argparse
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from crystalformer_rl.config import EvaluateSettings, canonical
from crystalformer_rl.crystal.structures import COLUMNS
from crystalformer_rl.evaluation.evaluator import Evaluator, known_among
from crystalformer_rl.evaluation.generated import INTERNAL, KEY, merge
from crystalformer_rl.files import read_table, write_table
from crystalformer_rl.jobs.device import best_device
from crystalformer_rl.jobs.fingerprint import fingerprint
from crystalformer_rl.jobs.interruption import Termination
from crystalformer_rl.jobs.journal import Journal
from crystalformer_rl.jobs.provenance import Provenance
from crystalformer_rl.potentials.registry import load
from crystalformer_rl.properties import FEATURES_OF
from crystalformer_rl.properties.ensemble import load_ensemble
from crystalformer_rl.seeds import file_digest
from crystalformer_rl.stability.reference import ReferenceHull, hull_files

# Crystals of a line of the journal: a second's work. The same ones always go to the potential
# together, so that an interruption does not change the result by a single bit.
CHUNK = 20

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--settings", required=True, help="the evaluate section, as JSON")
    parser.add_argument("--policy", required=True, help="name of the policy of the shard")
    parser.add_argument("--sample", type=Path, required=True, help="shard of the sample stage")
    parser.add_argument("--relaxed", type=Path, required=True, help="the same shard, relaxed")
    parser.add_argument("--hull", type=Path, required=True, help="folder of the hull stage")
    parser.add_argument(
        "--structures", type=Path, required=True, help="table of the dataset: the known crystals"
    )
    parser.add_argument(
        "--known", type=Path, required=True, help="table of the known stage, to compare with"
    )
    parser.add_argument(
        "--comparison-hull", type=Path, help="folder of a second hull to compare with"
    )
    parser.add_argument("--judge-hull", type=Path, help="folder of the judge's hull")
    parser.add_argument(
        "--judged", type=Path, help="the same shard, relaxed by the judge; with --judge-hull"
    )
    parser.add_argument(
        "--journal", type=Path, required=True, help="file that survives an interruption"
    )
    parser.add_argument("--out", type=Path, required=True, help="parquet file to write")


def run(args: argparse.Namespace) -> None:
    """Write one row per crystal of the shard, including failures, and the provenance.

    SIGTERM ends the process with code 75.
    """
    with Termination() as termination:
        _assess(args, termination)


def _assess(args: argparse.Namespace, termination: Termination) -> None:
    settings = EvaluateSettings.model_validate_json(args.settings)
    if (args.judged is None) != (args.judge_hull is None):
        raise ValueError("--judged and --judge-hull must be given together")
    device, inputs = best_device(), _inputs(args)
    provenance = Provenance(
        __name__,
        potential=FEATURES_OF,
        settings=settings.model_dump(mode="json"),
        inputs=inputs,
        device=device,
    )
    samples = _read_shard(args.sample, args.policy)
    table = merge(samples, _read_shard(args.relaxed, args.policy))
    by_judge = merge(samples, _read_shard(args.judged, args.policy)) if args.judged else None
    features = load(FEATURES_OF, device=device)
    journal = Journal(
        args.journal,
        key={
            "settings": canonical(settings),
            "inputs": {
                name: [file_digest(path) for path in paths] for name, paths in inputs.items()
            },
            "potential": features.digest,
            "code": fingerprint(__name__, potential=FEATURES_OF),
            "device": device,
        },
    )
    evaluator = Evaluator(
        settings=settings,
        hull=ReferenceHull.load(args.hull, energies_of=table["potential"]),
        known=known_among(read_table(args.structures, columns=["id", *COLUMNS]), table),
        described=read_table(args.known, ["id", "amd"]),
        features=features,
        property_models={name: load_ensemble(name) for name in ("band_gap", "dielectric")},
        comparison=_hull(args.comparison_hull, table),
        judge=_hull(args.judge_hull, by_judge),
    )
    if found := _number_of(journal.found, table):
        log.info("%d of %d crystals are in journal %s", found, len(table), args.journal)
    results = _results(evaluator, table, by_judge, journal, termination)
    part = table.drop(columns=list(INTERNAL)).join(results)
    write_table(args.out, part)
    provenance.write(
        args.out.with_suffix(".provenance.json"),
        items=len(part) - found,
        failed=int(part["failure"].notna().sum()),
    )


def _results(
    evaluator: Evaluator,
    table: pd.DataFrame,
    by_judge: pd.DataFrame | None,
    journal: Journal,
    termination: Termination,
) -> pd.DataFrame:
    """The columns of the evaluator, from the journal as far as it has them."""
    values = dict(journal.found)
    # A shard without crystals must have the columns, too.
    starts = range(0, max(1, len(table)), CHUNK)
    for start in starts:
        if start not in values:
            rows = slice(start, start + CHUNK)
            seen = None if by_judge is None else by_judge.iloc[rows]
            values[start] = _to_json(evaluator.evaluate(table.iloc[rows], seen))
            journal.append(start, values[start])
            log.info("%d of %d crystals evaluated", _number_of(values, table), len(table))
            termination.exit_if_requested()
    return pd.concat([_from_json(values[start]) for start in starts], ignore_index=True)


def _number_of(starts: Iterable[int], table: pd.DataFrame) -> int:
    return sum(len(table.iloc[start : start + CHUNK]) for start in starts)


def _hull(folder: Path | None, table: pd.DataFrame | None) -> ReferenceHull | None:
    if folder is None or table is None:
        return None
    return ReferenceHull.load(folder, energies_of=table["potential"])


def _inputs(args: argparse.Namespace) -> dict[str, list[Path]]:
    hulls = {
        "hull": args.hull, "comparison_hull": args.comparison_hull, "judge_hull": args.judge_hull,
    }  # fmt: skip
    return {
        **{name: hull_files(folder) if folder else [] for name, folder in hulls.items()},
        "structures": [args.structures],
        "known": [args.known],
        "sample": [args.sample],
        "relaxed": [args.relaxed],
        "judged": [args.judged] if args.judged else [],
    }


def _read_shard(path: Path, policy: str) -> pd.DataFrame:
    # A shard without rows does not show the types of its columns.
    return read_table(path).assign(policy=policy).astype(dict.fromkeys(KEY, "str"))


def _to_json(columns: pd.DataFrame) -> dict[str, Any]:
    """Columns of scalars with their types, for the journal; null for NaN."""
    return {
        str(name): {
            "type": str(column.dtype),
            "values": column.astype(object).where(column.notna(), None).tolist(),
        }
        for name, column in columns.items()
    }


def _from_json(value: Mapping[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(
        {name: pd.array(column["values"], dtype=column["type"]) for name, column in value.items()}
    )
