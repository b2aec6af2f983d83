"""POSCAR files of VASP 5 and later, checked line by line before pymatgen reads them."""

import re
from collections.abc import Sequence

from pymatgen.core import Structure
from pymatgen.io.vasp import Poscar

from crystalformer_rl.crystal.formula import SYMBOLS

_HEAD = 8
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def structure_of_poscar(text: str) -> Structure:
    """The crystal of a POSCAR or CONTCAR; what follows its atoms, such as velocities, is left out.

    Raises
    ------
    ValueError
        If a line is damaged, the elements are not named (VASP 4), or the number of atoms is not
        that of their lines; the message says which line.
    """
    lines = re.split(r"\r\n|\r|\n", text.removeprefix("\ufeff"))
    if not text.strip():
        raise ValueError("it is empty")
    if len(lines) < _HEAD:
        raise ValueError(f"it ends after line {len(lines)}: a POSCAR has {_HEAD} lines and atoms")
    symbols, counts = _head(lines)
    selective = lines[_HEAD - 1].strip().lower().startswith("s")
    mode = _HEAD + selective
    if not "".join(lines[mode - 1 : mode]).strip()[:1].isalpha():
        raise ValueError(f"line {mode} must be Direct or Cartesian")
    end = mode + sum(counts)
    if len(lines) < end:
        raise ValueError(f"line 7 declares {sum(counts)} atoms, {len(lines) - mode} lines follow")
    elements = [symbol for symbol, count in zip(symbols, counts, strict=True) for _ in range(count)]
    for place, element in enumerate(elements, mode + 1):
        _refuse_odd_atom(place, lines[place - 1].split(), element, selective=selective)
    if _are_numbers("".join(lines[end : end + 1]).split()[:3]):
        raise ValueError(f"line 7 declares {sum(counts)} atoms, and more lines follow")
    return Poscar.from_str("\n".join(lines[:end]) + "\n").structure


def _head(lines: Sequence[str]) -> tuple[list[str], list[int]]:
    """Elements and numbers of atoms, of the first seven lines."""
    words = [line.split() for line in lines[:7]]
    if len(words[1]) != 1 or not _are_numbers(words[1], 1) or not float(words[1][0]):
        raise ValueError(f"line 2 must be one scale factor, not 0: {lines[1][:40]!r}")
    for place in (3, 4, 5):
        if not _are_numbers(words[place - 1]):
            raise ValueError(
                f"line {place} must be three numbers, a vector of the cell: {lines[place - 1]!r}"
            )
    names, numbers = words[5], words[6]
    if names and all(name.isdecimal() for name in names):
        raise ValueError(
            "a POSCAR of VASP 4 does not say which elements it has: put a line with their symbols "
            "above the numbers of atoms"
        )
    # VASP writes Ti_pv, or the symbol with a hash of the pseudopotential: Ti/0123.
    symbols = [re.split(r"[_/]", name)[0] for name in names]
    if unknown := [name for name in symbols if name not in SYMBOLS]:
        raise ValueError(f"line 6: not an element: {unknown[0][:40]!r}")
    if len(names) != len(numbers):
        raise ValueError(f"{len(names)} elements have {len(numbers)} numbers of atoms")
    if not all(number.isdecimal() and int(number) for number in numbers):
        raise ValueError(f"line 7 must be numbers of atoms above 0: {lines[6][:40]!r}")
    return symbols, [int(number) for number in numbers]


def _refuse_odd_atom(place: int, words: Sequence[str], element: str, *, selective: bool) -> None:
    if not words:
        raise ValueError(f"line {place} must be an atom, and is empty: are there too few?")
    if not _are_numbers(words[:3]):
        raise ValueError(
            f"line {place} must begin with three coordinates: {' '.join(words)[:60]!r}"
        )
    if selective and len(words) < 6:
        raise ValueError(
            f"line {place}: with selective dynamics each atom needs three flags, T or F"
        )
    # Some programs write the element of each atom behind its coordinates. T and F may be flags.
    rest = words[6:] if selective else words[3:]
    if len(rest) == 1 and rest[0] in SYMBOLS and rest[0] not in {element, "T", "F"}:
        raise ValueError(f"line {place}: an atom of {element} by line 6 is called {rest[0]}")


def _are_numbers(words: Sequence[str], count: int = 3) -> bool:
    return len(words) == count and all(_NUMBER.fullmatch(word) for word in words)
