"""Structures relaxed per second, against CHGNet's own optimiser, which takes one at a time.

    python benchmarks/relax.py CRYSTALS.csv [--count 100] [--max-atoms 20] [--threads 2]

CRYSTALS.csv has the columns material_id and cif; its crystals are rattled first. Seconds on the
clock are what counts on a machine without other work; where others compute too, those of the
processor say more.
"""

import argparse
import contextlib
import io
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from chgnet.model.dynamics import StructOptimizer
from rattled import rattled_crystals

from crystalformer_rl.crystal.cell import cells_from
from crystalformer_rl.potentials.registry import load
from crystalformer_rl.potentials.relax import ATOMS_AT_ONCE, relax


def main() -> None:
    """Print a table of what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("crystals", type=Path, metavar="CRYSTALS.csv")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--max-atoms", type=int, default=20)
    parser.add_argument("--max-force", type=float, default=0.1, help="eV/Å")
    parser.add_argument("--max-steps", type=int, default=500)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(args.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"

    named = rattled_crystals(args.crystals, count=args.count, max_atoms=args.max_atoms)
    crystals = list(named.values())
    potential = load("chgnet", device=device)
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = StructOptimizer(use_device=device)

    def by_chgnet() -> list[int]:
        limits = {"fmax": args.max_force, "steps": args.max_steps, "verbose": False}
        found = [theirs.relax(crystal, **limits)["trajectory"] for crystal in crystals]
        return [len(trajectory) - 2 for trajectory in found]  # it notes the last one twice

    def by_us(atoms_at_once: int) -> list[int]:
        records = relax(
            potential,
            cells_from(crystals),
            max_force=args.max_force,
            max_steps=args.max_steps,
            atoms_at_once=atoms_at_once,
        )
        print(dict(Counter(record.status for record in records)))
        return [record.steps for record in records]

    potential.evaluate(cells_from(crystals[:1]))
    theirs.calculator.model.predict_structure(crystals[0])
    print(
        f"{len(crystals)} crystals of {np.mean([len(c) for c in crystals]):.1f} atoms, {device}, "
        f"{args.threads} threads"
    )
    slow = measured(by_chgnet)
    table = {
        "CHGNet's optimiser": slow,
        "one by one": measured(lambda: by_us(1)),
        f"{ATOMS_AT_ONCE} atoms at once": measured(lambda: by_us(ATOMS_AT_ONCE)),
    }
    print("                      crystals/s  times  processor s  times  steps")
    for name, (clock, processor, steps) in table.items():
        print(
            f"{name:<22}{len(crystals) / clock:10.3f}{slow[0] / clock:7.2f}"
            f"{processor:13.1f}{slow[1] / processor:7.2f}{steps:7d}"
        )


def measured(work: Callable[[], list[int]]) -> tuple[float, float, int]:
    """Seconds on the clock and of the processor, and steps taken."""
    clock, processor = time.perf_counter(), time.process_time()
    steps = sum(work())
    return time.perf_counter() - clock, time.process_time() - processor, steps


if __name__ == "__main__":
    main()
