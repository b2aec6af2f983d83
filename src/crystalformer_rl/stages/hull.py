"""``hull``: formation energies of the known compounds, from the dataset or from a CSV."""

import argparse
import logging
import lzma
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
from pymatgen.core import Composition

from crystalformer_rl.config import HullSettings
from crystalformer_rl.crystal.structures import structures_of
from crystalformer_rl.files import read_table, write_json, write_table
from crystalformer_rl.potentials.base import Failure, evaluate_each
from crystalformer_rl.potentials.registry import load
from crystalformer_rl.provenance import Provenance
from crystalformer_rl.stability.elements import ElementReferences
from crystalformer_rl.stages.devices import best_device
from crystalformer_rl.stages.hulls import read_elements
from crystalformer_rl.stages.progress import progress

CHUNK = 64
UNREADABLE = (
    EOFError, UnicodeError, lzma.LZMAError, zlib.error,
    pd.errors.ParserError, pd.errors.EmptyDataError,
)  # fmt: skip
CSV_COLUMNS = ("formula", "formation_energy_per_atom")

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--settings", required=True, help="the hull section, as JSON")
    parser.add_argument("--structures", type=Path, required=True, help="table of the dataset stage")
    parser.add_argument(
        "--elements", type=Path, required=True, help="JSON: potential, energies of the elements"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")


def run(args: argparse.Namespace) -> None:
    """Write ``hull.parquet``, ``rejected.parquet``, ``elements.json`` and ``provenance.json``."""
    settings = HullSettings.model_validate_json(args.settings)
    device = best_device()
    source = Path(settings.csv_path) if settings.csv_path is not None else args.structures
    provenance = Provenance(
        "hull",
        settings=settings.model_dump(mode="json"),
        inputs={"source": source, "elements": args.elements},
        device=device,
    )
    potential, references = read_elements(args.elements)
    if potential != settings.potential:
        raise ValueError(
            f"{args.elements}: energies of potential {potential!r}, but hull.potential is "
            f"{settings.potential!r}: energies of two potentials do not mix"
        )
    counts: dict[str, int] = {}
    if settings.reference == "csv":
        entries = _from_csv(source)
        rejected = pd.DataFrame({"id": [], "split": [], "reason": []}, dtype="str")
    else:
        dataset = read_table(source)
        energies, failures, counts = _energies(dataset, potential=potential, device=device)
        entries, rejected = _from_dataset(dataset, energies, failures, references)
    if entries.empty:
        raise ValueError(f"{source}: no entry for the hull; {len(rejected)} rows were rejected")
    log.info("%d entries, %d rejected", len(entries), len(rejected))
    write_table(args.out / "hull.parquet", entries)
    write_table(args.out / "rejected.parquet", rejected)
    write_json(
        args.out / "elements.json", {"potential": potential, "energies": dict(references.energies)}
    )
    provenance.write(
        args.out / "provenance.json", items=len(entries), rejected=len(rejected), **counts
    )


def _from_csv(path: Path) -> pd.DataFrame:
    # Without keep_default_na=False pandas would take sodium nitride, NaN, for a missing value.
    try:
        table = pd.read_csv(path, keep_default_na=False, dtype="str")
    except UNREADABLE as error:
        raise ValueError(f"{path}: cannot be read as CSV: {error}") from error
    if missing := [name for name in CSV_COLUMNS if name not in table.columns]:
        raise ValueError(f"{path}: columns {missing} are missing; it has {list(table.columns)}")
    energies = pd.to_numeric(table["formation_energy_per_atom"], errors="coerce").to_numpy()
    if not np.isfinite(energies).all():
        row = int(np.flatnonzero(~np.isfinite(energies))[0])
        value = table["formation_energy_per_atom"].iloc[row]
        raise ValueError(
            f"{path}: row {row + 1}, {table['formula'].iloc[row]}: formation_energy_per_atom "
            f"{value!r} must be a finite number"
        )
    blank = pd.Series([None] * len(table), dtype="str")
    return pd.DataFrame(
        {
            "formula": table["formula"],
            "formation_energy_per_atom": energies,
            "source": "csv",
            "id": table.get("material_id", table.get("id", blank)),
        }
    )


def _energies(
    dataset: pd.DataFrame, *, potential: str, device: str
) -> tuple[list[float], list[str | None], dict[str, int]]:
    """Energy per atom of each row, eV, or NaN and the reason why there is none."""
    energies = np.full(len(dataset), np.nan)
    if {"energy_per_atom", "potential"} <= set(dataset.columns):
        known = (dataset["potential"] == potential).to_numpy(dtype=bool, na_value=False)
        energies[known] = dataset["energy_per_atom"].to_numpy(np.float64, na_value=np.nan)[known]
    reasons: list[str | None] = [None] * len(dataset)
    missing = np.flatnonzero(~np.isfinite(energies))
    if len(missing):
        log.info("%d of %d energies to compute with %s", len(missing), len(dataset), potential)
        model = load(potential, device=device)
        for start in progress(range(0, len(missing), CHUNK), label="hull"):
            rows = missing[start : start + CHUNK]
            structures = structures_of(dataset.iloc[rows])
            for row, structure, answer in zip(
                rows, structures, evaluate_each(model, structures), strict=True
            ):
                if isinstance(answer, Failure):
                    reasons[row] = f"{answer.status}: {answer.reason}"
                else:
                    assert structure is not None
                    energies[row] = answer.energy / len(structure)
    return (
        energies.tolist(),
        reasons,
        {"computed": len(missing), "known": len(dataset) - len(missing)},
    )


def _from_dataset(
    dataset: pd.DataFrame,
    energies: list[float],
    reasons: list[str | None],
    references: ElementReferences,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Entries and rejected rows."""
    entries: list[tuple[str, float, str, str]] = []
    rejected: list[tuple[str, str, str]] = []
    rows = zip(dataset["id"], dataset["split"], dataset["formula"], energies, reasons, strict=True)
    for name, split, formula, energy, reason in rows:
        problem = reason
        if problem is None:
            try:
                formation = references.formation_energy(Composition(formula), energy)
            except ValueError as error:
                problem = str(error)
            else:
                entries.append((formula, formation, "dataset", name))
        if problem is not None:
            rejected.append((name, split, problem))
    return (
        pd.DataFrame(entries, columns=["formula", "formation_energy_per_atom", "source", "id"]),
        pd.DataFrame(rejected, columns=["id", "split", "reason"], dtype="str"),
    )
