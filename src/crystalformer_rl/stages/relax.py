"""``relax``: relax one shard of sampled crystals with one potential.

A second potential can start from the crystals with which the first one ended (``--after``).

Finished crystals are kept in a journal, from which an interrupted job continues; unfinished ones
are relaxed again from the start. The workflow deletes the journal (jobs/cleanup.py).
"""

import argparse
import logging
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from pymatgen.core import Structure
from tqdm import tqdm

from crystalformer_rl.config import RelaxSettings, canonical
from crystalformer_rl.crystal.structures import (
    COLUMNS,
    readable_structures,
    structure_columns,
    structures_of,
)
from crystalformer_rl.files import read_table, write_table
from crystalformer_rl.jobs.device import best_device
from crystalformer_rl.jobs.fingerprint import fingerprint
from crystalformer_rl.jobs.interruption import Termination
from crystalformer_rl.jobs.journal import Journal
from crystalformer_rl.jobs.provenance import Provenance
from crystalformer_rl.potentials import registry
from crystalformer_rl.potentials.base import Failure, Potential, evaluate_each
from crystalformer_rl.potentials.relax import ATOMS_AT_ONCE, Relaxation, relax
from crystalformer_rl.seeds import file_digest

FLOATS = ("energy_initial", "energy_final", "max_force", "max_stress")

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--settings", required=True, help="the relax section, as JSON")
    parser.add_argument("--sample", type=Path, required=True, help="shard of the sample stage")
    parser.add_argument(
        "--after",
        type=Path,
        help="the same shard as another potential has relaxed it: start from these crystals",
    )
    parser.add_argument(
        "--journal", type=Path, required=True, help="file that survives an interruption"
    )
    registry.add_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="parquet file to write")


def run(args: argparse.Namespace) -> None:
    """Write one record per crystal of the shard, including failures, and the provenance.

    SIGTERM ends the process with code 75. On a CPU crystals are relaxed one by one: a batch is
    hardly faster there, and an interruption then does not change the result by a single bit
    (docs/explanation/relaxation.md).
    """
    with Termination() as termination:
        _relax(args, termination)


def _relax(args: argparse.Namespace, termination: Termination) -> None:
    settings = RelaxSettings.model_validate_json(args.settings)
    device = best_device()
    provenance = Provenance(
        __name__,
        potential=settings.potential,
        settings=settings.model_dump(mode="json"),
        inputs={"sample": args.sample} | ({"after": args.after} if args.after else {}),
        device=device,
    )
    sample = read_table(args.sample)
    if "id" not in sample.columns:
        raise ValueError(f"{args.sample}: no column 'id'; it has {list(sample.columns)}")
    ids = sample["id"].tolist()
    structures, faults = readable_structures(sample)
    starts = _starts(args.after, ids) if args.after else [None] * len(ids)
    potential = registry.load(settings.potential, device=device, trust_pickles=args.trust_pickles)
    journal = Journal(
        args.journal,
        key={
            "settings": canonical(settings),
            "sample": file_digest(args.sample),
            "after": file_digest(args.after) if args.after else None,
            "potential": potential.digest,
            "code": fingerprint(__name__, potential=settings.potential),
            "device": device,
        },
    )
    rows: dict[int, dict[str, Any]] = dict(journal.found)
    left = [place for place in range(len(ids)) if place not in rows]
    if rows:
        log.info("%d of %d crystals are in journal %s", len(rows), len(ids), args.journal)
    as_generated = _energies(
        potential, {place: structures[place] for place in left if starts[place] is not None}
    )
    with tqdm(total=len(ids), initial=len(rows), desc="relax", disable=None) as bar:

        def keep(index: int, record: Relaxation) -> None:
            place = left[index]
            if place in faults:
                record = replace(record, error=faults[place])
            if place in as_generated:
                record = replace(record, energy_initial=as_generated[place])
            rows[place] = _row(record)
            journal.append(place, rows[place])
            bar.update()
            reason = record.error or ""
            log.info("%s %s after %d steps %s", ids[place], record.status, record.steps, reason)

        relax(
            potential,
            [starts[place] or structures[place] for place in left],
            max_force=settings.max_force,
            max_steps=settings.max_steps,
            keep_symmetry=settings.keep_symmetry,
            atoms_at_once=1 if device == "cpu" else ATOMS_AT_ONCE,
            on_done=keep,
            on_sweep=termination.exit_if_requested,
        )
    table = _table(ids, [rows[place] for place in range(len(ids))], potential=settings.potential)
    write_table(args.out, table)
    provenance.write(
        args.out.with_suffix(".provenance.json"),
        items=len(left),
        steps=int(table["steps"].sum()),
        steps_of_this_job=sum(rows[place]["steps"] for place in left),
        **Counter(table["status"]),
    )


def _starts(shard: Path, ids: list[str]) -> list[Structure | None]:
    """The crystals with which another relaxation of the shard ended, None where it has none."""
    table = read_table(shard)
    if table["id"].tolist() != ids:
        raise ValueError(f"{shard}: has other crystals than the sample: relax the same shard")
    return structures_of(table, prefix="relaxed_")


def _energies(
    potential: Potential, crystals: dict[int, Structure | None]
) -> dict[int, float | None]:
    """Energies of crystals, eV/atom, by their place; None where the potential fails."""
    answers = evaluate_each(potential, list(crystals.values()))
    return {
        place: None
        if crystal is None or isinstance(answer, Failure)
        else answer.energy / len(crystal)
        for (place, crystal), answer in zip(crystals.items(), answers, strict=True)
    }


def _row(record: Relaxation) -> dict[str, Any]:
    """A row of the shard, serialisable as JSON."""
    cell = structure_columns([record.structure])
    return {
        "status": record.status,
        "error": record.error,
        **{name: getattr(record, name) for name in FLOATS},
        "steps": record.steps,
        **{f"relaxed_{name}": column[0] for name, column in cell.items()},
    }


def _table(ids: list[str], rows: list[dict[str, Any]], *, potential: str) -> pd.DataFrame:
    def column(name: str) -> list[Any]:
        return [row[name] for row in rows]

    return pd.DataFrame(
        {
            "id": ids,
            "potential": potential,
            "status": column("status"),
            "error": pd.Series(column("error"), dtype="string"),
            **{name: pd.Series(column(name), dtype="Float64") for name in FLOATS},
            "steps": column("steps"),
            **{f"relaxed_{name}": column(f"relaxed_{name}") for name in COLUMNS},
        }
    )
