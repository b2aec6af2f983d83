"""``export``: evaluated crystals in the formats of other benchmarks.

One folder per policy:

  cifs/, cifs.zip     one CIF per crystal in P 1, named by its id
  structures.extxyz   one frame per crystal with id, space group, total energy of the potential (eV)
                      and energy above hull (eV/atom)
  energies.npy        total energies (eV) in the order of the frames, without MP2020 corrections,
                      which MatterGen's evaluator adds
  lemat-genbench.csv  the columns material_id and structure (pymatgen's JSON)

examples:
  all relaxed crystals, and the evaluators of MatterGen and LeMat-GenBench
    crystalformer-rl export --evaluation results/default/evaluate --out exported
    mattergen-evaluate --structures_path=exported/base/structures.extxyz \\
        --energies_path=exported/base/energies.npy --relax=False
    run_benchmarks.py --csv exported/base/lemat-genbench.csv --name base
  unrelaxed crystals, for an evaluator that relaxes them (without energies.npy)
    crystalformer-rl export --evaluation results/default/evaluate --generated --out exported
  only stable, unique and novel crystals
    crystalformer-rl export --evaluation results/default/evaluate --only sun --out finds

Crystals without a structure cannot be exported. provenance.json has the number of generated
crystals of each policy, which is the denominator of every fraction.
"""
# Formats: github.com/microsoft/mattergen, README, Evaluation, and its MetricsEvaluator, which
# applies pymatgen's MaterialsProject2020Compatibility. A zip or folder of CIFs is read in the order
# of the file system, so that energies cannot be assigned; hence the extxyz file.
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
    parser.add_argument(
        "--only", choices=ONLY, default="all", help="crystals to export (default: all)"
    )
    parser.add_argument(
        "--generated",
        action="store_true",
        help="export unrelaxed crystals (default: relaxed ones)",
    )
    parser.add_argument("--out", type=Path, required=True, help="new folder to write")


def run(args: argparse.Namespace) -> None:
    """Write one folder per policy, and the provenance.

    Raises
    ------
    ValueError
        If the folder is not empty, the table lacks a column, or no crystal is selected.
    """
    check_out(args.out)
    path = args.evaluation / "structures.parquet"
    provenance = Provenance(
        __name__,
        settings={"only": args.only, "generated": args.generated},
        inputs={"structures": path},
    )
    evaluated = read_table(path, [*READ, *COLUMNS, *(f"relaxed_{name}" for name in COLUMNS)])
    table = _chosen(evaluated, generated=args.generated)
    if args.only != "all":
        table = table[table[args.only]]
    if table.empty:
        raise ValueError(f"{path}: none of the {len(evaluated)} crystals is selected for export")
    convention = None if args.generated else _convention(table)
    counts: dict[str, int] = {}
    for policy, rows in evaluated.groupby("policy", sort=False):
        chosen = table[table["policy"] == policy]
        counts[f"{policy}_generated"] = len(rows)
        counts[f"{policy}_exported"] = len(chosen)
        if len(chosen):
            _write(args.out / str(policy), chosen, convention)
    log.info("%s: %s", args.out, counts)
    provenance.write(args.out / "provenance.json", items=len(table), **counts)


def _chosen(evaluated: pd.DataFrame, *, generated: bool) -> pd.DataFrame:
    """The rows with a structure, in the columns without prefix, and energies in eV/atom.

    Crystals whose relaxation failed are left out unless ``generated``.
    """
    prefix, energy = ("", "energy_initial") if generated else ("relaxed_", "energy_final")
    above = "e_above_hull_initial" if generated else "e_above_hull"
    table = evaluated.assign(
        **{name: evaluated[prefix + name] for name in COLUMNS},
        energy=evaluated[energy].to_numpy(dtype=np.float64, na_value=np.nan),
        above=evaluated[above].to_numpy(dtype=np.float64, na_value=np.nan),
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
    """Write the files of one policy; without a convention, no energies.npy."""
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
        atoms.info = {"id": name}
        if pd.notna(group):
            atoms.info["space_group"] = int(group)
        if np.isfinite(above):
            atoms.info["e_above_hull"] = float(above)
        if np.isfinite(energy):
            atoms.calc = SinglePointCalculator(atoms, energy=float(energy))
        frames.append(atoms)
    with atomic(path) as temporary:
        ase.io.write(temporary, frames, format="extxyz")
