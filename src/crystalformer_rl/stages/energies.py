"""``energies``: compute one shard of the energies that the hull of the dataset needs.

A crystal belongs to a shard by its digest. Energies are kept in a cache as soon as they are
computed, so that an interrupted job continues, and a job whose dataset has grown computes only what
is new. The workflow never deletes the cache.
"""

import argparse
import logging
from pathlib import Path

import numpy as np
import pandas as pd

from crystalformer_rl.crystal.digest import cell_digest
from crystalformer_rl.crystal.known_energies import known_energies
from crystalformer_rl.crystal.structures import COLUMNS, cells_of
from crystalformer_rl.files import read_table, write_table
from crystalformer_rl.jobs.cache import Cache, shard_of
from crystalformer_rl.jobs.device import best_device
from crystalformer_rl.jobs.fingerprint import fingerprint
from crystalformer_rl.jobs.interruption import Termination
from crystalformer_rl.jobs.progress import progress
from crystalformer_rl.jobs.provenance import Provenance
from crystalformer_rl.potentials import registry
from crystalformer_rl.potentials.base import Failure, Potential, evaluate_each

CHUNK = 512
EVALUATION = "crystalformer_rl.potentials.base"
"""The module whose code, with that of the potential, an energy depends on."""

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--potential", required=True, help="NAME or NAME:MODEL_OR_PATH")
    parser.add_argument("--structures", type=Path, required=True, help="table of the dataset stage")
    parser.add_argument("--shard", type=int, required=True, help="number of the shard, from 0")
    parser.add_argument("--shards", type=int, required=True, help="number of shards, at most 256")
    parser.add_argument(
        "--cache", type=Path, required=True, help="folder of energies that were computed before"
    )
    registry.add_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="parquet file to write")


def run(args: argparse.Namespace) -> None:
    """Write energy or reason of each crystal of the shard without a known one, and the provenance.

    SIGTERM ends the process with code 75. On a CPU crystals are evaluated one by one: a batch is
    hardly faster there, and an energy then does not depend on the other crystals by a single bit.
    """
    with Termination() as termination:
        _compute(args, termination)


def _compute(args: argparse.Namespace, termination: Termination) -> None:
    device = best_device()
    provenance = Provenance(
        __name__,
        potential=args.potential,
        settings={name: getattr(args, name) for name in ("potential", "shard", "shards")},
        inputs={"structures": args.structures},
        device=device,
    )
    table = _table_of_shard(args)
    # Datasets contain duplicates, which are evaluated once.
    crystals = table.drop_duplicates("digest")
    energies: dict[str, float] = {}
    reasons: dict[str, str] = {}
    if len(crystals):
        # Loaded even if all energies are in the cache: only its weights tell whether they are its.
        potential = registry.load(args.potential, device=device, trust_pickles=args.trust_pickles)
        cache = _cache(args.cache, potential, spec=args.potential)
        found = {digest: cache.get(digest) for digest in crystals["digest"]}
        energies = {digest: energy for digest, energy in found.items() if energy is not None}
        if energies:
            log.info("%d of %d energies are in cache %s", len(energies), len(crystals), args.cache)
    left = crystals[~crystals["digest"].isin(energies.keys())]
    size = 1 if device == "cpu" else CHUNK
    for start in progress(range(0, len(left), size), label="energies"):
        termination.exit_if_requested()
        part = left.iloc[start : start + size]
        cells = cells_of(part)
        answers = evaluate_each(potential, cells)
        for name, digest, cell, answer in zip(
            part["id"], part["digest"], cells, answers, strict=True
        ):
            # Not kept: a failure may be the machine's, such as too little memory.
            if isinstance(answer, Failure):
                reasons[digest] = f"{answer.status}: {answer.reason}"
                log.info("%s %s", name, reasons[digest])
            else:
                assert cell is not None
                energies[digest] = answer.energy / len(cell)
                cache.put(digest, energies[digest])
    write_table(
        args.out,
        pd.DataFrame(
            {
                "id": table["id"],
                "potential": args.potential,
                "energy_per_atom": table["digest"].map(energies).astype("Float64"),
                "reason": table["digest"].map(reasons).astype("string"),
            }
        ),
    )
    provenance.write(
        args.out.with_suffix(".provenance.json"),
        items=len(left),
        from_cache=len(crystals) - len(left),
        crystals=len(table),
        failed=int(table["digest"].isin(reasons.keys()).sum()),
    )


def _table_of_shard(args: argparse.Namespace) -> pd.DataFrame:
    """Id, structure and digest of the crystals of the shard that have no known energy."""
    dataset = read_table(args.structures)
    missing = np.isnan(known_energies(dataset, args.potential))
    table: pd.DataFrame = dataset.loc[missing, ["id", *COLUMNS]]
    cells = zip(*(table[name] for name in COLUMNS), strict=True)
    table["digest"] = [cell_digest(*cell).hex() for cell in cells]
    shards = np.array([shard_of(digest, args.shards) for digest in table["digest"]], dtype=int)
    return table.iloc[np.flatnonzero(shards == args.shard)]


def _cache(folder: Path, potential: Potential, *, spec: str) -> Cache:
    """The energies that this code and these weights gave; the device hardly changes them."""
    code = fingerprint(EVALUATION, potential=spec)
    return Cache(folder, key={"potential": potential.digest, "code": code})
