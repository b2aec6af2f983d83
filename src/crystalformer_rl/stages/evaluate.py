"""``evaluate``: validity, stability and novelty of every generated crystal, and their summary."""

import argparse
import logging
from collections.abc import Sequence
from functools import partial
from itertools import chain
from pathlib import Path

import pandas as pd
from pymatgen.core import Structure

from crystalformer_rl.config import EvaluateSettings
from crystalformer_rl.crystal.packed import PackedTokens
from crystalformer_rl.crystal.structures import COLUMNS
from crystalformer_rl.evaluation import columns
from crystalformer_rl.evaluation.diversity import training_set
from crystalformer_rl.evaluation.evaluator import Evaluator
from crystalformer_rl.evaluation.generated import KEY, merge
from crystalformer_rl.evaluation.sun import summarise
from crystalformer_rl.files import map_tensors, read_table, write_json, write_table
from crystalformer_rl.jobs.device import best_device
from crystalformer_rl.jobs.progress import progress
from crystalformer_rl.jobs.provenance import Provenance
from crystalformer_rl.layout import shards_by_policy
from crystalformer_rl.potentials.base import Evaluation, Failure, Potential, evaluate_each
from crystalformer_rl.potentials.registry import load
from crystalformer_rl.properties import FEATURES_OF
from crystalformer_rl.properties.ensemble import load_ensemble
from crystalformer_rl.stability.reference import ReferenceHull, hull_files

CHUNK = 512

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--settings", required=True, help="the evaluate section, as JSON")
    parser.add_argument("--hull", type=Path, required=True, help="folder of the hull stage")
    parser.add_argument(
        "--structures", type=Path, required=True, help="table of the dataset: the known crystals"
    )
    parser.add_argument(
        "--training", type=Path, required=True, help="tokens of the training split, for coverage"
    )
    parser.add_argument(
        "--samples",
        type=shards_by_policy,
        nargs="+",
        required=True,
        metavar="POLICY=FOLDER:COUNT",
        help="sample shards of each policy",
    )
    parser.add_argument(
        "--relaxed",
        type=shards_by_policy,
        nargs="+",
        required=True,
        metavar="POLICY=FOLDER:COUNT",
        help="relaxation shards of each policy",
    )
    parser.add_argument(
        "--comparison-hull", type=Path, help="folder of a second hull to compare with"
    )
    parser.add_argument("--judge-hull", type=Path, help="folder of the judge's hull")
    parser.add_argument(
        "--judged",
        type=shards_by_policy,
        nargs="+",
        default=[],
        metavar="POLICY=FOLDER:COUNT",
        help="relaxation shards of each policy by the judge; with --judge-hull",
    )
    parser.add_argument("--processes", type=int, default=1, help="worker processes")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")


def run(args: argparse.Namespace) -> None:
    """Write ``structures.parquet``, ``summary.json`` and ``provenance.json`` into ``args.out``."""
    settings = EvaluateSettings.model_validate_json(args.settings)
    device = best_device()
    samples, relaxed = list(chain(*args.samples)), list(chain(*args.relaxed))
    judged = list(chain(*args.judged))
    if bool(judged) != (args.judge_hull is not None):
        raise ValueError("--judged and --judge-hull must be given together")
    provenance = Provenance(
        __name__,
        potential=FEATURES_OF,
        settings=settings.model_dump(mode="json"),
        inputs={
            "hull": hull_files(args.hull),
            "structures": args.structures,
            "training": args.training,
            "samples": [path for _, path in samples],
            "relaxed": [path for _, path in relaxed],
            "judged": [path for _, path in judged],
            "judge_hull": hull_files(args.judge_hull) if judged else [],
            "comparison_hull": hull_files(args.comparison_hull) if args.comparison_hull else [],
        },
        device=device,
    )
    training = training_set(PackedTokens.from_arrays(map_tensors(args.training)))
    table = merge(_read_shards(samples), _read_shards(relaxed))
    log.info("%d generated crystals", len(table))
    by_judge, judge, comparison = None, None, None
    if judged:
        by_judge = _read_shards(judged)
        judge = ReferenceHull.load(args.judge_hull, energies_of=by_judge["potential"])
    if args.comparison_hull:
        comparison = ReferenceHull.load(args.comparison_hull, energies_of=table["potential"])
    evaluator = Evaluator(
        settings=settings,
        hull=ReferenceHull.load(args.hull, energies_of=table["potential"]),
        known=read_table(args.structures, columns=["id", *COLUMNS]),
        features=partial(_features, load(FEATURES_OF, device=device)),
        property_models={name: load_ensemble(name) for name in ("band_gap", "dielectric")},
        comparison=comparison,
        judge=judge,
    )
    table = evaluator.evaluate(table, by_judge, processes=args.processes)
    keys = ((columns.HULL, comparison), (columns.JUDGE, judge))
    columns.check(table, keys=[key for key, hull in keys if hull is not None])
    write_table(args.out / "structures.parquet", table)
    policies = list(dict.fromkeys(policy for policy, _ in samples))
    summary = summarise(table, policies=policies, training=training)
    write_json(args.out / "summary.json", summary)
    provenance.write(
        args.out / "provenance.json", items=len(table), failed=int(table["failure"].notna().sum())
    )


def _read_shards(shards: Sequence[tuple[str, Path]]) -> pd.DataFrame:
    # A shard without rows does not show the types of its columns.
    names = dict.fromkeys(KEY, "str")
    return pd.concat(
        [read_table(path).assign(policy=policy).astype(names) for policy, path in shards],
        ignore_index=True,
    )


def _features(
    potential: Potential, structures: Sequence[Structure | None]
) -> list[Evaluation | Failure | None]:
    """Evaluations with the features of crystals; None where there is no crystal."""
    rows = [row for row, structure in enumerate(structures) if structure is not None]
    answers: list[Evaluation | Failure | None] = [None] * len(structures)
    for start in progress(range(0, len(rows), CHUNK), label="evaluate"):
        part = rows[start : start + CHUNK]
        found = evaluate_each(potential, [structures[row] for row in part])
        for row, answer in zip(part, found, strict=True):
            answers[row] = answer
    return answers
