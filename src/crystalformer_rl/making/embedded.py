"""``embed``: generate the crystals that are shipped with the project, from data in PyPI packages.

Prototypes and likely substitutions in them are relaxed with CHGNet, and their energies above the
hull of these crystals are computed. No energy is a DFT result: the data set is consistent with one
potential, small enough for the repository and diverse enough for training. Finished chunks are
stored in the work folder; a later call, also one with more effort, continues from them.
"""

import argparse
import hashlib
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Composition, Structure

from crystalformer_rl.crystal.structures import COLUMNS, structure_columns, structures_of
from crystalformer_rl.crystal.tokenizer import Rejection, tokenize
from crystalformer_rl.files import read_table, write_json, write_table
from crystalformer_rl.jobs.progress import progress
from crystalformer_rl.jobs.provenance import Provenance
from crystalformer_rl.making.prototypes import (
    Candidate,
    compounds,
    pure_elements,
    rare_elements,
)
from crystalformer_rl.potentials.registry import load
from crystalformer_rl.potentials.relax import relax
from crystalformer_rl.stability.hull import Hull
from crystalformer_rl.stability.reference import Elements, ReferenceHull

log = logging.getLogger(__name__)

CHUNK = 32
ELEMENT_ATOMS = 8
RARE_ATOMS = 4
# The lowest in energy; with all of them, a third of the data set would be pure elements.
CRYSTALS_PER_ELEMENT = 2
ELEMENT_COLUMNS = ["id", "prototype", "formula", "potential", "energy_per_atom", *COLUMNS]
SYMPREC_ANGSTROM = 0.01
MAX_SITES = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument("--out", type=Path, required=True, help="folder for the embedded data")
    parser.add_argument(
        "--work", type=Path, required=True, help="folder that stores finished chunks"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the substitutions")
    parser.add_argument(
        "--effort", type=int, default=120, help="substitutions × atoms per prototype"
    )
    parser.add_argument("--max-atoms", type=int, default=20, help="atoms per primitive cell")
    parser.add_argument(
        "--below", type=float, default=0.15, help="largest energy above the hull, eV/atom"
    )
    parser.add_argument("--max-force", type=float, default=0.05, help="of a relaxation, eV/Å")
    parser.add_argument("--max-steps", type=int, default=100, help="of a relaxation")
    parser.add_argument("--processes", type=int, default=2, help="parallel relaxations")


def run(args: argparse.Namespace) -> None:
    """Write the crystals, those of the elements, ``elements-chgnet.json`` and the provenance."""
    choices = {
        name: getattr(args, name)
        for name in ("effort", "max_atoms", "below", "max_force", "max_steps")
    }
    provenance = Provenance(
        __name__, potential="chgnet", settings=choices, inputs={}, seed=args.seed
    )
    pure = _relaxed(args, "elements", pure_elements(max_atoms=ELEMENT_ATOMS))
    mixed = _relaxed(
        args, "compounds", compounds(seed=args.seed, max_atoms=args.max_atoms, effort=args.effort)
    )
    # References only: no compound contains them, and they are not among the crystals.
    rare = _relaxed(args, "rare", rare_elements(max_atoms=RARE_ATOMS))
    log.info("%d elements and %d compounds relaxed", len(pure) + len(rare), len(mixed))
    all_elements = pd.concat([pure, rare], ignore_index=True)
    elements = _elements(all_elements)
    crystals = _stable(pd.concat([pure, mixed], ignore_index=True), elements, args.below)
    write_table(args.out / "crystals.parquet", crystals)
    write_table(
        args.out / "element_crystals.parquet",
        _stable(all_elements, elements, args.below)[ELEMENT_COLUMNS],
    )
    write_json(
        args.out / "elements-chgnet.json",
        {"potential": "chgnet", "energies": dict(elements.energies)},
    )
    provenance.write(
        args.out / "provenance.json",
        items=len(crystals),
        candidates=len(pure) + len(mixed),
        converged=int((pure.status == "converged").sum() + (mixed.status == "converged").sum()),
        space_groups=int(crystals.space_group.nunique()),
        elements=len({e.symbol for f in crystals.formula for e in Composition(f)}),
    )


def _relaxed(args: argparse.Namespace, kind: str, candidates: Iterator[Candidate]) -> pd.DataFrame:
    """Relax the candidates that are not in the work folder yet; return the rows of all."""
    wanted = list(candidates)
    done = {name for path in _chunks(args.work, kind) for name in read_table(path, ["id"])["id"]}
    remaining = [c for c in wanted if c.identifier not in done]
    jobs = []
    for start in range(0, len(remaining), CHUNK):
        chunk = remaining[start : start + CHUNK]
        name = hashlib.sha256(chunk[0].identifier.encode()).hexdigest()[:12]
        path = args.work / f"{kind}-{name}.parquet"
        jobs.append((chunk, path, args.max_force, args.max_steps))
    with ProcessPoolExecutor(args.processes, mp_context=get_context("spawn")) as pool:
        results = pool.map(_relax_chunk, jobs)
        for _ in progress(results, label=f"relax {kind}", total=len(jobs)):
            pass
    table = pd.concat([read_table(path) for path in _chunks(args.work, kind)], ignore_index=True)
    rows = table.set_index("id").loc[[c.identifier for c in wanted]]
    return rows.reset_index()


def _chunks(work: Path, kind: str) -> list[Path]:
    return sorted(work.glob(f"{kind}-*.parquet"))


def _relax_chunk(job: tuple[Sequence[Candidate], Path, float, int]) -> None:
    candidates, path, max_force, max_steps = job
    torch.set_num_threads(1)
    records = relax(
        load("chgnet"),
        [c.structure for c in candidates],
        max_force=max_force,
        max_steps=max_steps,
    )
    rows: list[dict[str, Any]] = [
        {
            "id": c.identifier,
            "prototype": c.prototype,
            "parent": c.parent,
            "status": r.status,
            "error": r.error,
            "energy_initial": r.energy_initial,
            "energy_per_atom": r.energy_final,
            "max_force": r.max_force,
            "max_stress": r.max_stress,
            "steps": r.steps,
        }
        for c, r in zip(candidates, records, strict=True)
    ]
    cells = pd.DataFrame(structure_columns([r.structure for r in records]))
    write_table(path, pd.concat([pd.DataFrame(rows), cells], axis="columns"))


def _elements(pure: pd.DataFrame) -> Elements:
    """The lowest converged energy of each element."""
    converged = pure[pure.status == "converged"]
    symbols = [s.composition.elements[0].symbol for s in structures_of(converged) if s is not None]
    lowest = converged.groupby(np.array(symbols))["energy_per_atom"].min()
    energies = {str(symbol): float(energy) for symbol, energy in lowest.items()}
    return Elements("chgnet", "mp2020_corrected", energies)


def _stable(table: pd.DataFrame, elements: Elements, below: float) -> pd.DataFrame:
    """Select converged crystals near the hull that can be tokenized, without duplicates."""
    table = table[table.status == "converged"].copy()
    structures = [s for s in structures_of(table) if s is not None]
    table["formula"] = [s.composition.reduced_formula for s in structures]
    formation = [
        elements.references.formation_energy(s, e)
        for s, e in zip(structures, table.energy_per_atom, strict=True)
    ]
    hull = Hull(table.formula.tolist(), formation, elements=elements.energies.keys())
    placement = ReferenceHull(hull, elements).place(structures, table.energy_per_atom.to_numpy())
    table["formation_energy_per_atom"] = placement.formation_energy
    table["e_above_hull"] = placement.e_above_hull
    table["potential"] = "chgnet"
    table["split"] = [_split(formula) for formula in table.formula]
    kept, groups = [], []
    order = np.argsort(table.e_above_hull.to_numpy(), kind="stable")
    matcher = StructureMatcher()
    by_formula: dict[str, list[Structure]] = {}
    for index in progress(order, label="select"):
        row = table.iloc[index]
        structure = structures[index]
        same = by_formula.setdefault(row.formula, [])
        if row.e_above_hull > below or (
            structure.n_elems == 1 and len(same) == CRYSTALS_PER_ELEMENT
        ):
            continue
        if any(matcher.fit(structure, other) for other in same):
            continue
        tokens = tokenize(structure, symprec=SYMPREC_ANGSTROM, max_sites=MAX_SITES)
        if isinstance(tokens, Rejection):
            continue
        same.append(structure)
        kept.append(index)
        groups.append(tokens.space_group)
    chosen = table.iloc[kept].assign(space_group=groups)
    return chosen.sort_values("id", kind="stable").reset_index(drop=True)


def _split(formula: str) -> str:
    """Split 80/10/10 by a hash of the formula, so that polymorphs are in the same split."""
    share = int.from_bytes(hashlib.sha256(formula.encode()).digest()[:4], "big") / 2**32
    return "train" if share < 0.8 else "val" if share < 0.9 else "test"
