"""Self-test of a potential: it has to reproduce the energies of five crystals when it is loaded.

Weights can load without an error and still be wrong: matgl 4 reads a folder of matgl 2 and returns
correct energies for elements, but −2.3 instead of −5.9 eV/atom for MgO. The results are cached
under the digest of the weights, the device and the version of torch, so that later loads cost
nothing, and a check on the CPU of a login node does not stand for the GPU of a compute node.
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
import torch
from pymatgen.core import Lattice, Structure

from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.files import read_json, write_json
from crystalformer_rl.potentials.base import EnergyConvention, Potential
from crystalformer_rl.seeds import file_digest

ENERGY_TOLERANCE = 0.15
MAX_FORCE = 0.01

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SelfTestCrystal:
    """A crystal near its equilibrium in which all forces vanish by symmetry.

    Attributes
    ----------
    energies
        eV/atom by energy convention, computed with CHGNet 0.3.0 (``mp2020_corrected``), SevenNet-0
        (``uncorrected``) and TensorNet v2025.1 (``matpes``). No weights trained on OMat24 were
        available: ``omat24`` is compared with ``uncorrected``.
    """

    name: str
    structure: Structure
    energies: Mapping[EnergyConvention, float]


def self_test_crystals() -> tuple[SelfTestCrystal, ...]:
    """Two rock salts, a covalent crystal, a metal and a perovskite, in primitive cells."""
    salt, diamond = [[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]], [[0.0, 0.0, 0.0], [0.25, 0.25, 0.25]]
    perovskite = [*salt, [0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]]
    return (
        SelfTestCrystal(
            "NaCl",
            Structure(_face_centred(5.69), ["Na", "Cl"], salt),
            {"mp2020_corrected": -3.668, "uncorrected": -3.384, "matpes": -3.358},
        ),
        SelfTestCrystal(
            "MgO",
            Structure(_face_centred(4.26), ["Mg", "O"], salt),
            {"mp2020_corrected": -6.314, "uncorrected": -5.977, "matpes": -5.868},
        ),
        SelfTestCrystal(
            "Si",
            Structure(_face_centred(5.47), ["Si", "Si"], diamond),
            {"mp2020_corrected": -5.314, "uncorrected": -5.403, "matpes": -5.244},
        ),
        SelfTestCrystal(
            "Al",
            Structure(_face_centred(4.04), ["Al"], [[0.0, 0.0, 0.0]]),
            {"mp2020_corrected": -3.664, "uncorrected": -3.720, "matpes": -3.744},
        ),
        SelfTestCrystal(
            "SrTiO3",
            Structure(Lattice.cubic(3.94), ["Sr", "Ti", "O", "O", "O"], perovskite),
            {"mp2020_corrected": -8.424, "uncorrected": -8.022, "matpes": -7.961},
        ),
    )


def _face_centred(length: float) -> Lattice:
    """Primitive cell; ``length`` of the cubic cell in Å."""
    return Lattice(length / 2 * (1 - np.eye(3)))


def verify(potential: Potential, *, device: str = "cpu") -> None:
    """Run the self-test of ``potential`` on its device, or read its results from the cache.

    Raises
    ------
    ValueError
        If the potential does not know an element of the crystals, an energy differs from the
        expected one by 0.15 eV/atom or more, or a force reaches 0.01 eV/Å. The message lists all
        energies and forces.
    """
    crystals = self_test_crystals()
    needed = {element.symbol for crystal in crystals for element in crystal.structure.composition}
    if unknown := sorted(needed - potential.elements):
        raise ValueError(
            f"{_title(potential)} does not know {', '.join(unknown)}: its self-test needs "
            f"{', '.join(crystal.name for crystal in crystals)}"
        )
    path = _cache_folder() / f"{_cache_key(potential, crystals, device)}.json"
    cached = _read(path, [crystal.name for crystal in crystals])
    results = _evaluate(potential, crystals) if cached is None else cached
    failed = False
    lines = ["crystal  eV/atom expected  found     force eV/Å"]
    for crystal in crystals:
        energy, force = results[crystal.name]
        energies, convention = crystal.energies, potential.energy_convention
        expected = energies["uncorrected" if convention == "omat24" else convention]
        wrong = not (abs(energy - expected) < ENERGY_TOLERANCE and force < MAX_FORCE)
        failed |= wrong
        lines.append(
            f"{crystal.name:<8} {expected:16.3f} {energy:8.3f} {force:11.4f}"
            + ("  <- wrong" if wrong else "")
        )
    if failed:
        raise ValueError(
            f"{_title(potential)} fails its self-test (convention {potential.energy_convention}, "
            f"tolerances {ENERGY_TOLERANCE} eV/atom and {MAX_FORCE} eV/Å): the weights are not "
            "the declared ones, or this version of the package reads them wrongly\n"
            + "\n".join(lines)
        )
    if cached is None:
        log.info("%s passes its self-test", _title(potential))
        _write(path, results)


def weights_digest(files: Iterable[Path], *, package: str) -> str:
    """sha256 of the weight ``files`` and of the version of the ``package`` that reads them."""
    digest = hashlib.sha256(f"{package}=={version(package)}".encode())
    for path in sorted(files):
        digest.update(file_digest(path).encode())
    return digest.hexdigest()


def _evaluate(
    potential: Potential, crystals: tuple[SelfTestCrystal, ...]
) -> dict[str, tuple[float, float]]:
    """Energy per atom, eV, and largest force, eV/Å, by name."""
    evaluations = potential.evaluate([Cell.of(crystal.structure) for crystal in crystals])
    results = {}
    for crystal, evaluation in zip(crystals, evaluations, strict=True):
        assert evaluation.forces is not None
        force = float(np.linalg.norm(evaluation.forces, axis=1).max())
        results[crystal.name] = (evaluation.energy / len(crystal.structure), force)
    return results


def _title(potential: Potential) -> str:
    return f"potential {potential.name} {potential.version}"


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "crystalformer-rl" / "known-answers"


def _cache_key(potential: Potential, crystals: tuple[SelfTestCrystal, ...], device: str) -> str:
    geometry = json.dumps([crystal.structure.as_dict() for crystal in crystals], sort_keys=True)
    kind = torch.device(device).type
    where = f"{torch.cuda.get_device_name()} CUDA {torch.version.cuda}" if kind == "cuda" else kind
    text = f"{potential.name} {potential.digest} {where} torch {version('torch')} {geometry}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _read(path: Path, names: list[str]) -> dict[str, tuple[float, float]] | None:
    """Cached results, or None if there are none or the file is damaged."""
    try:
        cached = read_json(path)
        return {name: (float(cached[name][0]), float(cached[name][1])) for name in names}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError) as error:
        log.warning("%s: self-test results cannot be read and are computed again: %s", path, error)
        return None


def _write(path: Path, results: dict[str, tuple[float, float]]) -> None:
    try:
        write_json(path, results)
    except OSError as error:
        log.warning("%s: self-test results cannot be cached: %s", path, error)
