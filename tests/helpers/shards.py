"""Sample and relaxation shards of a few crystals, and what evaluates them."""

from pathlib import Path

import pandas as pd
from pymatgen.core import Structure

from crystalformer_rl.config import EvaluateSettings
from crystalformer_rl.crystal.structures import structure_columns
from crystalformer_rl.evaluation.known import describe
from crystalformer_rl.files import read_table, write_table
from crystalformer_rl.stability.reference import Elements, HullRules, write_hull
from crystalformer_rl.stages import assess
from helpers.cli import run_verb
from helpers.crystals import cubic_crystal

SALT = cubic_crystal("Fm-3m", "Na", "Cl", 5.6)
CESIUM = cubic_crystal("Pm-3m", "Na", "Cl", 3.5)


def prepare(folder: Path) -> None:
    """A hull with one compound, and a dataset of two crystals."""
    hull = pd.DataFrame({"formula": ["NaCl"], "formation_energy_per_atom": [-2.0]})
    elements = Elements("chgnet", "mp2020_corrected", {"Na": -1.0, "Cl": -2.0})
    write_hull(folder / "hull", hull, elements=elements, rules=HullRules())
    known = {"id": ["mp-22862", "mp-1"], "split": ["test", "train"]}
    known |= structure_columns([SALT, cubic_crystal("Fm-3m", "Mg", "O", 4.2)])
    write_table(folder / "structures.parquet", pd.DataFrame(known))
    write_table(folder / "known.parquet", describe(pd.DataFrame(known)))


def write_shard(
    folder: Path, policy: str, rows: list[tuple[Structure | None, float | None]], number: int = 0
) -> None:
    """A sample shard and its relaxation: crystals as generated, with energies in eV/atom."""
    ids = [f"{policy}-{number:04d}-{i:04d}" for i in range(len(rows))]
    structures = [structure for structure, _ in rows]
    decoded = [structure is not None for structure in structures]
    sample = {
        "id": ids,
        "space_group": 225,
        "num_sites": 2,
        "wyckoff": [[1, 2]] * len(rows),
        "log_prob": -3.0,
        "decode_error": [None if good else "no volume" for good in decoded],
        **structure_columns(structures),
    }
    relaxed = {
        "id": ids,
        "potential": "chgnet",
        "status": ["converged" if good else "unphysical" for good in decoded],
        "error": [None if good else "no structure" for good in decoded],
        "energy_initial": [energy for _, energy in rows],
        "energy_final": [energy for _, energy in rows],
        "max_force": 0.0,
        "max_stress": 0.0,
        "steps": 1,
        **structure_columns(structures, prefix="relaxed_"),
    }
    for stage, columns in (("sample", sample), ("relax", relaxed)):
        write_table(folder / f"{stage}/{policy}/shard-{number:04d}.parquet", pd.DataFrame(columns))


def write_judge(folder: Path, policy: str, energies: list[float]) -> None:
    """The judge's hull, and its relaxations of the first shard of a policy."""
    hull = pd.DataFrame({"formula": ["NaCl"], "formation_energy_per_atom": [-1.0]})
    elements = Elements("sevennet", "mp2020_corrected", {"Na": 0.0, "Cl": 0.0})
    write_hull(folder / "judge-hull", hull, elements=elements, rules=HullRules())
    shard = read_table(folder / f"relax/{policy}/shard-0000.parquet")
    shard = shard.assign(potential="sevennet", energy_initial=energies, energy_final=energies)
    write_table(folder / f"judge/{policy}/shard-0000.parquet", shard)


def words_of(folder: Path, policy: str, number: int = 0) -> list[str]:
    """The command line that assesses a shard; with the judge if it has seen it."""
    shard = f"{policy}/shard-{number:04d}.parquet"
    words = ["--settings", EvaluateSettings().model_dump_json(), "--policy", policy]
    words += ["--sample", f"{folder}/sample/{shard}", "--relaxed", f"{folder}/relax/{shard}"]
    words += ["--hull", f"{folder}/hull", "--structures", f"{folder}/structures.parquet"]
    words += ["--known", f"{folder}/known.parquet"]
    if (folder / "judge" / shard).exists():
        words += ["--judge-hull", f"{folder}/judge-hull", "--judged", f"{folder}/judge/{shard}"]
    journal = f"{folder}/checkpoints/{policy}/shard-{number:04d}.journal"
    return [*words, "--journal", journal, "--out", f"{folder}/assess/{shard}"]


def assess_shard(folder: Path, policy: str, number: int = 0) -> pd.DataFrame:
    """Assess a shard; its rows."""
    run_verb(assess, words_of(folder, policy, number))
    return read_table(folder / f"assess/{policy}/shard-{number:04d}.parquet")
