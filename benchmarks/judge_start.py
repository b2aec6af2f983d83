"""What judge.start changes: SevenNet's relaxation from the sample and from CHGNet's crystal.

    crystalformer-rl judge crystals.extxyz --out judged
    python benchmarks/judge_start.py judged [--shards 10]

The relaxations are written below judged/start, and are not repeated by another call.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from crystalformer_rl.config import RelaxSettings, canonical
from crystalformer_rl.crystal.structures import cells_of
from crystalformer_rl.files import read_table
from crystalformer_rl.potentials.relax import WITH_ENERGY
from crystalformer_rl.stability.reference import ReferenceHull
from crystalformer_rl.tools.judge import call

STARTS = {"sample, 100 steps": (False, 100), "relaxed, 100 steps": (True, 100),
          "relaxed, 20 steps": (True, 20)}  # fmt: skip
STABLE_BELOW = 0.1


def main() -> None:
    """Print a table of what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shards", type=int, help="the first N (default: all)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    samples = sorted(args.folder.glob("sample/*/shard-*.parquet"))[: args.shards]
    hull = ReferenceHull.load(args.folder / "judge/hull", energies_of=["sevennet"])
    found: dict[str, list[pd.DataFrame]] = {name: [] for name in STARTS}
    seconds = dict.fromkeys(STARTS, 0.0)
    for sample in samples:
        for name, (after, steps) in STARTS.items():
            start = time.process_time()
            found[name].append(relaxed(args.folder, sample, after=after, steps=steps))
            seconds[name] += time.process_time() - start
        report(found, seconds, hull)


def relaxed(folder: Path, sample: Path, *, after: bool, steps: int) -> pd.DataFrame:
    """The records of one shard, from an earlier call if there was one."""
    place = folder / "start" / f"{'relaxed' if after else 'sample'}-{steps}"
    out = place / sample.name
    if not out.is_file():
        settings = RelaxSettings(potential="sevennet", max_steps=steps)
        first = ["--after", folder / "relax" / sample.parent.name / sample.name] if after else []
        call("relax", "--settings", canonical(settings), "--sample", sample, *first,
             "--journal", out.with_suffix(".journal"), "--out", out)  # fmt: skip
    return read_table(out)


def report(
    found: dict[str, list[pd.DataFrame]], seconds: dict[str, float], hull: ReferenceHull
) -> None:
    """Print a row per start, of the shards that are relaxed."""
    stable: dict[str, np.ndarray] = {}
    above: dict[str, np.ndarray] = {}
    for name, parts in found.items():
        table = pd.concat(parts, ignore_index=True)
        energies = table["energy_final"].to_numpy(np.float64, na_value=np.nan)
        energies = np.where(table["status"].isin(WITH_ENERGY), energies, np.nan)
        above[name] = hull.place(cells_of(table, prefix="relaxed_"), energies).e_above_hull
        stable[name] = above[name] < STABLE_BELOW
        first = next(iter(found))
        both = np.isfinite(above[name]) & np.isfinite(above[first])
        change = 1000 * (above[name] - above[first])[both]
        facts = {
            "crystals": len(table),
            "converged": int((table["status"] == "converged").sum()),
            "mean steps": round(float(table["steps"].mean()), 1),
            "CPU s": round(seconds[name]),
            "stable": int(stable[name].sum()),
            "other verdicts": int((stable[name] != stable[first]).sum()),
            "with both energies": len(change),
            "mean change of E_hull (meV/atom)": round(float(change.mean()), 1),
            "median size of it": round(float(np.median(abs(change))), 1),
            "beyond 20 meV/atom": int((abs(change) > 20).sum()),
        }
        print(f"{name}: {facts}", flush=True)


if __name__ == "__main__":
    main()
