"""The files of the ``hull`` stage, as the stages after it read them."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from crystalformer_rl.files import read_json, read_table, write_json
from crystalformer_rl.stability.corrections import mp2020_correction
from crystalformer_rl.stability.elements import ElementReferences
from crystalformer_rl.stability.hull import Hull

# What the energies are that a potential was trained on (potentials/base.py).
CONVENTIONS = ("mp2020_corrected", "uncorrected", "matpes", "omat24")
# Those that belong only with a hull of their own: MP2020 does not correct them.
ON_THEIR_OWN = ("matpes", "omat24")


@dataclass(frozen=True)
class Elements:
    """``elements.json``: whose energies, in which convention, and the energies themselves."""

    potential: str
    convention: str
    references: ElementReferences


def hull_files(folder: Path) -> list[Path]:
    """The two files of a hull."""
    return [Path(folder) / "hull.parquet", Path(folder) / "elements.json"]


def read_hull(folder: Path, *, energies_of: Collection[str] = ()) -> tuple[Hull, ElementReferences]:
    """The hull with its rules, and the elements that formation energies are measured from.

    Raises
    ------
    ValueError
        If the hull is not one of the potentials whose energies are to be placed on it.
    """
    entries, elements = hull_files(folder)
    table = read_table(entries, columns=["formula", "formation_energy_per_atom"])
    found = read_elements(elements)
    if others := sorted({*energies_of} - {found.potential}):
        raise ValueError(
            f"{folder} is a hull for energies of {found.potential}, and these are of "
            f"{', '.join(others)}: energies of two potentials do not mix"
        )
    references = found.references
    hull = Hull(
        table["formula"].tolist(),
        table["formation_energy_per_atom"].to_numpy(),
        elements=references.energies.keys(),
        min_references=table.attrs.get("min_references"),
        exclude_ytterbium=bool(table.attrs.get("exclude_ytterbium")),
    )
    return hull, references


def read_elements(path: Path) -> Elements:
    """Energies of the elements from ``elements.json``.

    ``energy_convention`` may be missing, which means ``mp2020_corrected``. Energies of crystals
    that are ``uncorrected`` are corrected on the way to a formation energy.

    Raises
    ------
    ValueError
        If the file lacks an entry, an energy is not a number or the convention is unknown.
    """
    record = read_json(path)
    if not isinstance(record, dict) or not {"potential", "energies"} <= record.keys():
        raise ValueError(f"{path}: must be an object with the entries potential and energies")
    energies = record["energies"]
    if not isinstance(energies, dict) or not energies:
        raise ValueError(f"{path}: energies must be an object of eV/atom by element symbol")
    bad = [name for name, energy in energies.items() if type(energy) not in (int, float)]
    if bad:
        raise ValueError(f"{path}: the energy of {bad[0]} is {energies[bad[0]]!r}, not a number")
    convention = record.get("energy_convention", "mp2020_corrected")
    if convention not in CONVENTIONS:
        raise ValueError(
            f"{path}: energy_convention {convention!r}; allowed: {', '.join(CONVENTIONS)}"
        )
    references = ElementReferences(
        {symbol: float(energy) for symbol, energy in energies.items()},
        correction=mp2020_correction if convention == "uncorrected" else None,
    )
    return Elements(str(record["potential"]), convention, references)


def write_elements(path: Path, elements: Elements) -> None:
    """Write what :func:`read_elements` reads."""
    write_json(
        path,
        {
            "potential": elements.potential,
            "energy_convention": elements.convention,
            "energies": dict(elements.references.energies),
        },
    )
