"""``hull``: formation energies of the known compounds, from the dataset or from files."""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from pymatgen.core import Composition

from crystalformer_rl.config import HullSettings
from crystalformer_rl.crystal.known_energies import known_energies
from crystalformer_rl.crystal.labels import texts
from crystalformer_rl.crystal.structures import cells_of
from crystalformer_rl.files import read_table, write_table
from crystalformer_rl.jobs.progress import progress
from crystalformer_rl.jobs.provenance import Provenance
from crystalformer_rl.layout import shards
from crystalformer_rl.manifest import verify
from crystalformer_rl.stability.corrections import MP2020, TRI2024
from crystalformer_rl.stability.elements import ElementReferences, parse_formula
from crystalformer_rl.stability.entries import (
    UNSTATED,
    HullEntry,
    common_scheme,
    lowest_elements,
    scheme_of,
)
from crystalformer_rl.stability.kinds import (
    check_elements,
    check_size,
    refuse_other_functionals,
)
from crystalformer_rl.stability.readers import read_csv, read_entries
from crystalformer_rl.stability.reference import (
    OWN_HULL_ONLY,
    HullRules,
    read_elements,
    write_hull,
)

# What corrects entries, by scheme.
COMPATIBILITIES = {
    MP2020: "pymatgen's MaterialsProject2020Compatibility",
    TRI2024: "MatterGen's TRI110Compatibility2024",
}
COLUMNS = ["formula", "formation_energy_per_atom", "source", "id"]
REJECTED_COLUMNS = ["id", "split", "reason"]

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--settings", required=True, help="the hull section, as JSON")
    parser.add_argument("--structures", type=Path, required=True, help="table of the dataset stage")
    parser.add_argument(
        "--elements",
        type=Path,
        required=True,
        help="JSON with the potential and the energies of the elements",
    )
    parser.add_argument(
        "--energies",
        type=shards,
        default=[],
        metavar="FOLDER:COUNT",
        help="shards of the energies that the dataset does not have",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")


def run(args: argparse.Namespace) -> None:
    """Call :func:`build_hull` with the arguments of the verb."""
    build_hull(
        HullSettings.model_validate_json(args.settings),
        structures=args.structures,
        element_energies=args.elements,
        energies=args.energies,
        out=args.out,
    )


def build_hull(
    settings: HullSettings,
    *,
    structures: Path,
    element_energies: Path,
    out: Path,
    energies: Sequence[Path] = (),
) -> None:
    """Write the hull (:func:`~.reference.write_hull`), rejected rows and ``provenance.json``.

    ``energies`` are all shards of stage ``energies``; of a hull from files, none.
    """
    sources = [Path(path) for path in settings.files] or [structures]
    verify(sources)
    provenance = Provenance(
        __name__,
        settings=settings.model_dump(mode="json"),
        inputs={"source": sources, "elements": element_energies, "energies": list(energies)},
    )
    elements = replace(read_elements(element_energies), corrections=settings.corrections)
    if elements.potential != settings.potential:
        raise ValueError(
            f"{element_energies}: has energies of potential {elements.potential!r}, but "
            f"hull.potential is {settings.potential!r}: give element energies of the same potential"
        )
    counts: dict[str, int] = {}
    if settings.reference == "dataset":
        dataset = read_table(structures)
        found, failures, counts = _energies(dataset, energies, potential=settings.potential)
        entries, rejected = _from_dataset(dataset, found, failures, elements.references)
        own = elements.convention in OWN_HULL_ONLY
        scheme = elements.convention if own else settings.corrections
    else:
        if elements.convention in OWN_HULL_ONLY:
            raise ValueError(
                f"hull.potential {settings.potential!r} has energies of another kind "
                f"({elements.convention}) than the files of hull.files: hull.reference must be "
                "'dataset'"
            )
        known, scheme = _from_files(
            sources, csv=settings.reference == "csv", wanted=settings.corrections
        )
        if settings.reference != "csv":
            lowest = ElementReferences(lowest_elements(known))
            known = check_size(
                ", ".join(map(str, sources)), [_formed(entry, lowest) for entry in known]
            )
            # Compounds of an element without an entry cannot be placed on this hull, even if the
            # potential knows the element.
            energies_of_both = {
                symbol: energy
                for symbol, energy in elements.energies.items()
                if symbol in lowest.energies
            }
            elements = replace(elements, energies=energies_of_both)
        entries, rejected = _tables(known, source=settings.reference)
    if entries.empty:
        named = ", ".join(map(str, sources))
        reasons = "; ".join(map(str, rejected["reason"][:3])) or "there is none"
        raise ValueError(
            f"{named}: no entry for the hull; {len(rejected)} rows were rejected: {reasons}"
        )
    log.info(
        "%s: %d entries, %d rejected; corrections: %s", out, len(entries), len(rejected), scheme
    )
    rules = HullRules(settings.min_references, settings.exclude_ytterbium)
    write_hull(out, entries, elements=elements, rules=rules)
    write_table(out / "rejected.parquet", rejected)
    provenance.write(
        out / "provenance.json",
        items=len(entries),
        rejected=len(rejected),
        corrections=scheme,
        **counts,
    )


def _from_files(paths: Sequence[Path], *, csv: bool, wanted: str) -> tuple[list[HullEntry], str]:
    """The entries of all files, and their correction scheme: ``wanted`` or unstated."""
    found: list[HullEntry] = []
    schemes: dict[Path, str | None] = {}
    for path in paths:
        entries = read_csv(path) if csv else list(progress(read_entries(path), label=path.name))
        entries = refuse_other_functionals(str(path), entries)
        if csv:
            entries = check_size(str(path), check_elements(str(path), entries))
        schemes[path] = scheme_of(path, entries)
        found += entries
    scheme = common_scheme(schemes)
    if scheme not in (wanted, UNSTATED, None):
        raise ValueError(
            f"{', '.join(map(str, paths))}: correction scheme {scheme!r}, but the hull needs "
            f"{wanted} energies: apply {COMPATIBILITIES[wanted]} to the entries"
        )
    return found, scheme or UNSTATED


def _formed(entry: HullEntry, elements: ElementReferences) -> HullEntry:
    """The entry with its formation energy instead of its total energy."""
    if entry.problem is not None:
        return entry
    try:
        composition = Composition(parse_formula(entry.formula))
        return replace(entry, energy=elements.formation_energy(composition, entry.energy))
    except ValueError as error:
        return replace(entry, problem=str(error))


def _tables(entries: Sequence[HullEntry], *, source: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Entries of the hull, and rejected entries with the reason."""
    good = [e for e in entries if e.problem is None]
    bad = [e for e in entries if e.problem is not None]
    return (
        pd.DataFrame([(e.formula, e.energy, source, e.id) for e in good], columns=COLUMNS),
        pd.DataFrame(
            [(e.id, None, f"{e.place}: {e.problem}") for e in bad],
            columns=REJECTED_COLUMNS,
            dtype="str",
        ),
    )


def _energies(
    dataset: pd.DataFrame, paths: Sequence[Path], *, potential: str
) -> tuple[list[float], list[str | None], dict[str, int]]:
    """Energy of each row, eV/atom, or NaN and the reason why there is none.

    Energies that the dataset does not have are taken from ``paths``, the shards of stage
    ``energies``.
    """
    energies = known_energies(dataset, potential)
    reasons: list[str | None] = [None] * len(dataset)
    computed: dict[str, tuple[float, str | None]] = {}
    for path in paths:
        table = read_table(path)
        if others := set(table["potential"]) - {potential}:
            raise ValueError(
                f"{path}: has energies of potential {others.pop()!r}, but hull.potential is "
                f"{potential!r}"
            )
        values = table["energy_per_atom"].to_numpy(np.float64, na_value=np.nan)
        computed |= zip(table["id"], zip(values, texts(table["reason"]), strict=True), strict=True)
    missing = np.flatnonzero(np.isnan(energies))
    ids = dataset["id"].to_numpy()
    if lacking := [name for name in ids[missing] if name not in computed]:
        raise ValueError(
            f"{len(lacking)} crystals have no energy by {potential}, such as {lacking[0]!r}: "
            "compute them with crystalformer-rl energies, and name the folder of its shards and "
            "their number: --energies FOLDER:COUNT"
        )
    for row in missing:
        energies[row], reasons[row] = computed[ids[row]]
    counts = {"computed": len(missing), "known": len(dataset) - len(missing)}
    return energies.tolist(), reasons, counts


def _from_dataset(
    dataset: pd.DataFrame,
    energies: list[float],
    reasons: list[str | None],
    references: ElementReferences,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Entries and rejected rows."""
    # Without a correction the composition is enough, and faster to build.
    corrected = references.correction is not None
    crystals = cells_of(dataset) if corrected else map(Composition, dataset["formula"])
    entries: list[tuple[str, float, str, str]] = []
    rejected: list[tuple[str, str, str]] = []
    rows = zip(
        dataset["id"],
        dataset["split"],
        dataset["formula"],
        energies,
        reasons,
        crystals,
        strict=True,
    )
    for name, split, formula, energy, reason, crystal in rows:
        problem = reason
        if problem is None:
            try:
                formation = references.formation_energy(crystal, energy)
            except ValueError as error:
                problem = str(error)
            else:
                entries.append((formula, formation, "dataset", name))
        if problem is not None:
            rejected.append((name, split, problem))
    return (
        pd.DataFrame(entries, columns=COLUMNS),
        pd.DataFrame(rejected, columns=REJECTED_COLUMNS, dtype="str"),
    )
