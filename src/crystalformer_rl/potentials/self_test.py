"""Known answers: five crystals whose energies tell whether a potential is the one it claims to be.

Weights can load without an error and be wrong: matgl 4 reads a folder of matgl 2, gives right
energies for elements and −2.3 instead of −5.9 eV/atom for MgO. A potential is therefore asked at
load; what it says is kept per digest of its weights, so that later loads cost nothing.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from pymatgen.core import Lattice, Structure

from crystalformer_rl.files import read_json, write_json
from crystalformer_rl.potentials.base import EnergyConvention, Potential
from crystalformer_rl.seeds import file_digest

ENERGY_TOLERANCE = 0.15
MAX_FORCE = 0.01

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class KnownCrystal:
    """A crystal near its equilibrium in which symmetry forbids any force.

    Attributes
    ----------
    energies
        eV/atom by energy convention, as measured: CHGNet 0.3.0, SevenNet-0 and, for MatPES,
        TensorNet v2025.1. No weights for OMat24 were at hand: ``uncorrected`` stands for it.
    """

    name: str
    structure: Structure
    energies: Mapping[EnergyConvention, float]


def known_crystals() -> tuple[KnownCrystal, ...]:
    """Rock salt, a covalent crystal, a metal and a perovskite, in primitive cells."""
    salt, apart = [[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]], [[0.0, 0.0, 0.0], [0.25, 0.25, 0.25]]
    perovskite = [*salt, [0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]]
    return (
        KnownCrystal(
            "NaCl",
            Structure(_face_centred(5.69), ["Na", "Cl"], salt),
            {"mp2020_corrected": -3.668, "uncorrected": -3.384, "matpes": -3.358},
        ),
        KnownCrystal(
            "MgO",
            Structure(_face_centred(4.26), ["Mg", "O"], salt),
            {"mp2020_corrected": -6.314, "uncorrected": -5.977, "matpes": -5.868},
        ),
        KnownCrystal(
            "Si",
            Structure(_face_centred(5.47), ["Si", "Si"], apart),
            {"mp2020_corrected": -5.314, "uncorrected": -5.403, "matpes": -5.244},
        ),
        KnownCrystal(
            "Al",
            Structure(_face_centred(4.04), ["Al"], [[0.0, 0.0, 0.0]]),
            {"mp2020_corrected": -3.664, "uncorrected": -3.720, "matpes": -3.744},
        ),
        KnownCrystal(
            "SrTiO3",
            Structure(Lattice.cubic(3.94), ["Sr", "Ti", "O", "O", "O"], perovskite),
            {"mp2020_corrected": -8.424, "uncorrected": -8.022, "matpes": -7.961},
        ),
    )


def _face_centred(length: float) -> Lattice:
    """Primitive cell; ``length`` of the cubic cell in Å."""
    return Lattice(length / 2 * (1 - np.eye(3)))


def verify(potential: Potential) -> None:
    """Check the answers of ``potential``, from the cache where they are known.

    Raises
    ------
    ValueError
        If a crystal has an element that it does not know, an energy that is 0.15 eV/atom or more
        from the known one, or a force of 0.01 eV/Å; the message has all the numbers.
    """
    crystals = known_crystals()
    needed = {element.symbol for crystal in crystals for element in crystal.structure.composition}
    if unknown := sorted(needed - potential.elements):
        raise ValueError(
            f"{_title(potential)} does not know {', '.join(unknown)}: its answers for "
            f"{', '.join(crystal.name for crystal in crystals)} cannot be checked"
        )
    path = _cache_folder() / f"{_cache_key(potential, crystals)}.json"
    kept = _read(path, [crystal.name for crystal in crystals])
    answers = _ask(potential, crystals) if kept is None else kept
    missed = False
    lines = ["crystal  eV/atom expected  found     force eV/Å"]
    for crystal in crystals:
        energy, force = answers[crystal.name]
        energies, convention = crystal.energies, potential.energy_convention
        expected = energies["uncorrected" if convention == "omat24" else convention]
        wrong = not (abs(energy - expected) < ENERGY_TOLERANCE and force < MAX_FORCE)
        missed |= wrong
        lines.append(
            f"{crystal.name:<8} {expected:16.3f} {energy:8.3f} {force:11.4f}"
            + ("  <- wrong" if wrong else "")
        )
    if missed:
        raise ValueError(
            f"{_title(potential)} misses known answers (convention {potential.energy_convention}, "
            f"allowed: {ENERGY_TOLERANCE} eV/atom and {MAX_FORCE} eV/Å): other weights than "
            "declared, or weights that this version of the package reads wrongly\n"
            + "\n".join(lines)
        )
    if kept is None:
        log.info("%s gives the known answers", _title(potential))
        _write(path, answers)


def weights_digest(files: Iterable[Path], *, package: str) -> str:
    """sha256 of weights ``files`` and of the version of the ``package`` that reads them."""
    digest = hashlib.sha256(f"{package}=={version(package)}".encode())
    for path in sorted(files):
        digest.update(file_digest(path).encode())
    return digest.hexdigest()


def _ask(
    potential: Potential, crystals: tuple[KnownCrystal, ...]
) -> dict[str, tuple[float, float]]:
    """Energy per atom, eV, and largest force, eV/Å, by name."""
    answers = potential.evaluate([crystal.structure for crystal in crystals])
    found = {}
    for crystal, answer in zip(crystals, answers, strict=True):
        assert answer.forces is not None
        force = float(np.linalg.norm(answer.forces, axis=1).max())
        found[crystal.name] = (answer.energy / len(crystal.structure), force)
    return found


def _title(potential: Potential) -> str:
    return f"potential {potential.name} {potential.version}"


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "crystalformer-rl" / "known-answers"


def _cache_key(potential: Potential, crystals: tuple[KnownCrystal, ...]) -> str:
    geometry = json.dumps([crystal.structure.as_dict() for crystal in crystals], sort_keys=True)
    text = f"{potential.name} {potential.digest} {geometry}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _read(path: Path, names: list[str]) -> dict[str, tuple[float, float]] | None:
    """Answers that were kept, or None; a file that cannot be read is as good as none."""
    try:
        kept = read_json(path)
        return {name: (float(kept[name][0]), float(kept[name][1])) for name in names}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError) as error:
        log.warning("%s: known answers cannot be read and are computed again: %s", path, error)
        return None


def _write(path: Path, answers: dict[str, tuple[float, float]]) -> None:
    try:
        write_json(path, answers)
    except OSError as error:
        log.warning("%s: known answers are not kept: %s", path, error)
