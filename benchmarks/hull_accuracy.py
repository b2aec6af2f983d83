"""How well a hull tells energies above hull that are known, and what is below 0.1 eV/atom.

    python benchmarks/hull_accuracy.py left-out HULL.csv CRYSTALS.csv
    python benchmarks/hull_accuracy.py own HULL_FOLDER CRYSTALS.csv

``left-out``: the hull is that of a table of formation energies, without the formula in question.
``own``: a potential's energies on its own hull, both from the folder that the hull stage wrote.
CRYSTALS.csv has material_id, pretty_formula, formation_energy_per_atom and e_above_hull, eV/atom.
What lies below a hull without its own formula is a corner of the full one, where E_hull is 0.
"""

import argparse
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pymatgen.core import Composition, Element

from crystalformer_rl.files import read_table
from crystalformer_rl.stability.elements import parse_formula
from crystalformer_rl.stability.hull import Hull
from crystalformer_rl.stability.readers import read_csv
from crystalformer_rl.stability.reference import ReferenceHull, hull_files

LIMIT = 0.1  # eV/atom
Floats = NDArray[np.float64]


def main() -> None:
    """Print the errors."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    kinds = parser.add_subparsers(dest="kind", required=True)
    left_out = kinds.add_parser("left-out")
    left_out.add_argument("hull", type=Path, metavar="HULL.csv")
    own = kinds.add_parser("own")
    own.add_argument("hull", type=Path, metavar="HULL_FOLDER")
    for kind in (left_out, own):
        kind.add_argument("crystals", type=Path, metavar="CRYSTALS.csv")
        kind.add_argument("--count", type=int, default=500, help="rows, drawn with seed 0")
    args = parser.parse_args()
    table = pd.read_csv(args.crystals, keep_default_na=False)
    rows = np.random.default_rng(0).choice(len(table), args.count, replace=False)
    table = table.iloc[rows].reset_index(drop=True)
    expected = table["e_above_hull"].to_numpy(np.float64)
    if args.kind == "left-out":
        found = without_own_formula(args.hull, table)
    else:
        found = on_own_hull(args.hull, table["material_id"].tolist())
    compare("signed", found, expected)
    compare("clipped at 0", np.maximum(found, 0), expected)


def compare(name: str, found: Floats, expected: Floats) -> None:
    """Print the mean absolute error and the agreement on what is below the limit."""
    known = np.isfinite(found)
    error = np.abs(found - expected)[known]
    agree = ((found < LIMIT) == (expected < LIMIT))[known]
    print(
        f"{name:14} {known.sum()} of {len(known)} known: mean absolute error "
        f"{1000 * error.mean():.1f} meV/atom, median {1000 * np.median(error):.1f}; "
        f"agree on < {LIMIT} eV/atom: {100 * agree.mean():.1f} %"
    )


def without_own_formula(path: Path, table: pd.DataFrame) -> Floats:
    """(n,) E_hull, eV/atom, each on the hull of every other formula of its chemical system."""
    systems: dict[frozenset[str], list[tuple[str, str, float]]] = {}
    for entry in read_csv(path):
        reduced = Composition(entry.formula).reduced_formula
        systems.setdefault(frozenset(parse_formula(entry.formula)), []).append(
            (reduced, entry.formula, entry.energy)
        )
    found = []
    for formula, energy in zip(
        table["pretty_formula"], table["formation_energy_per_atom"], strict=True
    ):
        composition = Composition(formula)
        symbols = sorted(parse_formula(formula))
        others = [
            (name, value)
            for size in range(1, len(symbols) + 1)
            for part in combinations(symbols, size)
            for reduced, name, value in systems.get(frozenset(part), [])
            if reduced != composition.reduced_formula
        ]
        hull = Hull(
            [name for name, _ in others],
            [value for _, value in others],
            elements=[e.symbol for e in Element],
        )
        found.append(float(hull.e_above_hull([composition], [float(energy)]).e_above_hull[0]))
    return np.array(found)


def on_own_hull(folder: Path, ids: list[str]) -> Floats:
    """(n,) E_hull, eV/atom, of the hull's own entries; NaN where there is none or it is flagged."""
    hull = ReferenceHull.load(folder).hull
    entries = read_table(hull_files(folder)[0]).set_index("id").reindex(ids)
    known = entries["formation_energy_per_atom"].notna().to_numpy()
    compositions = [Composition(formula) for formula in entries["formula"][known]]
    energies = entries["formation_energy_per_atom"][known].to_numpy(np.float64)
    found = np.full(len(ids), np.nan)
    found[known] = hull.e_above_hull(compositions, energies).e_above_hull
    return found


if __name__ == "__main__":
    main()
