"""Frames of an extended XYZ file: each on its own, names as they are written."""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import ase.io
import numpy as np
from ase.data import atomic_numbers
from pymatgen.core import Lattice, Structure

from crystalformer_rl.crystal.labels import labels_of, texts
from crystalformer_rl.crystal.physical import (
    PartlyOccupiedError,
    UnphysicalError,
    refuse_unknown_elements,
)
from crystalformer_rl.crystal.rows import Row, Source, row_of
from crystalformer_rl.encoding import decoded

ID_COLUMNS = ("material_id", "id")
_PAIR = re.compile(
    r"""(?P<key>[^\s="']+)\s*=\s*(?:"(?P<double>(?:\\.|[^"\\])*)"|'(?P<single>(?:\\.|[^'\\])*)'"""
    r"""|(?P<set>[\[{][^\]}]*[\]}])|(?P<bare>\S+))"""
)
_LATTICE = re.compile(r"""(?<!\S)Lattice=("[^"]*"|'[^']*'|\[[^\]]*\]|\{[^}]*\})""")
# What ASE takes for the coordinates, and nothing else: it would read none as 0.
_COORDINATES = {"pos", "positions"}
_TRUE = {"t", "true", "1"}
# ASE writes the occupancies of a CIF as {"0": {"Na": 0.5, "K": 0.5}}, and one atom for each site.
_AMOUNT = re.compile(r""""[A-Za-z]+": *(\d+\.?\d*(?:[eE][+-]?\d+)?)""")


@dataclass(frozen=True)
class Frame:
    """One frame.

    Attributes
    ----------
    info
        The texts of the comment line by key.
    atoms
        The lines of the atoms.
    error
        What is wrong with its lines, or None.
    """

    info: dict[str, str]
    atoms: list[str]
    error: str | None = None

    def structure(self) -> Structure:
        """The crystal of the frame.

        Raises
        ------
        ValueError
            If it is damaged, or has no lattice or no periodicity in all directions.
        """
        if self.error is not None:
            raise ValueError(self.error)
        if "Lattice" not in self.info:
            raise ValueError("the frame has no Lattice")
        pbc = next((value for key, value in self.info.items() if key.lower() == "pbc"), "T T T")
        periodic = pbc.strip("[]{}").replace(",", " ").split()
        if not periodic or not all(word.lower() in _TRUE for word in periodic):
            raise ValueError(f"pbc {' '.join(periodic)}: not periodic in all three directions")
        if not self.atoms:
            raise ValueError("the frame has no atoms")
        if any(float(number) != 1 for number in _AMOUNT.findall(self.info.get("occupancy", ""))):
            raise PartlyOccupiedError(
                "a site is partially occupied: see occupancy in the comment line"
            )
        self._refuse_odd_columns()
        comment = f'Lattice="{self.info["Lattice"]}" pbc="T T T"'
        if "Properties" in self.info:
            comment += f" Properties={self.info['Properties']}"
        text = "\n".join([str(len(self.atoms)), comment, *self.atoms]) + "\n"
        try:
            atoms = ase.io.read(io.StringIO(text), format="extxyz")
        except KeyError as error:
            raise ValueError(f"unknown element {error}") from error
        except Exception as error:
            # ase reports a damaged frame with errors of many kinds.
            raise ValueError(f"not extended XYZ: {type(error).__name__}: {error}") from error
        if "occupancy" in atoms.arrays and not np.allclose(atoms.arrays["occupancy"], 1):
            raise PartlyOccupiedError(
                "a site is partially occupied: see the column occupancy of the atoms"
            )
        self._refuse_other_elements(atoms.numbers.tolist())
        matrix = np.array(atoms.cell)
        if not np.isfinite(matrix).all():
            raise UnphysicalError("a number of the lattice is not finite")
        if not abs(np.linalg.det(matrix)) > 0:
            raise UnphysicalError("the cell has no volume")
        finite = np.isfinite(atoms.positions).all(axis=1)
        if not finite.all():
            place = int(np.flatnonzero(~finite)[0])
            raise UnphysicalError(f"a coordinate of atom {place} (counted from 0) is not finite")
        refuse_unknown_elements(atoms.numbers)
        return Structure(
            Lattice(matrix), atoms.numbers.tolist(), atoms.positions, coords_are_cartesian=True
        )

    def _columns(self) -> dict[str, slice]:
        """The places of each column in the lines of the atoms; {} without ``Properties``."""
        fields = self.info.get("Properties", "").split(":")
        columns, place = {}, 0
        for name, width in zip(fields[::3], fields[2::3], strict=False):
            if not width.isdecimal():
                raise ValueError(f"Properties={':'.join(fields)[:60]} cannot be read")
            columns[name] = slice(place, place + int(width))
            place += int(width)
        return columns

    def _refuse_odd_columns(self) -> None:
        """Raise if ``Properties`` names no coordinates, or is not what the lines have."""
        columns = self._columns()
        if not columns:
            return
        if not _COORDINATES & columns.keys():
            raise ValueError(
                f"Properties has no column pos (Cartesian coordinates, Å): {', '.join(columns)}"
            )
        width = max(column.stop for column in columns.values())
        for atom, line in enumerate(self.atoms):
            if (found := len(line.split())) != width:
                raise ValueError(
                    f"atom {atom} (counted from 0) has {found} values, Properties has {width}"
                )

    def _refuse_other_elements(self, numbers: list[int]) -> None:
        """Raise if the frame has columns of symbols and of atomic numbers that contradict."""
        columns = self._columns()
        if not {"species", "Z"} <= columns.keys():
            return
        for atom, (line, number) in enumerate(zip(self.atoms, numbers, strict=True)):
            symbol = line.split()[columns["species"].start]
            if atomic_numbers.get(symbol) != number:
                raise ValueError(f"atom {atom} (counted from 0) is {symbol} and has Z = {number}")


