"""``train-heads``: train the models of band gap and dielectric constant that the package ships.

This is not a rule of the workflow. docs/explanation/properties.md gives the command, the data and
the errors.
"""

import argparse
import hashlib
import logging
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from crystalformer_rl.files import write_json, write_tensors
from crystalformer_rl.jobs.provenance import Provenance
from crystalformer_rl.making.errors import (
    band_gap_errors,
    dielectric_errors,
    figure_of_merit_errors,
)
from crystalformer_rl.making.fitting import calibrate, fit
from crystalformer_rl.making.labelled import Labelled, read_labelled
from crystalformer_rl.potentials.registry import load
from crystalformer_rl.properties.ensemble import PROPERTIES, Ensemble
from crystalformer_rl.seeds import derive_seed, file_digest

ROLES = ("train", "val", "test")
PACKAGES = ("chgnet", "numpy", "pymatgen", "torch")

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    for role in ROLES:
        parser.add_argument(
            f"--band-gaps-{role}",
            type=Path,
            required=True,
            help=f"{role} rows: CSV with material_id, band_gap (eV; empty: row ignored) and cif",
        )
    parser.add_argument(
        "--dielectric",
        type=Path,
        required=True,
        help="CSV with material_id, band_gap (eV), poly_electronic and cif; split by formula",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the training")
    parser.add_argument(
        "--features", type=Path, help="folder in which crystal features are stored for further runs"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")


def run(args: argparse.Namespace) -> None:
    """Write ``NAME.safetensors`` and ``NAME.json`` of both properties, and ``provenance.json``."""
    gap_files = {role: getattr(args, f"band_gaps_{role}") for role in ROLES}
    provenance = Provenance(
        __name__,
        potential="chgnet",
        settings={name: asdict(item.recipe) for name, item in PROPERTIES.items()},
        inputs={f"band_gaps_{role}": path for role, path in gap_files.items()}
        | {"dielectric": args.dielectric},
        seed=args.seed,
    )
    potential = load("chgnet")
    gaps = {
        role: read_labelled(path, ["band_gap"], potential, args.features)
        for role, path in gap_files.items()
    }
    both = read_labelled(args.dielectric, ["band_gap", "poly_electronic"], potential, args.features)
    roles = np.array([_role(formula) for formula in both.formulas])
    constants = {role: both[roles == role] for role in ROLES}
    # One thread is faster for networks of this size and makes the sums independent of the machine.
    torch.set_num_threads(1)
    gap_ensemble = _train("band_gap", gaps, "band_gap", args.seed)
    constant_ensemble = _train("dielectric", constants, "poly_electronic", args.seed)
    gap_errors = {
        role: band_gap_errors(gap_ensemble.predict(rows.features), rows.labels["band_gap"])
        for role, rows in gaps.items()
    }
    known = constants["train"].labels
    constant_errors = {
        role: dielectric_errors(
            constant_ensemble.predict(rows.features),
            rows.labels["poly_electronic"],
            band_gap=rows.labels["band_gap"],
            known=(known["band_gap"], known["poly_electronic"]),
        )
        for role, rows in constants.items()
    }
    unseen = constants["test"][~np.isin(constants["test"].ids, gaps["train"].ids)]
    product = figure_of_merit_errors(
        gap_ensemble.predict(unseen.features),
        constant_ensemble.predict(unseen.features),
        unseen.labels["band_gap"] * unseen.labels["poly_electronic"],
    )
    common = {"seed": args.seed, "features": f"{potential.name} {potential.version}"}
    _write(args.out, gap_ensemble, list(gaps.values()), {**common, "errors": gap_errors})
    _write(
        args.out,
        constant_ensemble,
        [both],
        {**common, "errors": constant_errors, "figure_of_merit_errors": product},
    )
    items = sum(len(rows.ids) for rows in gaps.values()) + len(both.ids)
    provenance.write(args.out / "provenance.json", items=items)


def _train(
    name: Literal["band_gap", "dielectric"], splits: dict[str, Labelled], label: str, seed: int
) -> Ensemble:
    train, val = splits["train"], splits["val"]
    log.info("%s: training on %d rows", name, len(train.ids))
    ensemble = fit(
        PROPERTIES[name],
        train.features,
        train.labels[label],
        seed=derive_seed(seed, "train_heads", name),
    )
    return calibrate(ensemble, val.features, val.labels[label])


def _write(out: Path, ensemble: Ensemble, tables: list[Labelled], record: dict[str, Any]) -> None:
    name = ensemble.property_.name
    write_tensors(out / f"{name}.safetensors", ensemble.arrays)
    write_json(
        out / f"{name}.json",
        {
            **record,
            "property": name,
            "unit": ensemble.property_.unit,
            "recipe": asdict(ensemble.property_.recipe),
            "maximum": ensemble.maximum,
            "std_scale": ensemble.std_scale,
            "data": [
                {
                    "file": table.path.name,
                    "sha256": file_digest(table.path),
                    "rows": len(table.ids),
                    "rejected": table.rejected,
                }
                for table in tables
            ],
            "packages": {package: metadata.version(package) for package in PACKAGES},
        },
    )
    log.info("%s: %s", name, record["errors"]["test"])


def _role(formula: str) -> str:
    """70 % train, 10 % val, 20 % test; all crystals of a composition in the same split."""
    share = int.from_bytes(hashlib.sha256(formula.encode()).digest()[:8], "big") / 2**64
    return "test" if share < 0.2 else "val" if share < 0.3 else "train"
