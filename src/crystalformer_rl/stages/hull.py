"""``hull``: formation energies of the known compounds, from the dataset or from files."""

import argparse
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from pymatgen.core import Composition

from crystalformer_rl.config import HullSettings
from crystalformer_rl.crystal.labels import energy_column
from crystalformer_rl.crystal.structures import structures_of
from crystalformer_rl.files import read_table, write_table
from crystalformer_rl.jobs.device import best_device
from crystalformer_rl.jobs.progress import progress
from crystalformer_rl.jobs.provenance import Provenance
from crystalformer_rl.manifest import verify
from crystalformer_rl.potentials import registry
from crystalformer_rl.potentials.base import Failure, Potential, evaluate_each
from crystalformer_rl.potentials.cached import CachedPotential
from crystalformer_rl.stability.elements import ElementReferences, parse_formula
from crystalformer_rl.stability.entries import (
    MP2020,
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

CHUNK = 512
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
    registry.add_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")


def run(args: argparse.Namespace) -> None:
    """Call :func:`build_hull` with the arguments of the verb."""
    build_hull(
        HullSettings.model_validate_json(args.settings),
        structures=args.structures,
        element_energies=args.elements,
        trust_pickles=args.trust_pickles,
        out=args.out,
    )


def build_hull(
    settings: HullSettings,
    *,
    structures: Path,
    element_energies: Path,
    out: Path,
    trust_pickles: bool = False,
) -> None:
    """Write the hull (:func:`~.reference.write_hull`), rejected rows and ``provenance.json``."""
    device = best_device()
    sources = [Path(path) for path in settings.files] or [structures]
    verify(sources)
    provenance = Provenance(
        __name__,
        potential=settings.potential,
        settings=settings.model_dump(mode="json"),
        inputs={"source": sources, "elements": element_energies},
        device=device,
    )
    elements = read_elements(element_energies)
    if elements.potential != settings.potential:
        raise ValueError(
            f"{element_energies}: has energies of potential {elements.potential!r}, but "
            f"hull.potential is {settings.potential!r}: give element energies of the same potential"
        )
    counts: dict[str, int] = {}
    if settings.reference == "dataset":
        dataset = read_table(structures)
        load = partial(
            registry.load, settings.potential, device=device, trust_pickles=trust_pickles
        )
        energies, failures, counts = _energies(dataset, potential=settings.potential, load=load)
        entries, rejected = _from_dataset(dataset, energies, failures, elements.references)
        scheme = elements.convention if elements.convention in OWN_HULL_ONLY else MP2020
    else:
        if elements.convention in OWN_HULL_ONLY:
            raise ValueError(
                f"hull.potential {settings.potential!r} has energies of another kind "
                f"({elements.convention}) than the files of hull.files: hull.reference must be "
                "'dataset'"
            )
        known, scheme = _from_files(sources, csv=settings.reference == "csv")
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
        reasons = "; ".join(map(str, rejected["reason"][:3]))
        raise ValueError(
            f"{named}: no entry for the hull; {len(rejected)} rows were rejected: {reasons}"
        )
    log.info("%d entries, %d rejected; corrections: %s", len(entries), len(rejected), scheme)
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


def _from_files(paths: Sequence[Path], *, csv: bool) -> tuple[list[HullEntry], str]:
    """The entries of all files, and their correction scheme: MP2020 or unstated."""
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
    if scheme not in (MP2020, UNSTATED, None):
        raise ValueError(
            f"{', '.join(map(str, paths))}: correction scheme {scheme!r}, but the hull needs "
            f"{MP2020} energies: apply pymatgen's MaterialsProject2020Compatibility to the entries"
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
    dataset: pd.DataFrame, *, potential: str, load: Callable[[], Potential]
) -> tuple[list[float], list[str | None], dict[str, int]]:
    """Energy of each row, eV/atom, or NaN and the reason why there is none.

    ``load`` makes the potential and is called only if the dataset does not have all energies.
    """
    energies = np.full(len(dataset), np.nan)
    if {"energy_per_atom", "potential"} <= set(dataset.columns):
        known = (dataset["potential"] == potential).to_numpy(dtype=bool, na_value=False)
        energies[known] = dataset["energy_per_atom"].to_numpy(np.float64, na_value=np.nan)[known]
    if (own := energy_column(potential)) in dataset:
        values = dataset[own].to_numpy(np.float64, na_value=np.nan)
        energies = np.where(np.isfinite(values), values, energies)
    reasons: list[str | None] = [None] * len(dataset)
    missing = np.flatnonzero(~np.isfinite(energies))
    if len(missing):
        log.info("%d of %d energies to compute with %s", len(missing), len(dataset), potential)
        # Datasets contain duplicates, which the cache evaluates once.
        model = CachedPotential(load())
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
    # Without a correction the composition is enough, and faster to build.
    corrected = references.correction is not None
    crystals = structures_of(dataset) if corrected else map(Composition, dataset["formula"])
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