def open_extxyz(path: Path) -> Source:
    """The frames of a file; those without ``material_id`` or ``id`` are named by their number.

    Raises
    ------
    ValueError
        If it is not text.
    """
    try:
        frames = list(read_frames(decoded(path.read_bytes())))
    except ValueError as error:
        raise ValueError(f"{path}: cannot be read as extended XYZ: {error}") from error
    if not frames:
        raise ValueError(f"{path}: cannot be read as extended XYZ: it is empty")
    if not any("Lattice" in frame.info for frame in frames):
        raise ValueError(f"{path}: cannot be read as extended XYZ: no frame has a Lattice")
    names = [
        next((frame.info[key] for key in ID_COLUMNS if frame.info.get(key)), None)
        or f"{path.stem}-{place:06d}"
        for place, frame in enumerate(frames)
    ]
    keys = {key for frame in frames for key in frame.info}
    columns = {key: [frame.info.get(key) for frame in frames] for key in keys}
    splits = texts(columns.get("split", [None] * len(frames)))
    labels, unread = labels_of(columns, len(frames))

    def row(place: int) -> Row:
        return row_of(
            names[place], frames[place].structure, split=splits[place], properties=labels[place]
        )

    return Source(path, lambda: map(row, range(len(frames))), names, splits, unread, row)


def read_frames(text: str) -> Iterator[Frame]:
    """The frames of a text. After a damaged one, reading goes on at the next number of atoms.

    A frame whose number of atoms is not that of its lines is damaged: which are missing is unknown.
    """
    lines = re.split(r"\r\n|\r|\n", text)
    place = 0
    while place < len(lines):
        if not lines[place].strip():
            place += 1
            continue
        start, place = place, _next_frame(lines, place)
        inner = lines[start + 1 : place]
        comment = inner[0] if inner else ""
        atoms = [line for line in inner[1:] if line.strip()]
        info = comment_of(comment)
        twice = {key for key, text in _pairs(comment) if text != info[key]}
        if len(lattices := set(_LATTICE.findall(comment))) > 1:
            yield Frame(info, [], f"the frame has {len(lattices)} different Lattices")
        elif twice:
            error = f"the frame has different values of {', '.join(sorted(twice))}"
            yield Frame(info, [], error)
        elif not _is_count(lines[start]):
            error = f"line {start + 1} is not a number of atoms: {lines[start].strip()[:40]!r}"
            yield Frame(info, [], error)
        elif len(atoms) != int(lines[start]):
            error = f"the frame declares {int(lines[start])} atoms and has {len(atoms)}"
            yield Frame(info, [], error)
        else:
            yield Frame(info, atoms)


def _next_frame(lines: list[str], start: int) -> int:
    """Where the frame ends that starts at ``start``.

    Where its number of atoms says, unless another frame starts before or does not start there.
    """
    later = range(start + 2, len(lines) - 1)
    again = next((i for i in later if _may_start(lines[i], lines[i + 1])), len(lines))
    if _is_count(lines[start]):
        end = start + 2 + int(lines[start])
        if end >= len(lines) == again:
            return len(lines)
        # A comment comes after the first line of the next frame, even if that one is damaged.
        comment = lines[end + 1] if end + 1 < len(lines) else ""
        if end <= again and (not lines[end].strip() or _is_count(lines[end]) or "=" in comment):
            return end
    return again


def _may_start(line: str, comment: str) -> bool:
    """Whether a frame may start at a line: its number of atoms may be damaged, not its Lattice."""
    return "Lattice=" in comment or (_is_count(line) and "=" in comment)


def _is_count(line: str) -> bool:
    return line.strip().isdecimal()


def comment_of(line: str) -> dict[str, str]:
    """Keys and texts of a comment line, without quotation marks."""
    return dict(_pairs(line))


def _pairs(line: str) -> Iterator[tuple[str, str]]:
    for match in _PAIR.finditer(line):
        text = match["bare"] or match["set"] or ""
        for quoted in (match["double"], match["single"]):
            if quoted is not None:
                text = re.sub(r"\\(.)", r"\1", quoted)
        yield match["key"], text
