"""``evaluate``: the verdict on every generated crystal, and the numbers that follow from it."""

import argparse
import logging
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import pandas as pd

from crystalformer_rl.config import EvaluateSettings
from crystalformer_rl.config.judging import Tolerances
from crystalformer_rl.crystal.packed import PackedTokens
from crystalformer_rl.crystal.structures import structures_of
from crystalformer_rl.evaluation import second_opinion, verdict
from crystalformer_rl.evaluation.diversity import training_set
from crystalformer_rl.evaluation.generated import KEY, Generated, join
from crystalformer_rl.evaluation.matching import ReferenceIndex, formula_key, matcher_of
from crystalformer_rl.evaluation.sun import summarise
from crystalformer_rl.files import map_tensors, read_table, write_json, write_table
from crystalformer_rl.potentials.base import Evaluation, Failure, evaluate_each
from crystalformer_rl.potentials.registry import load
from crystalformer_rl.properties.heads import load_heads
from crystalformer_rl.provenance import Provenance
from crystalformer_rl.stages.devices import best_device
from crystalformer_rl.stages.hulls import hull_files, read_hull
from crystalformer_rl.stages.progress import progress
from crystalformer_rl.stages.shards import shards_by_policy

# The heads were trained on the crystal features of this potential and know no other.
FEATURES_OF = "chgnet"
CHUNK = 512

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--settings", required=True, help="the evaluate section, as JSON")
    parser.add_argument("--hull", type=Path, required=True, help="folder of the hull stage")
    parser.add_argument(
        "--structures", type=Path, required=True, help="table of the dataset: what is known"
    )
    parser.add_argument(
        "--training", type=Path, required=True, help="tokens of the training split: its variety"
    )
    for name, what in (("samples", "sample shards"), ("relaxed", "their relaxation shards")):
        parser.add_argument(
            f"--{name}",
            type=shards_by_policy,
            nargs="+",
            required=True,
            metavar="POLICY=FOLDER:COUNT",
            help=f"{what} of each policy",
        )
    parser.add_argument(
        "--comparison-hull", type=Path, help="folder of a hull to stand beside the first"
    )
    parser.add_argument("--judge-hull", type=Path, help="folder of the judge's hull")
    parser.add_argument(
        "--judged",
        type=shards_by_policy,
        nargs="+",
        default=[],
        metavar="POLICY=FOLDER:COUNT",
        help="relaxation shards of the judge, of each policy; with --judge-hull",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")


def run(args: argparse.Namespace) -> None:
    """Write ``structures.parquet``, ``summary.json`` and ``provenance.json`` into ``args.out``."""
    settings = EvaluateSettings.model_validate_json(args.settings)
    device = best_device()
    samples, relaxed = list(chain(*args.samples)), list(chain(*args.relaxed))
    judged = list(chain(*args.judged))
    if bool(judged) != (args.judge_hull is not None):
        raise ValueError("--judged and --judge-hull must be given together, or neither")
    provenance = Provenance(
        "evaluate",
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
    drawn = _read_shards(samples)
    generated = join(drawn, _read_shards(relaxed))
    log.info("%d generated crystals", len(generated.table))
    hull, references = read_hull(args.hull, energies_of=generated.table["potential"])
    stability = verdict.stability_columns(
        generated, hull=hull, references=references, stable_below=settings.stable_below
    )
    known, stable = _known(args.structures, generated), stability["stable"]
    tolerances = _tolerances(settings)
    matching = verdict.matching_columns(
        generated, stable=stable, known=known, matcher=matcher_of(**tolerances)
    )
    strict = verdict.strict_columns(
        generated, stable=stable, known=known, matcher=matcher_of(**_tolerances(settings.strict))
    )
    others: verdict.Columns = {}
    if args.comparison_hull:
        known_hull, its_references = read_hull(
            args.comparison_hull, energies_of=generated.table["potential"]
        )
        others |= verdict.comparison_columns(
            generated,
            hull=known_hull,
            references=its_references,
            stable_below=settings.stable_below,
        )
    if judged:
        opinions = _read_shards(judged)
        seen = drawn.set_index(KEY).index.isin(opinions.set_index(KEY).index)
        by_judge = join(drawn[seen], opinions)
        own_hull, own_references = read_hull(args.judge_hull, energies_of=opinions["potential"])
        others |= second_opinion.judge_columns(
            generated,
            by_judge,
            novel=matching["novel"],
            hull=own_hull,
            references=own_references,
            stable_below=settings.stable_below,
            matcher=matcher_of(**tolerances),
        )
    evaluations = _evaluate(generated, device=device)
    properties = verdict.property_columns(
        evaluations, {name: load_heads(name) for name in ("band_gap", "dielectric")}
    )
    failure = verdict.failures(
        generated,
        hull_status=stability["hull_status"],
        matching_problems=matching.pop("matching_problem"),
        evaluations=evaluations,
    )
    table = generated.table.drop(columns=["wyckoff", "status", "error", "decode_error"]).assign(
        prototype=pd.array(generated.prototypes(), dtype="str"),
        **verdict.validity_columns(generated.structures),
        **stability,
        **matching,
        **strict,
        rmsd=verdict.displacements(generated, **tolerances),
        **properties,
        **others,
        failure=pd.array(failure, dtype="str"),
    )
    write_table(args.out / "structures.parquet", table)
    write_json(args.out / "summary.json", summarise(table, training=training))
    provenance.write(args.out / "provenance.json", items=len(table), failed=_count(failure))


def _read_shards(shards: Sequence[tuple[str, Path]]) -> pd.DataFrame:
    return pd.concat(
        [read_table(path).assign(policy=policy) for policy, path in shards], ignore_index=True
    )


def _tolerances(settings: Tolerances) -> dict[str, float]:
    return {name: getattr(settings, name) for name in Tolerances.model_fields}


def _known(path: Path, generated: Generated) -> ReferenceIndex:
    """The crystals of the dataset, all splits, that share a formula with a generated one."""
    table = read_table(path, columns=["id", "lattice", "numbers", "positions"])
    wanted = {candidate.formula for candidate in generated.candidates if candidate is not None}
    same = [row for row, numbers in enumerate(table["numbers"]) if formula_key(numbers) in wanted]
    table = table.iloc[same]
    pairs = zip(table["id"], structures_of(table), strict=True)
    known = {str(name): structure for name, structure in pairs if structure is not None}
    log.info("%d known crystals share a formula", len(known))
    return ReferenceIndex(list(known.values()), list(known))


def _evaluate(generated: Generated, *, device: str) -> list[Evaluation | Failure | None]:
    """Features of the relaxed crystals; None where there is none."""
    rows = [row for row, structure in enumerate(generated.relaxed) if structure is not None]
    answers: list[Evaluation | Failure | None] = [None] * len(generated.relaxed)
    potential = load(FEATURES_OF, device=device)
    for start in progress(range(0, len(rows), CHUNK), label="evaluate"):
        part = rows[start : start + CHUNK]
        found = evaluate_each(potential, [generated.relaxed[row] for row in part])
        for row, answer in zip(part, found, strict=True):
            answers[row] = answer
    return answers


def _count(failure: Sequence[str | None]) -> int:
    return sum(reason is not None for reason in failure)
