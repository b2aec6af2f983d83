"""``relax``: one shard of generated crystals, relaxed with one potential."""

import argparse
import logging
from collections import Counter
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from crystalformer_rl.config import RelaxSettings
from crystalformer_rl.crystal.structures import structure_columns, structures_of
from crystalformer_rl.files import read_table, write_table
from crystalformer_rl.potentials.registry import load
from crystalformer_rl.potentials.relax import Relaxation, relax
from crystalformer_rl.provenance import Provenance
from crystalformer_rl.stages.devices import best_device

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--settings", required=True, help="the relax section, as JSON")
    parser.add_argument("--sample", type=Path, required=True, help="shard of the sample stage")
    parser.add_argument("--out", type=Path, required=True, help="parquet file to write")


def run(args: argparse.Namespace) -> None:
    """Write a record per crystal of the shard, whatever became of it, and the provenance."""
    settings = RelaxSettings.model_validate_json(args.settings)
    device = best_device()
    provenance = Provenance(
        "relax",
        settings=settings.model_dump(mode="json"),
        inputs={"sample": args.sample},
        device=device,
    )
    sample = read_table(args.sample)
    structures = structures_of(sample)
    potential = load(settings.potential, device=device)
    with tqdm(total=len(structures), desc="relax", disable=None) as bar:

        def report(index: int, record: Relaxation) -> None:
            bar.update()
            name, error = sample["id"].iloc[index], record.error or ""
            log.info("%s %s after %d steps %s", name, record.status, record.steps, error)

        records = relax(
            potential,
            structures,
            max_force=settings.max_force,
            max_steps=settings.max_steps,
            on_done=report,
        )
    write_table(args.out, _table(sample["id"].tolist(), records, potential=settings.potential))
    provenance.write(
        args.out.with_suffix(".provenance.json"),
        items=len(records),
        steps=sum(record.steps for record in records),
        **Counter(str(record.status) for record in records),
    )


def _table(ids: list[str], records: list[Relaxation], *, potential: str) -> pd.DataFrame:
    columns = structure_columns([record.structure for record in records], prefix="relaxed_")
    return pd.DataFrame(
        {
            "id": ids,
            "potential": potential,
            "status": [record.status for record in records],
            "error": pd.Series([record.error for record in records], dtype="string"),
            **{
                name: pd.Series([getattr(record, name) for record in records], dtype="Float64")
                for name in ("energy_initial", "energy_final", "max_force", "max_stress")
            },
            "steps": [record.steps for record in records],
            **columns,
        }
    )
