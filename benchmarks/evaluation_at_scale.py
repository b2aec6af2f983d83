"""Memory of the evaluation of a million samples.

    python benchmarks/evaluation_at_scale.py --hull results/default/hull \
        --structures results/default/dataset/structures.parquet \
        --training results/default/tokenize/tokens-train.safetensors \
        [--rows 1000000] [--batch-size 10000]

The samples are crystals of --structures, repeated under new ids, in shards of 10,000. Everything
that `evaluate` does with a table of this size is done: shards are read, joined, divided into
batches, put together, summarised and written. Only the first batch is evaluated, which takes some
hundredths of a second for each crystal; its columns are repeated for the other batches.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd

from crystalformer_rl.config import EvaluateSettings
from crystalformer_rl.evaluation import evaluator
from crystalformer_rl.evaluation.batch import BatchEvaluator, FormulaBatch
from crystalformer_rl.evaluation.evaluator import BATCH_SIZE, Evaluator
from crystalformer_rl.files import read_table, write_table
from crystalformer_rl.stages import evaluate

SHARD = 10_000


class FirstBatchEvaluator(BatchEvaluator):
    """Evaluates the first batch and repeats its results for the others."""

    found: pd.DataFrame | None = None

    def __call__(self, batch: FormulaBatch) -> pd.DataFrame:
        if FirstBatchEvaluator.found is None:
            start = time.perf_counter()
            FirstBatchEvaluator.found = super().__call__(batch)
            seconds = time.perf_counter() - start
            print(
                f"{len(batch.rows)} evaluated in {seconds:.0f} s; peak {peak():.2f} GiB", flush=True
            )
        return repeated(FirstBatchEvaluator.found, batch.rows)


class OneEvaluator(Evaluator):
    """Predicts the properties of the first crystals and repeats them for the others."""

    def _properties(self, table: pd.DataFrame, size: int) -> pd.DataFrame:
        start = time.perf_counter()
        found = super()._properties(table.iloc[:size], size)
        seconds = time.perf_counter() - start
        print(f"{len(found)} predicted in {seconds:.0f} s; peak {peak():.2f} GiB", flush=True)
        return repeated(found, table.index)


def repeated(found: pd.DataFrame, rows: Collection[int]) -> pd.DataFrame:
    """The rows of ``found`` over and over, under the names ``rows``."""
    return found.iloc[np.arange(len(rows)) % len(found)].set_axis(rows, axis=0)


def main() -> None:
    """Print seconds and GiB."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name in ("hull", "structures", "training"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--batch-size", type=int, default=BATCH_SIZE)
    args = parser.parse_args()
    Evaluator.evaluate.__kwdefaults__["batch_size"] = args.batch_size
    evaluate.Evaluator, evaluator.BatchEvaluator = OneEvaluator, FirstBatchEvaluator
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shards = write_shards(folder, read_table(args.structures), rows=args.rows)
        stage = argparse.ArgumentParser()
        evaluate.add_arguments(stage)
        words = ["--settings", EvaluateSettings().model_dump_json(), "--hull", str(args.hull)]
        words += ["--structures", str(args.structures), "--training", str(args.training)]
        words += ["--samples", f"base={folder}/sample:{shards}"]
        words += ["--relaxed", f"base={folder}/relax:{shards}", "--out", f"{folder}/out"]
        start = time.perf_counter()
        evaluate.run(stage.parse_args(words))
        size = (folder / "out/structures.parquet").stat().st_size / 2**20
    seconds = time.perf_counter() - start
    worker = peak(resource.RUSAGE_CHILDREN)
    print(
        f"{args.rows} rows in {seconds:.0f} s; peak {peak():.2f} GiB, of a worker at most "
        f"{worker:.2f} GiB; table of {size:.0f} MiB"
    )


def write_shards(folder: Path, known: pd.DataFrame, *, rows: int) -> int:
    """Sample and relaxation shards; how many."""
    structure = ["lattice", "numbers", "positions"]
    for shard, start in enumerate(range(0, rows, SHARD)):
        numbers = np.arange(start, min(start + SHARD, rows))
        crystals = known[structure].iloc[numbers % len(known)].reset_index(drop=True)
        ids = [f"base-{number}" for number in numbers]
        sample = {"id": ids, "space_group": 225, "log_prob": -20.0, "decode_error": None}
        wyckoff = [[1, 2]] * len(numbers)
        write_table(
            folder / f"sample/shard-{shard:04d}.parquet",
            pd.DataFrame(sample).assign(wyckoff=wyckoff, **crystals),
        )
        energies = {"energy_initial": -3.0, "energy_final": -3.1, "error": None}
        relaxed = crystals.add_prefix("relaxed_")
        write_table(
            folder / f"relax/shard-{shard:04d}.parquet",
            pd.DataFrame({"id": ids, "potential": "chgnet", "status": "converged"}).assign(
                **energies, **relaxed
            ),
        )
    return shard + 1


def peak(who: int = resource.RUSAGE_SELF) -> float:
    """GiB that this process has held at most; or the one of its ended children that held most."""
    return resource.getrusage(who).ru_maxrss / 2**20


if __name__ == "__main__":
    main()
