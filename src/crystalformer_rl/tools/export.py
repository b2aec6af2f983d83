"""``export``: judged crystals in the formats that other people's benchmarks read.

Of each policy a folder:

  cifs/, cifs.zip     a CIF per crystal, named by its id, in P 1
  structures.extxyz   a frame per crystal: id, space group, total energy (eV, as the potential gives
                      it), energy above hull (eV/atom); per atom only element and position
  energies.npy        total energies (eV) in the order of the frames, without MP2020 corrections:
                      MatterGen's evaluator corrects what it is given
  lemat-genbench.csv  the columns material_id and structure (pymatgen's JSON)

examples:
  everything that was relaxed, and how MatterGen's and LeMat-GenBench's evaluators take it
    crystalformer-rl export --evaluation results/default/evaluate --out exported
    mattergen-evaluate --structures_path=exported/base/structures.extxyz \\
        --energies_path=exported/base/energies.npy --relax=False
    run_benchmarks.py --csv exported/base/lemat-genbench.csv --name base
  as generated, for an evaluator that relaxes itself (without energies.npy)
    crystalformer-rl export --evaluation results/default/evaluate --generated --out exported
  only what is stable, unique and novel
    crystalformer-rl export --evaluation results/default/evaluate --only sun --out finds

A crystal without a structure cannot be exported: provenance.json tells how many each policy has,
for a denominator that counts them.
"""
# Formats: github.com/microsoft/mattergen, README, Evaluation (a zip or folder of CIFs is read in
# the order of the file system, to which no list of energies can belong: hence the frames), and its
# MetricsEvaluator, whose scheme of corrections is pymatgen's MaterialsProject2020Compatibility;
# github.com/LeMaterial/lemat-genbench, README, Input Formats (--cifs FOLDER, --csv FILE).

import argparse
import logging
from pathlib import Path

import ase.io
import numpy as np
import pandas as pd
from ase.calculators.singlepoint import SinglePointCalculator
from numpy.typing import NDArray
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from crystalformer_rl.crystal.structures import COLUMNS, structures_of
from crystalformer_rl.crystal.writers import check_out, write_crystals
from crystalformer_rl.files import atomic, read_table, write_text
from crystalformer_rl.jobs.provenance import Provenance
from crystalformer_rl.potentials.base import EnergyConvention
from crystalformer_rl.potentials.registry import load
from crystalformer_rl.potentials.relax import WITH_ENERGY
from crystalformer_rl.stability.corrections import mp2020_correction
from crystalformer_rl.stability.reference import OWN_HULL_ONLY
from crystalformer_rl.stages import options as flags

ONLY = ("all", "stable", "sun")
READ = (
    "policy", "id", "space_group", "potential", "relax_status", "stable", "sun",
    "energy_initial", "energy_final", "e_above_hull_initial", "e_above_hull",
)  # fmt: skip

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    flags.add_examples(parser, __doc__)
    parser.add_argument(
        "--evaluation", type=Path, required=True, help="folder of the evaluate stage"
    )
    parser.add_argument("--only", choices=ONLY, default="all", help="which crystals (default: all)")
    parser.add_argument(
        "--generated",
        action="store_true",
        help="crystals and energies as generated (default: after relaxation)",
    )
    parser.add_argument("--out", type=Path, required=True, help="new folder to write")


def run(args: argparse.Namespace) -> None:
    """Write a folder per policy, and the provenance.

    Raises
    ------
    ValueError
        If the folder is not empty, the table lacks a column, or there is nothing to export.
    """
    check_out(args.out)
    path = args.evaluation / "structures.parquet"
    provenance = Provenance(
        __name__,
        settings={"only": args.only, "generated": args.generated},
        inputs={"structures": path},
    )
    judged = read_table(path, [*READ, *COLUMNS, *(f"relaxed_{name}" for name in COLUMNS)])
    table = _chosen(judged, generated=args.generated)
    if args.only != "all":
        table = table[table[args.only]]
    if table.empty:
        raise ValueError(f"{path}: none of {len(judged)} crystals is to be exported")
    convention = None if args.generated else _convention(table)
    counts: dict[str, int] = {}
    for policy, rows in judged.groupby("policy", sort=False):
        part = table[table["policy"] == policy]
        counts[f"{policy}_generated"] = len(rows)
        counts[f"{policy}_exported"] = len(part)
        if len(part):
            _write(args.out / str(policy), part, convention)
    log.info("%s: %s", args.out, counts)
    provenance.write(args.out / "provenance.json", items=len(table), **counts)


def _chosen(judged: pd.DataFrame, *, generated: bool) -> pd.DataFrame:
    """The rows with a structure, which stands in the columns without prefix; energies in eV/atom.

    A crystal whose relaxation failed has no relaxed structure worth an energy.
    """
    prefix, energy = ("", "energy_initial") if generated else ("relaxed_", "energy_final")
    above = "e_above_hull_initial" if generated else "e_above_hull"
    table = judged.assign(
        **{name: judged[prefix + name] for name in COLUMNS},
        energy=judged[energy].to_numpy(dtype=np.float64, na_value=np.nan),
        above=judged[above].to_numpy(dtype=np.float64, na_value=np.nan),
        decode_error=None,
    )
    kept = table["lattice"].notna()
    return table[kept if generated else kept & table["relax_status"].isin(WITH_ENERGY)]


def _convention(table: pd.DataFrame) -> EnergyConvention:
    potentials = table["potential"].unique().tolist()
    if len(potentials) > 1:
        raise ValueError(f"the crystals were relaxed with several potentials: {potentials}")
    return load(potentials[0], check=False).energy_convention


def _write(folder: Path, table: pd.DataFrame, convention: EnergyConvention | None) -> None:
    """The files of one policy; without a convention no list of energies."""
    structures = [structure for structure in structures_of(table) if structure is not None]
    sizes = np.array([len(structure) for structure in structures])
    energies = table["energy"].to_numpy() * sizes
    for name in ("cifs", "cifs.zip"):
        write_crystals(folder / name, table)
    _write_frames(folder / "structures.extxyz", table, structures, energies)
    listed = pd.DataFrame(
        {"material_id": table["id"].to_numpy(), "structure": [s.to_json() for s in structures]}
    )
    write_text(folder / "lemat-genbench.csv", listed.to_csv(index=False))
    if convention in OWN_HULL_ONLY:
        log.warning("energies.npy is not written: MP2020 does not correct %s energies", convention)
    elif convention is not None:
        if convention == "mp2020_corrected":
            corrections = np.array([mp2020_correction(structure) for structure in structures])
            energies = energies - corrections * sizes
        with atomic(folder / "energies.npy") as temporary, temporary.open("wb") as stream:
            np.save(stream, energies)


def _write_frames(
    path: Path, table: pd.DataFrame, structures: list[Structure], energies: NDArray[np.float64]
) -> None:
    frames = []
    rows = zip(table["id"], table["space_group"], table["above"], structures, energies, strict=True)
    for name, group, above, structure, energy in rows:
        atoms = AseAtomsAdaptor.get_atoms(structure, msonable=False)
        atoms.info = {"id": name, "space_group": int(group)}
        if np.isfinite(above):
            atoms.info["e_above_hull"] = float(above)
        if np.isfinite(energy):
            atoms.calc = SinglePointCalculator(atoms, energy=float(energy))
        frames.append(atoms)
    with atomic(path) as temporary:
        ase.io.write(temporary, frames, format="extxyz")
