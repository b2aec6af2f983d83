"""Time of novelty and uniqueness, and the plain loop of StructureMatcher on a sample, in one run.

    python benchmarks/matching.py results/default/dataset/structures.parquet [--sample 500]

The crystals of the split ``test`` are asked for among those of ``train``, by pymatgen's default and
by the strict tolerances. The plain loop compares a sample of them, drawn from those that have a
formula in common, with every crystal of the same formula; the answers must be equal.
"""

import argparse
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from crystalformer_rl.config.judging import StrictTolerances, Tolerances
from crystalformer_rl.crystal.structures import COLUMNS, structures_of
from crystalformer_rl.evaluation.matching import (
    MatchingCell,
    ReferenceIndex,
    formula_key,
    matcher_of,
    unique_flags,
)
from crystalformer_rl.files import read_table


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("structures", type=Path, help="table of the dataset stage")
    parser.add_argument("--sample", type=int, default=500, help="crystals of the plain loop")
    args = parser.parse_args()

    start = time.perf_counter()
    table = read_table(args.structures, ["id", "split", *COLUMNS])
    test, train = (table[table["split"] == split] for split in ("test", "train"))
    asked = [MatchingCell(s) for s in structures_of(test) if s is not None]
    wanted = {candidate.formula for candidate in asked}
    train = train[[formula_key(numbers) in wanted for numbers in train["numbers"]]]
    known = [s for s in structures_of(train) if s is not None]
    index = ReferenceIndex(known, train["id"].astype(str).tolist())
    print(
        f"read, filter by formula, index: {time.perf_counter() - start:.1f} s; "
        f"{len(asked)} asked for among {(table['split'] == 'train').sum()}, {len(known)} of which "
        "share a formula"
    )
    answers = {}
    for tolerances in (Tolerances(), StrictTolerances()):
        matcher = matcher_of(**tolerances.model_dump())
        start = time.perf_counter()
        found = answers[type(tolerances)] = [index.match(one, matcher) for one in asked]
        middle = time.perf_counter()
        unique = unique_flags(asked, matcher)
        print(
            f"{type(tolerances).__name__}: {sum(name is None for name in found)} new in "
            f"{middle - start:.1f} s, {unique.flags.sum()} unique in "
            f"{time.perf_counter() - middle:.1f} s"
        )
    matcher = matcher_of(**Tolerances().model_dump())
    by_formula = defaultdict(list)
    for name, structure in zip(train["id"].astype(str), known, strict=True):
        by_formula[formula_key(structure.atomic_numbers)].append((name, structure))
    shared = [row for row, one in enumerate(asked) if one.formula in by_formula]
    count = min(args.sample, len(shared))
    rows = np.random.default_rng(0).choice(shared, count, replace=False)
    start = time.perf_counter()
    plain = [
        next(
            (
                name
                for name, one in by_formula[asked[row].formula]
                if matcher.fit(one, asked[row].structure)
            ),
            None,
        )
        for row in rows
    ]
    equal = sum(answers[Tolerances][row] == name for row, name in zip(rows, plain, strict=True))
    print(f"plain loop: {equal} of {count} equal, {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
