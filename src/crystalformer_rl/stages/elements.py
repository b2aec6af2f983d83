"""``elements``: compute a potential's reference energies of the elements."""

import argparse
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from crystalformer_rl.crystal.structures import cells_of
from crystalformer_rl.files import read_table
from crystalformer_rl.jobs.device import best_device
from crystalformer_rl.jobs.progress import Progress
from crystalformer_rl.jobs.provenance import Provenance
from crystalformer_rl.potentials import registry
from crystalformer_rl.potentials.relax import Relaxation, relax
from crystalformer_rl.stability.reference import Elements, write_elements

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--potential", required=True, help="NAME or NAME:MODEL_OR_PATH")
    parser.add_argument(
        "--crystals", type=Path, required=True, help="table of crystals of one element each"
    )
    # The values used for the shipped references; elements need few steps.
    parser.add_argument("--max-force", type=float, default=0.05, help="eV/Å")
    parser.add_argument("--max-steps", type=int, default=200)
    registry.add_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")


def run(args: argparse.Namespace) -> None:
    """Relax all crystals; write the lowest converged energy of each element and the provenance.

    Raises
    ------
    ValueError
        If a crystal is missing or has several elements, or none converges.
    """
    device = best_device()
    provenance = Provenance(
        __name__,
        potential=args.potential,
        settings={name: getattr(args, name) for name in ("potential", "max_force", "max_steps")},
        inputs={"crystals": args.crystals},
        device=device,
    )
    table = read_table(args.crystals)
    crystals = cells_of(table)
    symbols: list[str] = []
    for name, crystal in zip(table["id"], crystals, strict=True):
        if crystal is None or len(crystal.symbols) != 1:
            raise ValueError(f"{args.crystals}: crystal {name} must consist of one element")
        symbols += crystal.symbols
    potential = registry.load(args.potential, device=device, trust_pickles=args.trust_pickles)
    with Progress("elements", len(crystals)) as bar:
        records = relax(
            potential,
            crystals,
            max_force=args.max_force,
            max_steps=args.max_steps,
            on_done=lambda index, record: bar.update(),
        )
    for name, record in zip(table["id"], records, strict=True):
        if record.status != "converged":
            log.info("%s rejected: %s %s", name, record.status, record.error or "")
    energies = _lowest(symbols, records)
    if not energies:
        raise ValueError(f"{args.crystals}: no crystal converges with potential {args.potential!r}")
    missing = sorted(set(symbols) - energies.keys())
    if missing:
        log.warning("%s: no energy for %s", args.potential, ", ".join(missing))
    write_elements(args.out, Elements(args.potential, potential.energy_convention, energies))
    provenance.write(
        args.out.with_suffix(".provenance.json"),
        items=len(records),
        elements=len(energies),
        missing=" ".join(missing),
        **Counter[str](record.status for record in records),
    )


def _lowest(symbols: Sequence[str], records: Sequence[Relaxation]) -> dict[str, float]:
    """Lowest converged energy of each element, eV/atom."""
    energies: dict[str, float] = {}
    for symbol, record in sorted(zip(symbols, records, strict=True), key=lambda pair: pair[0]):
        if record.status == "converged" and record.energy_final is not None:
            energies[symbol] = min(record.energy_final, energies.get(symbol, record.energy_final))
    return energies
