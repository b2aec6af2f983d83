"""Speed of the stages against an older commit, on the same inputs.

    python benchmarks/against.py [--commit e395ebf] [--rounds 5] [--only relax tokenize]

The older commit is checked out into a temporary worktree of this repository and runs with the same
Python and packages. A process of each version runs the stages in turn, so that other work on the
machine slows both alike. Seconds are those of the processor, on one thread; the ratio of each
round is that of two runs in a row. Inputs are crystals of `resources/mp20` and samples of
`mp20-small`, the same for both. Where verbs or modules of a version differ, `against_worker.py`
knows how.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from pymatgen.io.cif import CifWriter

from crystalformer_rl.cli import main as verb
from crystalformer_rl.crystal.readers import open_source

ROOT = Path(__file__).resolve().parents[1]
WORKER = Path(__file__).with_name("against_worker.py")
POLICY = ROOT / "resources" / "pretrained" / "mp20-small"
# Smallest ratios of speed that are aimed at, against e395ebf.
AIMS = {"dataset": 1.5, "tokenize": 2.0, "sample": 1.6, "relax": 1.5, "train": 1.1}
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def main() -> None:
    """Print a table of seconds and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--commit", default="e395ebf")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=AIMS, default=list(AIMS))
    parser.add_argument("--crystals", type=int, default=2000, help="to read and to tokenize")
    parser.add_argument("--samples", type=int, default=500, help="to draw")
    parser.add_argument("--relaxed", type=int, default=10, help="samples to relax")
    args = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sizes = {"crystals": args.crystals, "samples": args.samples, "relaxed": args.relaxed}
        task = make_inputs(folder, **sizes) | sizes
        trees = {args.commit: stack.enter_context(worktree(args.commit, folder)), "now": ROOT}
        workers = [stack.enter_context(worker(tree, task)) for tree in trees.values()]
        print(f"seconds of the processor, one thread, {args.rounds} rounds; {sizes}", flush=True)
        print(f"{'':10}{args.commit:>9}{'now':>9}{'times':>8}{'from':>8}{'to':>7}{'aim':>7}")
        for name in args.only:
            print(row(name, measured(name, workers, rounds=args.rounds)), flush=True)


def make_inputs(folder: Path, *, crystals: int, samples: int, relaxed: int) -> dict[str, str]:
    """Write what the stages read: CIFs, structures, and samples to be relaxed."""
    source = open_source(ROOT / "resources" / "mp20" / "crystals.parquet")
    assert source.row is not None
    places = np.linspace(0, len(source.ids) - 1, crystals).astype(int).tolist()
    rows = [source.row(place) for place in places]
    splits = ["val" if place % 10 == 1 else "train" for place in range(crystals)]
    texts = [str(CifWriter(row.structure)) for row in rows]
    table = pd.DataFrame({"material_id": [row.id for row in rows], "split": splits, "cif": texts})
    table.to_csv(folder / "cifs.csv", index=False)
    settings = json.dumps({"sources": {"all": str(folder / "cifs.csv")}})
    verb(["dataset", "--settings", settings, "--out", str(folder / "data")])
    shard = folder / "samples.parquet"
    verb(["sample", "--policy", str(POLICY), "-n", str(relaxed), "--out", str(shard)])
    return {
        "cifs": str(folder / "cifs.csv"),
        "structures": str(folder / "data" / "structures.parquet"),
        "shard": str(shard),
        "policy": str(POLICY),
    }


@contextmanager
def worktree(commit: str, folder: Path) -> Iterator[Path]:
    """The repository at ``commit``, in a temporary worktree."""
    place = folder / "older"
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--detach", str(place), commit], check=True, capture_output=True)
    try:
        yield place
    finally:
        subprocess.run([*git, "remove", "--force", str(place)], check=True)


@contextmanager
def worker(tree: Path, task: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A process that runs stages of the package in ``tree``, in a folder of its own."""
    environment = os.environ | dict.fromkeys(THREADS, "1")
    environment |= {"PYTHONPATH": str(tree / "src"), "CUDA_VISIBLE_DEVICES": ""}
    with (
        tempfile.TemporaryDirectory() as folder,
        (Path(folder) / "messages").open("w+") as messages,
    ):
        process = subprocess.Popen(
            [sys.executable, str(WORKER), json.dumps(task | {"tree": str(tree)})],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=messages,
            text=True,
        )
        try:
            yield process
        except EOFError:
            messages.seek(0)
            print(messages.read(), file=sys.stderr)
            raise
        finally:
            process.kill()
            process.wait()


def measured(
    name: str, workers: Sequence[subprocess.Popen[str]], *, rounds: int
) -> list[list[float]]:
    """Seconds of each round and each version; a first run, which imports, does not count."""
    return [[seconds(name, one) for one in workers] for _ in range(rounds + 1)][1:]


def seconds(name: str, process: subprocess.Popen[str]) -> float:
    """Run a stage once."""
    assert process.stdin is not None
    assert process.stdout is not None
    print(name, file=process.stdin, flush=True)
    answer = process.stdout.readline()
    if not answer:
        raise EOFError(f"{name}: the process of one version has ended")
    return float(answer)


def row(name: str, found: list[list[float]]) -> str:
    """The medians over the rounds, and the smallest and the largest ratio."""
    before, now = np.median(found, axis=0)
    ratios = [old / new for old, new in found]
    return (
        f"{name:10}{before:9.2f}{now:9.2f}{np.median(ratios):8.2f}"
        f"{min(ratios):8.2f}{max(ratios):7.2f}{AIMS[name]:7.1f}"
    )


if __name__ == "__main__":
    main()
