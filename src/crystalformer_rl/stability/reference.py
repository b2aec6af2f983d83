"""A convex hull with the element energies that belong to it: the files of the ``hull`` stage.

Energies are placed on a hull in three steps: subtract the energies of the elements, correct the
formation energy if the potential's energies have other corrections than the hull, and compare with
the hull at that composition.
All three depend on the potential, so the hull, the energies of its elements and the name of the
potential are one object, :class:`ReferenceHull`, read from one folder.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from pymatgen.core import Composition

from crystalformer_rl.files import read_json, read_table, write_json, write_table
from crystalformer_rl.stability.corrections import MP2020, TRI2024, correction_of
from crystalformer_rl.stability.elements import Crystal, ElementReferences, element_amounts
from crystalformer_rl.stability.hull import Hull, HullResult, Status

# Energy conventions: how the energies that a potential was trained on are corrected.
CONVENTIONS = ("mp2020_corrected", "uncorrected", "matpes", "omat24")
# Energies of these conventions fit only on a hull of their own: no scheme corrects them.
OWN_HULL_ONLY = ("matpes", "omat24")
SCHEMES = (MP2020, TRI2024)


@dataclass(frozen=True)
class Elements:
    """Energies of the elements, and whose they are: the contents of ``elements.json``.

    Attributes
    ----------
    potential
        Name of the potential that computed the energies.
    convention
        One of :data:`CONVENTIONS`.
    energies
        eV/atom by symbol, in the potential's own convention.
    corrections
        Scheme of the formation energies on the hull, one of :data:`SCHEMES`; of no effect for a
        convention of :data:`OWN_HULL_ONLY`.
    """

    potential: str
    convention: str
    energies: Mapping[str, float]
    corrections: str = MP2020

    @property
    def references(self) -> ElementReferences:
        """The same energies, with the correction that convention and scheme ask for."""
        if self.convention in OWN_HULL_ONLY:
            return ElementReferences(self.energies)
        corrected = self.convention == "mp2020_corrected"
        return ElementReferences(
            self.energies, correction_of(self.corrections, corrected=corrected)
        )


@dataclass(frozen=True)
class HullRules:
    """Where a hull gives no energy although it could: the contents of ``hull.json``.

    Attributes
    ----------
    min_references
        Chemical systems with fewer known compositions are ``sparse``; None for no minimum.
    exclude_ytterbium
        Crystals with Yb get the status ``ytterbium``.
    """

    min_references: int | None = None
    exclude_ytterbium: bool = False


@dataclass(frozen=True)
class Placement(HullResult):
    """n crystals placed on a hull; see :class:`~.hull.HullResult` for the other fields.

    Attributes
    ----------
    formation_energy
        (n,) eV/atom; NaN where the status is ``no_energy``, ``no_element_reference`` or
        ``no_correction``.
    """

    formation_energy: NDArray[np.float64]


@dataclass(frozen=True)
class ReferenceHull:
    """A convex hull, and the element energies that formation energies on it are measured from."""

    hull: Hull
    elements: Elements

    @classmethod
    def load(cls, folder: Path, *, energies_of: Collection[str] = ()) -> "ReferenceHull":
        """Read a folder that :func:`write_hull` wrote.

        Parameters
        ----------
        energies_of
            Names of the potentials whose energies are to be placed on the hull.

        Raises
        ------
        FileNotFoundError
            If a file is missing, ``hull.json`` among them: without it the rules are unknown.
        ValueError
            If the hull is that of another potential, or a file is invalid.
        """
        entries, elements_file, rules_file = hull_files(folder)
        rules = _read_rules(rules_file)
        elements = read_elements(elements_file)
        if others := sorted({*energies_of} - {elements.potential}):
            raise ValueError(
                f"{folder} is a hull of {elements.potential} energies, but the energies to place "
                f"on it are from {', '.join(others)}: use the hull of the same potential"
            )
        table = read_table(entries, columns=["formula", "formation_energy_per_atom"])
        hull = Hull(
            table["formula"].tolist(),
            table["formation_energy_per_atom"].to_numpy(),
            elements=elements.energies.keys(),
            **asdict(rules),
        )
        return cls(hull, elements)

    def place(self, crystals: Sequence[Crystal | None], energies_per_atom: ArrayLike) -> Placement:
        """Place crystals with energies on the hull.

        Parameters
        ----------
        crystals
            n crystals; None where there is none (status ``no_energy``).
        energies_per_atom
            (n,) eV/atom as the potential gives them; NaN where unknown (status ``no_energy``).

        Raises
        ------
        ValueError
            If the lengths differ.
        """
        energies = np.asarray(energies_per_atom, dtype=np.float64)
        if energies.shape != (len(crystals),):
            raise ValueError(
                f"{len(crystals)} crystals need {len(crystals)} energies, "
                f"but energies_per_atom has shape {energies.shape}"
            )
        references = self.elements.references
        status: list[Status] = ["no_energy"] * len(crystals)
        formation = np.full(len(crystals), np.nan)
        rows: list[int] = []
        compositions: list[Composition] = []
        for row, crystal in enumerate(crystals):
            if crystal is None or not np.isfinite(energies[row]):
                continue
            composition = crystal.composition
            if not self.elements.energies.keys() >= element_amounts(composition).keys():
                status[row] = "no_element_reference"
                continue
            try:
                formation[row] = references.formation_energy(crystal, energies[row])
            except ValueError:  # pymatgen finds no symmetry, which decides on some corrections
                status[row] = "no_correction"
                continue
            rows.append(row)
            compositions.append(composition)
        found = self.hull.e_above_hull(compositions, formation[rows])
        for row, word in zip(rows, found.status, strict=True):
            status[row] = word
        above = np.full(len(crystals), np.nan)
        known, compounds = (np.zeros(len(crystals), dtype=np.int64) for _ in range(2))
        supported = np.zeros(len(crystals), dtype=bool)
        above[rows] = found.e_above_hull
        known[rows] = found.references
        compounds[rows] = found.compounds
        supported[rows] = found.supported
        return Placement(above, status, known, compounds, supported, formation)


def hull_files(folder: Path) -> list[Path]:
    """The files of a hull: its entries, the energies of its elements, its rules."""
    return [Path(folder) / name for name in ("hull.parquet", "elements.json", "hull.json")]


def write_hull(
    folder: Path, entries: pd.DataFrame, *, elements: Elements, rules: HullRules
) -> None:
    """Write what :meth:`ReferenceHull.load` reads.

    Parameters
    ----------
    entries
        Columns ``formula`` and ``formation_energy_per_atom`` (eV/atom); others are kept.
    """
    entries_file, elements_file, rules_file = hull_files(folder)
    write_table(entries_file, entries)
    write_elements(elements_file, elements)
    write_json(rules_file, asdict(rules))


def read_elements(path: Path) -> Elements:
    """Energies of the elements from ``elements.json``.

    ``energy_convention`` may be missing, which means ``mp2020_corrected``, and so may
    ``corrections``, which means ``MP2020``.

    Raises
    ------
    ValueError
        If an entry is missing, an energy is not a number, or the convention or the corrections are
        unknown.
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
            f"{path}: unknown energy_convention {convention!r}: use one of {', '.join(CONVENTIONS)}"
        )
    corrections = record.get("corrections", MP2020)
    if corrections not in SCHEMES:
        raise ValueError(
            f"{path}: unknown corrections {corrections!r}: use one of {', '.join(SCHEMES)}"
        )
    numbers = {symbol: float(energy) for symbol, energy in energies.items()}
    return Elements(str(record["potential"]), convention, numbers, corrections)


def write_elements(path: Path, elements: Elements) -> None:
    """Write what :func:`read_elements` reads."""
    write_json(
        path,
        {
            "potential": elements.potential,
            "energy_convention": elements.convention,
            "corrections": elements.corrections,
            "energies": dict(elements.energies),
        },
    )


def _read_rules(path: Path) -> HullRules:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file. It holds the rules of the hull (min_references and "
            "exclude_ytterbium), without which its answers differ: build the hull again with the "
            "hull stage, or write the file by hand"
        )
    record = read_json(path)
    names = set(HullRules.__dataclass_fields__)
    if not isinstance(record, dict) or record.keys() != names:
        raise ValueError(f"{path}: must be an object with the entries {', '.join(sorted(names))}")
    rules = HullRules(**record)
    minimum = rules.min_references
    if type(rules.exclude_ytterbium) is not bool or type(minimum) not in (int, type(None)):
        raise ValueError(
            f"{path}: min_references must be a whole number or null, and exclude_ytterbium true or "
            f"false, not {minimum!r} and {rules.exclude_ytterbium!r}"
        )
    return rules
