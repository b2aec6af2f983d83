"""Time and memory of the join of many assessed crystals.

    python benchmarks/evaluation_at_scale.py \
        --structures results/default/dataset/structures.parquet \
        --training results/default/tokenize/tokens-train.safetensors \
        --known results/default/known/known.parquet \
        [--rows 1000000] [--processes 2]

The crystals are those of --structures; where more are asked for, the same with every element
replaced by the next one, and so on, so that as many share a formula as in the dataset. All of them
are called stable and novel, in shards of 10,000. `evaluate` does everything that it does with a
table of this size: shards are read and joined, crystals compared, summarised and written.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crystalformer_rl.config import EvaluateSettings
from crystalformer_rl.evaluation.columns import COLUMNS
from crystalformer_rl.files import read_table, write_table
from crystalformer_rl.stages import evaluate

SHARD = 10_000
ELEMENTS = 89
LISTS = ("lattice", "numbers", "positions")
OF_THE_JOIN = (
    "unique", "representative", "stable_unique", "sun", "unique_strict", "stable_unique_strict",
    "sun_strict",
)  # fmt: skip
FILL = {"text": "x", "flag": True, "integer": 3, "number": 0.05}
WORDS = {"relax_status": "converged", "hull_status": "ok", "potential": "chgnet", "policy": "base"}


def main() -> None:
    """Print seconds and GiB."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name in ("structures", "training", "known"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--processes", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shards = write_shards(folder, read_table(args.structures), rows=args.rows)
        stage = argparse.ArgumentParser()
        evaluate.add_arguments(stage)
        words = ["--settings", EvaluateSettings().model_dump_json()]
        words += ["--training", str(args.training), "--known", str(args.known)]
        words += ["--assessed", f"base={folder}:{shards}"]
        words += ["--processes", str(args.processes), "--out", f"{folder}/out"]
        start = time.perf_counter()
        evaluate.run(stage.parse_args(words))
        seconds = time.perf_counter() - start
        size = (folder / "out/structures.parquet").stat().st_size / 2**20
        found = read_table(folder / "out/structures.parquet", columns=["unique"])
    print(
        f"{args.rows} rows, {found['unique'].sum()} unique, in {seconds:.0f} s; peak "
        f"{peak():.2f} GiB, of a worker at most {peak(resource.RUSAGE_CHILDREN):.2f} GiB; table of "
        f"{size:.0f} MiB"
    )


def write_shards(folder: Path, known: pd.DataFrame, *, rows: int) -> int:
    """Assessed shards; how many."""
    for shard, start in enumerate(range(0, rows, SHARD)):
        places = np.arange(start, min(start + SHARD, rows))
        crystals = known[list(LISTS)].iloc[places % len(known)].reset_index(drop=True)
        shifts = places // len(known)
        crystals["numbers"] = [
            shifted(one, by) for one, by in zip(crystals["numbers"], shifts, strict=True)
        ]
        columns = {
            column.name: FILL[column.type]
            for column in COLUMNS
            if column.type in FILL and not column.only_with and column.name not in OF_THE_JOIN
        }
        table = pd.DataFrame(columns | WORDS, index=crystals.index).assign(
            id=[f"base-{place}" for place in places],
            failure=None,
            formula="NaCl",
            **crystals,
            **crystals.add_prefix("relaxed_"),
        )
        write_table(folder / f"shard-{shard:04d}.parquet", table)
    return shard + 1


def shifted(numbers: NDArray[np.int64], by: int) -> NDArray[np.int64]:
    """Atomic numbers, each moved up by ``by`` elements; from 1 again after the last."""
    return np.asarray((numbers - 1 + by) % ELEMENTS + 1)


def peak(who: int = resource.RUSAGE_SELF) -> float:
    """GiB that this process has held at most; or the one of its ended children that held most."""
    return resource.getrusage(who).ru_maxrss / 2**20


if __name__ == "__main__":
    main()
