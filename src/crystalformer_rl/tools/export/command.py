"""``export``: evaluated crystals in the formats of other programs.

One folder per policy:

  cifs/, cifs.zip     one CIF per crystal in P 1, named by its id
  structures.extxyz   one frame per crystal with id, space group, total energy of the potential (eV)
                      and energy above hull (eV/atom)
  energies.npy        total energies (eV) in the order of the frames, without corrections, which
                      MatterGen's evaluator adds
  lemat-genbench.csv  the columns material_id and structure (pymatgen's JSON)
  ase.db              ASE database: the total energy of the potential, and the columns of the report
                      as key-value pairs, among them the energies (eV/atom) by both potentials
  optimade.yaml       with properties.json: the description of cifs/ that optimade-maker reads
  vasp/               with --vasp N: INCAR, KPOINTS, POSCAR and POTCAR.spec of the N best crystals

examples:
  all relaxed crystals, and the evaluators of MatterGen and LeMat-GenBench
    crystalformer-rl export --evaluation results/default/evaluate --out exported
    mattergen-evaluate --structures_path=exported/base/structures.extxyz \\
        --energies_path=exported/base/energies.npy --relax=False \\
        --structure_matcher=disordered --energy_correction_scheme=TRI2024 \\
        --reference_dataset_path=data-release/alex-mp/reference_TRI2024correction.gz
    run_benchmarks.py --csv exported/base/lemat-genbench.csv --name base \\
        --config comprehensive_multi_mlip_hull
  unrelaxed crystals, for an evaluator that relaxes them (without energies.npy)
    crystalformer-rl export --evaluation results/default/evaluate --generated --out exported
  only stable, unique and novel crystals, with VASP inputs of the 20 best
    crystalformer-rl export --evaluation results/default/evaluate --only sun --vasp 20 --out finds
    ase db finds/base/ase.db "e_above_hull<0.05,judge_stable" -c structure_id,formula,e_above_hull
    optimake convert finds/base

The best are those of lowest energy above hull. As in the report, a formula in a space group counts
once, and crystals far below the hull are left out. vasp/crystals.csv lists them, with the reason
where the Materials Project's settings (MPRelaxSet of pymatgen) refuse one. POTCAR.spec names the
pseudopotentials, which need a licence of VASP.

Crystals without a structure cannot be exported. provenance.json has the number of generated
crystals of each policy, which is the denominator of every fraction.
"""
# Formats: github.com/microsoft/mattergen, README, Evaluation, and its MetricsEvaluator, which
# applies MP2020 or TRI2024 to the energies. A zip or folder of CIFs is read in the order
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
from crystalformer_rl.crystal.writers import write_crystals
from crystalformer_rl.files import atomic, read_table, write_text
from crystalformer_rl.jobs.provenance import Provenance
from crystalformer_rl.potentials.base import EnergyConvention
from crystalformer_rl.potentials.registry import load
from crystalformer_rl.potentials.relax import WITH_ENERGY
from crystalformer_rl.report.sections.best import best
from crystalformer_rl.stability.corrections import mp2020_correction
from crystalformer_rl.stability.hull import ARTEFACT_BELOW
from crystalformer_rl.stability.reference import OWN_HULL_ONLY
from crystalformer_rl.stages import options as flags
from crystalformer_rl.tools.export.ase_database import write_database
from crystalformer_rl.tools.export.optimade import write_optimade
from crystalformer_rl.tools.export.vasp import write_inputs

ONLY = ("all", "stable", "sun")
READ = (
    "policy", "id", "space_group", "formula", "potential", "relax_status", "stable", "sun",
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
    parser.add_argument(
        "--vasp",
        type=int,
        default=0,
        metavar="N",
        help="also write VASP inputs of the N best crystals of each policy (default: 0)",
    )
    parser.add_argument("--out", type=Path, required=True, help="new folder to write")


def run(args: argparse.Namespace) -> None:
    """Write one folder per policy, and the provenance.

    Raises
    ------
    ValueError
        If the folder is not empty, the table lacks a column, or no crystal is selected.
    """
    if args.out.exists() and (not args.out.is_dir() or any(args.out.iterdir())):
        raise ValueError(f"--out {args.out}: exists; name a new or empty folder")
    if args.vasp < 0:
        raise ValueError(f"--vasp {args.vasp}: must not be negative")
    path = args.evaluation / "structures.parquet"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file; give the folder of the evaluate stage, results/RUN/evaluate, "
            "or the folder evaluate in that of `crystalformer-rl judge`"
        )
    provenance = Provenance(
        __name__,
        settings={"only": args.only, "generated": args.generated, "vasp": args.vasp},
        inputs={"structures": path},
    )
    evaluated = read_table(path)
    needed = (*READ, *COLUMNS, *(f"relaxed_{name}" for name in COLUMNS))
    if missing := [name for name in needed if name not in evaluated]:
        raise ValueError(f"{path}: lacks the columns {missing}: give the folder of evaluate")
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
            folder = args.out / str(policy)
            _write(folder, chosen, convention)
            if args.vasp:
                counts[f"{policy}_vasp_refused"] = _write_best(folder / "vasp", chosen, args.vasp)
            log.info("%s: %d of %d crystals", folder, len(chosen), len(rows))
        else:
            log.warning("%s: none of %d crystals is selected: no folder", policy, len(rows))
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
    write_database(folder / "ase.db", table, structures, energies)
    write_optimade(folder, table)
    listed = pd.DataFrame(
        {"material_id": table["id"].to_numpy(), "structure": [s.to_json() for s in structures]}
    )
    write_text(folder / "lemat-genbench.csv", listed.to_csv(index=False))
    if convention in OWN_HULL_ONLY:
        log.warning("energies.npy is not written: no scheme corrects %s energies", convention)
    elif convention is not None:
        if convention == "mp2020_corrected":
            corrections = np.array([mp2020_correction(structure) for structure in structures])
            energies = energies - corrections * sizes
        with atomic(folder / "energies.npy") as temporary, temporary.open("wb") as stream:
            np.save(stream, energies)


def _write_best(folder: Path, table: pd.DataFrame, count: int) -> int:
    """Write VASP inputs of the ``count`` best crystals; how many are refused."""
    kept = table[~(table["above"] < ARTEFACT_BELOW)].assign(exported=True)
    chosen = best(kept, by="above", among="exported", count=count, descending=False)
    refused = write_inputs(folder, chosen)
    if refused:
        log.warning("%s: %d of %d refused, see crystals.csv", folder, refused, len(chosen))
    return refused


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
