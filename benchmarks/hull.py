"""Energies above hull per second, against a phase diagram for every structure, in one run.

    python benchmarks/hull.py HULL.csv [--count 2000] [--diagrams 200]

HULL.csv has the columns formula and formation_energy_per_atom. Compositions are drawn from its
formulas, their energies are shifted by 0.2 eV/atom at random, and both must give the same answer.
"""

import argparse
import time
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import numpy as np
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition, Element

from crystalformer_rl.stability.elements import parse_formula
from crystalformer_rl.stability.hull import Hull
from crystalformer_rl.stability.readers import read_csv


def main() -> None:
    """Print a table of what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("table", type=Path, metavar="HULL.csv")
    parser.add_argument("--count", type=int, default=2000, help="compositions, all at once")
    parser.add_argument("--diagrams", type=int, default=200, help="of them, one at a time")
    args = parser.parse_args()

    entries = [entry for entry in read_csv(args.table) if entry.problem is None]
    formulas = [entry.formula for entry in entries]
    energies = np.array([entry.energy for entry in entries])
    generator = np.random.default_rng(0)
    rows = generator.choice(len(entries), args.count, replace=False)
    compositions = [Composition(formulas[row]) for row in rows]
    queried = energies[rows] + generator.normal(0, 0.2, args.count)

    start = time.perf_counter()
    hull = Hull(formulas, energies, elements=[e.symbol for e in Element])
    index = time.perf_counter() - start
    start = time.perf_counter()
    first = hull.e_above_hull(compositions, queried)
    cold = args.count / (time.perf_counter() - start)
    start = time.perf_counter()
    for _ in range(10):
        hull.e_above_hull(compositions, queried)
    warm = 10 * args.count / (time.perf_counter() - start)

    systems = defaultdict(list)
    for formula, energy in zip(formulas, energies.tolist(), strict=True):
        composition = Composition(formula)
        systems[frozenset(parse_formula(formula))].append(
            PDEntry(composition, energy * composition.num_atoms)
        )
    found = []
    start = time.perf_counter()
    for composition, energy in zip(
        compositions[: args.diagrams], queried[: args.diagrams], strict=True
    ):
        symbols = sorted(e.symbol for e in composition)
        known = [PDEntry(Composition(symbol), 0.0) for symbol in symbols]
        for size in range(1, len(symbols) + 1):
            for part in combinations(symbols, size):
                known += systems.get(frozenset(part), [])
        entry = PDEntry(composition, energy * composition.num_atoms)
        found.append(PhaseDiagram(known).get_e_above_hull(entry, allow_negative=True))
    plain = len(found) / (time.perf_counter() - start)
    difference = np.abs(np.array(found) - first.e_above_hull[: len(found)]).max()

    lines = [
        ("index of the entries", f"{len(entries)} entries in {index:.2f} s", ""),
        ("a phase diagram per structure", f"{plain:.1f} /s", "1"),
        ("hulls found on the way", f"{cold:.0f} /s", f"{cold / plain:.0f}"),
        ("hulls known", f"{warm:.0f} /s", f"{warm / plain:.0f}"),
        ("largest difference", f"{difference:.1e} eV/atom", ""),
    ]
    for name, value, ratio in lines:
        print(f"{name:32} {value:>28} {ratio:>8}")


if __name__ == "__main__":
    main()
