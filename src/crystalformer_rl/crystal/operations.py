"""Symmetry operations as CIFs list them: ``-x+1/2, y, z`` as matrices, and whether they fit."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import spglib
from numpy.typing import NDArray

_TERM = re.compile(
    r"(?P<sign>[+-]?)(?:(?P<axis>[xyz])"
    r"|(?P<top>\d+(?:\.\d*)?|\.\d+)(?:/(?P<bottom>\d+(?:\.\d*)?))?)"
)
# Translations are multiples of 1/24; rounded ones (0.333) are put right.
_STEPS, _ROUNDING = 24, 5e-3
# How well an operation must preserve the metric tensor, relative.
_METRIC = 0.02


@dataclass(frozen=True)
class Operations:
    """Operations of a space group in the basis of a cell: ``x → rotations @ x + translations``.

    Attributes
    ----------
    rotations
        ``(n, 3, 3)`` integers.
    translations
        ``(n, 3)`` in [0, 1).
    """

    rotations: NDArray[np.int64]
    translations: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.rotations)

    def images(self, position: NDArray[np.float64]) -> NDArray[np.float64]:
        """``(n, 3)`` images of a fractional position."""
        return self.rotations @ position + self.translations

    def fit(self, matrix: NDArray[np.float64]) -> bool:
        """Whether the operations preserve lengths and angles of a cell with rows ``matrix``."""
        metric = matrix @ matrix.T
        moved = np.swapaxes(self.rotations, 1, 2) @ metric @ self.rotations
        lengths = np.sqrt(np.diag(metric))
        return bool((np.abs(moved - metric) <= _METRIC * np.outer(lengths, lengths)).all())

    @property
    def space_group(self) -> int | None:
        """The number of their space group, None if it cannot be found."""
        found = spglib.get_spacegroup_type_from_symmetry(self.rotations, self.translations)
        return None if found is None else int(found.number)


def parse_operations(texts: Iterable[str], *, centring: Iterable[str] = ()) -> Operations:
    """The operations of a list of texts, combined with the translations of ``centring``.

    Raises
    ------
    ValueError
        If one cannot be read, or together they are not a group: some are missing.
    """
    return _parsed(tuple(texts), tuple(centring))


@lru_cache(maxsize=256)
def operations_of(hall_number: int) -> Operations:
    """The operations of one of the 530 settings that spglib numbers."""
    found = spglib.get_symmetry_from_database(hall_number)
    return Operations(
        np.asarray(found["rotations"], dtype=np.int64),
        np.asarray(found["translations"], dtype=float) % 1,
    )


@lru_cache(maxsize=256)
def _parsed(texts: tuple[str, ...], centring: tuple[str, ...]) -> Operations:
    pairs = [_parse(text) for text in texts]
    shifts = [_parse(text)[1] for text in centring] or [np.zeros(3)]
    unique = {
        (rotation.tobytes(), tuple(np.round(translation * 1e3).astype(int) % 1000)): (
            rotation,
            translation,
        )
        for rotation, first in pairs
        for translation in ((first + shift) % 1 for shift in shifts)
    }
    operations = Operations(
        np.array([rotation for rotation, _ in unique.values()]),
        np.array([translation for _, translation in unique.values()]),
    )
    _refuse_unless_group(operations)
    return operations


def _parse(text: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    parts = re.sub(r"\s", "", text.lower()).split(",")
    # A magnetic operation has a fourth part: whether it reverses time.
    if len(parts) == 4 and parts[3] in {"1", "+1", "-1", "m", "-m"}:
        parts = parts[:3]
    if len(parts) != 3:
        raise ValueError(f"symmetry operation {text!r}: must have three parts, like 'x, y, z'")
    rotation, translation = np.zeros((3, 3), dtype=np.int64), np.zeros(3)
    for row, part in enumerate(parts):
        place = 0
        while place < len(part):
            term = _TERM.match(part, place)
            if term is None or (place and not term["sign"]):
                raise ValueError(f"symmetry operation {text!r}: cannot read {part!r}")
            sign = -1 if term["sign"] == "-" else 1
            if term["axis"]:
                rotation[row, "xyz".index(term["axis"])] += sign
            else:
                bottom = float(term["bottom"] or 1)
                if not bottom:
                    raise ValueError(f"symmetry operation {text!r}: division by zero")
                translation[row] += sign * float(term["top"]) / bottom
            place = term.end()
    if round(abs(np.linalg.det(rotation))) != 1:
        raise ValueError(f"symmetry operation {text!r}: is not a rotation or reflection")
    snapped = np.round(translation * _STEPS) / _STEPS
    near = np.abs(snapped - translation) < _ROUNDING
    return rotation, np.where(near, snapped, translation) % 1


def _refuse_unless_group(operations: Operations) -> None:
    rotations, translations = operations.rotations, operations.translations
    for rotation, translation in zip(rotations, translations, strict=True):
        turned = rotation @ rotations
        moved = translations @ rotation.T + translation
        same = (turned[:, None] == rotations[None]).all(axis=(2, 3))
        offset = moved[:, None] - translations[None]
        same &= (np.abs(offset - np.round(offset)) < 2 * _ROUNDING).all(axis=2)
        if not same.any(axis=1).all():
            raise ValueError(
                f"the {len(operations)} symmetry operations are not a group: some are missing or "
                "damaged"
            )
