"""Crystals as rows of a source, and a source before its crystals are read."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pymatgen.core import Structure

from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.crystal.cif import CifCrystal, ReadError
from crystalformer_rl.crystal.labels import Value
from crystalformer_rl.crystal.physical import (
    PartlyOccupiedError,
    UnphysicalError,
    physical_cell,
    refuse_unphysical,
)

SHOWN = 12


@dataclass(frozen=True)
class Row:
    """One crystal of a source.

    Attributes
    ----------
    id
        Its name in the source.
    cell
        The crystal, in the cell it was given in; None if it could not be read or is disordered.
    error, reason
        What went wrong, and its kind; None when there is a crystal.
    split
        What the source's ``split`` says, if anything.
    properties
        Known labels by name; energies in eV (per atom), band gap in eV.
    merged
        Atoms merged with others, because a special position is rounded in the source.
    """

    id: str
    cell: Cell | None
    error: str | None = None
    reason: ReadError | None = None
    split: str | None = None
    properties: Mapping[str, Value] = field(default_factory=dict)
    merged: int = 0

    @cached_property
    def structure(self) -> Structure | None:
        """The crystal as a pymatgen structure."""
        return None if self.cell is None else self.cell.structure()


@dataclass(frozen=True)
class Source:
    """A file or folder whose crystals have not been read yet.

    Attributes
    ----------
    path
        The file or folder.
    read
        Reads the rows, in the order of the source.
    ids, splits
        Of the rows, where they are known before: not for a folder of CIFs.
    unread
        Labels that could not be read, by column.
    row
        Reads one row, counted from 0, where the ids are known before.
    """

    path: Path
    read: Callable[[], Iterator[Row]]
    ids: Sequence[str] = ()
    splits: Sequence[str | None] = ()
    unread: Mapping[str, Sequence[str]] = field(default_factory=dict)
    row: Callable[[int], Row] | None = None


def row_of(
    name: str,
    load: Callable[[], Cell | Structure | CifCrystal],
    *,
    split: str | None = None,
    properties: Mapping[str, Value] | None = None,
) -> Row:
    """The row of a crystal, with the reason if it cannot be loaded or cannot be a crystal."""
    labels = properties or {}
    try:
        loaded = load()
        if isinstance(loaded, Structure):
            if not loaded.is_ordered:
                error = f"{loaded.formula}: partially occupied sites"
                return Row(name, None, error, "disordered", split, labels)
            return Row(name, physical_cell(loaded), None, None, split, labels)
        if isinstance(loaded, Cell):
            refuse_unphysical(loaded)
            return Row(name, loaded, None, None, split, labels)
    except (PartlyOccupiedError, UnphysicalError) as problem:
        return Row(name, None, str(problem), problem.reason, split, labels)
    except ValueError as problem:
        return Row(name, None, str(problem), "unreadable", split, labels)
    # What a CIF holds has been checked where it was compared with the CIF.
    return Row(name, loaded.cell, loaded.error, loaded.reason, split, labels, merged=loaded.merged)


def listing(names: Sequence[object]) -> str:
    """Names for a message, cut short."""
    shown = ", ".join(str(name)[:40] for name in names[:SHOWN])
    more = f", … ({len(names)} in all)" if len(names) > SHOWN else ""
    return f"[{shown}{more}]"
