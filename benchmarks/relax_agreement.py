"""Batched relaxation against ASE's FIRE and FrechetCellFilter, one crystal at a time.

    python benchmarks/relax_agreement.py CRYSTALS.csv [--count 200] [--max-atoms 20]

CRYSTALS.csv has the columns material_id and cif; its crystals are rattled and relaxed twice
with CHGNet 0.3.0: by us in batches, and by ASE with CHGNet's own calculator.
"""

import argparse
import contextlib
import io
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE
from chgnet.model.dynamics import CHGNetCalculator
from pymatgen.core import Structure
from rattled import rattled_crystals

from crystalformer_rl.crystal.cell import Cell, cells_from
from crystalformer_rl.potentials.batching import ase_atoms
from crystalformer_rl.potentials.registry import load
from crystalformer_rl.potentials.relax import ATOMS_AT_ONCE, relax

TOLERANCE = 0.002


def main() -> None:
    """Print a line per crystal, and a summary."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("crystals", type=Path, metavar="CRYSTALS.csv")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--max-atoms", type=int, default=20)
    parser.add_argument("--max-force", type=float, default=0.1, help="eV/Å")
    parser.add_argument("--max-steps", type=int, default=500)
    parser.add_argument("--atoms-at-once", type=int, default=ATOMS_AT_ONCE)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(args.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"

    crystals = rattled_crystals(args.crystals, count=args.count, max_atoms=args.max_atoms)
    start = time.perf_counter()
    records = relax(
        load("chgnet", device=device),
        cells_from(list(crystals.values())),
        max_force=args.max_force,
        max_steps=args.max_steps,
        atoms_at_once=args.atoms_at_once,
    )
    print(f"{len(crystals)} crystals relaxed in batches in {time.perf_counter() - start:.0f} s")
    with contextlib.redirect_stdout(io.StringIO()):
        calculator = CHGNetCalculator(use_device=device)
    differences, same_status = [], 0
    print("crystal      atoms  status          steps ours, ASE   energy ours − ASE, meV/atom")
    for (name, structure), ours in zip(crystals.items(), records, strict=True):
        energy, steps, converged = by_ase(
            structure, calculator, max_force=args.max_force, max_steps=args.max_steps
        )
        found = np.nan if ours.energy_final is None else ours.energy_final
        differences.append(found - energy)
        same_status += converged == (ours.status == "converged")
        print(
            f"{name:<12} {len(structure):5d}  {ours.status:<14} {ours.steps:6d} {steps:6d}"
            f"   {1000 * (found - energy):+10.4f}",
            flush=True,
        )
    sizes = np.abs(differences)
    near = sizes <= TOLERANCE  # false where there is no energy
    print(
        f"within {1000 * TOLERANCE:g} meV/atom: {near.sum()} of {len(near)} ({near.mean():.1%}); "
        f"worst {1000 * np.nanmax(sizes):.4f}, median {1000 * np.nanmedian(sizes):.4f}\n"
        f"converged or not, alike: {same_status} of {len(near)}"
    )


def by_ase(
    structure: Structure, calculator: CHGNetCalculator, *, max_force: float, max_steps: int
) -> tuple[float, int, bool]:
    """Final energy in eV/atom, steps, and whether it converged."""
    atoms = ase_atoms(Cell.of(structure))
    atoms.calc = calculator
    optimiser = FIRE(FrechetCellFilter(atoms), logfile=None)
    converged = optimiser.run(fmax=max_force, steps=max_steps)
    return float(atoms.get_potential_energy()) / len(atoms), optimiser.nsteps, bool(converged)


if __name__ == "__main__":
    main()
