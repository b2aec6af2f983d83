"""MP2020 corrections per second, and how far they are from pymatgen's, on crystals from a CSV.

    python benchmarks/corrections.py CRYSTALS.csv [--count 2000]

CRYSTALS.csv has the columns material_id and cif.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
from pymatgen.core import Structure
from pymatgen.entries.compatibility import MaterialsProject2020Compatibility
from pymatgen.entries.computed_entries import ComputedStructureEntry
from pymatgen.io.vasp.sets import MPRelaxSet

from crystalformer_rl.crystal.readers import read_crystals
from crystalformer_rl.stability.corrections import mp2020_correction


def main() -> None:
    """Print a table of what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("crystals", type=Path, metavar="CRYSTALS.csv")
    parser.add_argument("--count", type=int, default=2000)
    args = parser.parse_args()
    warnings.simplefilter("ignore")

    rows = read_crystals(args.crystals)
    structures = [row.structure for row, _ in zip(rows, range(args.count), strict=False)]
    crystals = [structure for structure in structures if structure is not None]
    mp2020_correction(crystals[0])  # what is loaded on first use
    start = time.perf_counter()
    ours = np.array([mp2020_correction(structure) for structure in crystals])
    fast = len(crystals) / (time.perf_counter() - start)
    start = time.perf_counter()
    theirs = np.array([by_pymatgen(structure) for structure in crystals])
    slow = len(crystals) / (time.perf_counter() - start)
    print(f"{len(crystals)} crystals, {np.count_nonzero(theirs)} of them corrected")
    print(f"pymatgen  {slow:8.0f} /s\nours      {fast:8.0f} /s  ({fast / slow:.0f} times)")
    print(f"largest difference {np.abs(ours - theirs).max():.1e} eV/atom")


def by_pymatgen(structure: Structure) -> float:
    """Correction, eV/atom, of the calculation that the Materials Project would make."""
    strongest = max(structure.elements, key=lambda element: element.X).symbol
    expected = MPRelaxSet.CONFIG["INCAR"]["LDAUU"].get(strongest, {})
    hubbards = {e.symbol: expected[e.symbol] for e in structure.elements if e.symbol in expected}
    parameters = {
        "run_type": "GGA+U" if hubbards else "GGA",
        "hubbards": hubbards,
        # Of VASP's, the names of the potentials would be looked up.
        "software": "none",
    }
    entry = ComputedStructureEntry(structure, 0.0, parameters=parameters)
    found = MaterialsProject2020Compatibility(check_potcar=False).get_adjustments(entry)
    return float(sum(adjustment.value for adjustment in found) / len(structure))


if __name__ == "__main__":
    main()
