"""``relax``: relax one shard of sampled crystals with one potential.

A second potential can start from the crystals with which the first one ended (``--after``).

Finished groups of crystals are kept in a journal, from which an interrupted job continues;
unfinished ones are relaxed again from the start. The workflow deletes the journal
(jobs/cleanup.py).
"""

import argparse
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from crystalformer_rl.config import RelaxSettings, canonical
from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.crystal.structures import COLUMNS, cell_columns, cells_of, readable_cells
from crystalformer_rl.files import read_table, write_table
from crystalformer_rl.jobs.device import best_device
from crystalformer_rl.jobs.fingerprint import fingerprint
from crystalformer_rl.jobs.interruption import Termination
from crystalformer_rl.jobs.journal import Journal
from crystalformer_rl.jobs.progress import Progress
from crystalformer_rl.jobs.provenance import Provenance
from crystalformer_rl.potentials import registry
from crystalformer_rl.potentials.base import Failure, Potential, evaluate_each
from crystalformer_rl.potentials.relax import Relaxation, relax
from crystalformer_rl.seeds import file_digest

# Atoms of a group on a CPU. Larger groups are not faster (docs/records/speed.md).
GROUP_ATOMS = 128
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

    SIGTERM ends the process with code 75. On a CPU the groups that are relaxed together depend on
    the shard alone, so that an interruption does not change the result by a single bit
    (docs/explanation/relaxation.md). On a GPU every crystal is a group of its own in the journal,
    and all of them are relaxed at once.
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
    cells, faults = readable_cells(sample)
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
    on_cpu = device == "cpu"
    groups = _groups(cells, atoms=GROUP_ATOMS if on_cpu else 1)
    group_of = {place: number for number, group in enumerate(groups) for place in group}
    rows: dict[int, dict[str, Any]] = {
        place: row
        for number, found in journal.found.items()
        for place, row in zip(groups[number], found, strict=True)
    }
    unfinished = [group for number, group in enumerate(groups) if number not in journal.found]
    left = [place for group in unfinished for place in group]
    if rows:
        log.info("%d of %d crystals are in journal %s", len(rows), len(ids), args.journal)
    with Progress("relax", len(ids), done=len(rows)) as bar:

        def keep(place: int, record: Relaxation) -> None:
            if place in faults:
                record = replace(record, error=faults[place])
            rows[place] = _row(record)
            number = group_of[place]
            if all(other in rows for other in groups[number]):
                journal.append(number, [rows[other] for other in groups[number]])
            bar.update()
            reason = record.error or ""
            log.info("%s %s after %d steps %s", ids[place], record.status, record.steps, reason)

        for together in unfinished if on_cpu else [left]:
            _relax_together(
                potential,
                {place: cells[place] for place in together},
                {place: starts[place] for place in together},
                settings,
                keep=keep,
                termination=termination,
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


def _relax_together(
    potential: Potential,
    samples: Mapping[int, Cell | None],
    starts: Mapping[int, Cell | None],
    settings: RelaxSettings,
    *,
    keep: Callable[[int, Relaxation], None],
    termination: Termination,
) -> None:
    """Relax crystals, from ``starts`` where there is one; ``keep`` gets place and record of each.

    The first energy of a record is that of the sample in both cases.
    """
    places = list(samples)
    as_generated = _energies(
        potential, {place: samples[place] for place in places if starts[place] is not None}
    )

    def done(index: int, record: Relaxation) -> None:
        place = places[index]
        if place in as_generated:
            record = replace(record, energy_initial=as_generated[place])
        keep(place, record)

    relax(
        potential,
        [starts[place] or samples[place] for place in places],
        max_force=settings.max_force,
        max_steps=settings.max_steps,
        keep_symmetry=settings.keep_symmetry,
        on_done=done,
        on_sweep=termination.exit_if_requested,
    )


def _groups(cells: Sequence[Cell | None], *, atoms: int) -> list[list[int]]:
    """Places of consecutive crystals with at most ``atoms`` atoms in all, or of a larger one."""
    groups: list[list[int]] = []
    size = 0
    for place, cell in enumerate(cells):
        count = 0 if cell is None else len(cell)
        if not groups or size + count > atoms:
            groups.append([])
            size = 0
        groups[-1].append(place)
        size += count
    return groups


def _starts(shard: Path, ids: list[str]) -> list[Cell | None]:
    """The crystals with which another relaxation of the shard ended, None where it has none."""
    table = read_table(shard)
    if table["id"].tolist() != ids:
        raise ValueError(f"{shard}: has other crystals than the sample: relax the same shard")
    return cells_of(table, prefix="relaxed_")


def _energies(potential: Potential, crystals: dict[int, Cell | None]) -> dict[int, float | None]:
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
    cell = cell_columns([record.cell])
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
