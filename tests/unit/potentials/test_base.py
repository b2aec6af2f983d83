"""One bad structure never harms another."""

import numpy as np
import pytest
import torch
from helpers.analytic import Analytic
from pymatgen.core import Lattice, Structure

from crystalformer_rl.crystal.cell import Cell, cells_from
from crystalformer_rl.potentials.base import (
    Evaluation,
    Failure,
    Potential,
    convention_of,
    evaluate_each,
    screen,
)


@pytest.mark.parametrize(
    ("name", "convention"),
    [
        ("7net-0", "uncorrected"),
        ("nequix-oam-1.nqx", "uncorrected"),
        ("mace-mpa-0-medium.model", "uncorrected"),
        ("orb-v3-conservative-inf-mpa", "uncorrected"),
        ("orb-v3-direct-20-omat-20250404.ckpt", "omat24"),
        ("mace-omat-0-medium.model", "omat24"),
        ("7net-omat", "omat24"),
        ("TensorNet-MatPES-PBE-v2025.1-PES", "matpes"),
        ("MACE-matpes-pbe-omat-ft.model", "matpes"),
    ],
)
def test_a_name_says_what_the_energies_are(name: str, convention: str) -> None:
    assert convention_of(name) == convention


def test_screen_names_the_reason(chgnet: Potential, nacl: Structure) -> None:
    overlap = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0.05, 0, 0]])
    dense = Structure(Lattice.cubic(1), ["Na"], [[0, 0, 0]])
    sheet = Structure(Lattice.orthorhombic(0.4, 8, 8), ["Na"], [[0, 0, 0]])
    lost = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [np.nan, 0, 0]])
    heavy = Structure(Lattice.cubic(4), ["Cf"], [[0, 0, 0]])
    empty = Structure(Lattice.cubic(4), [], [])
    assert screen(chgnet, Cell.of(nacl)) is None
    for structure, status, words in (
        (None, "unphysical", "no structure"),
        (overlap, "unphysical", r"atoms 0.200 Å apart"),
        (dense, "unphysical", "1 Å³ per atom"),
        (sheet, "unphysical", "apart"),
        (lost, "unphysical", "not finite"),
        (heavy, "unknown_element", "chgnet does not know Cf"),
        (empty, "unphysical", "no atoms"),
    ):
        failure = screen(chgnet, *cells_from([structure]))
        assert failure is not None
        assert failure.status == status
        assert words in failure.reason


@pytest.mark.parametrize("edge", [40, 99])
@pytest.mark.parametrize("volume", [1.6, 6])
def test_a_flat_cell_of_long_edges_is_refused(chgnet: Potential, edge: int, volume: float) -> None:
    """Its own images are close, and a list of neighbours would take minutes to say so."""
    x, y = -edge / 2, edge * 3**0.5 / 2
    cell = Lattice([[edge, 0, 0], [x, y, 0], [x, -y, volume / (edge * y)]])
    failure = screen(chgnet, Cell.of(Structure(cell, ["Na"], [[0, 0, 0]])))
    assert failure is not None
    assert failure.reason == f"atoms {volume / (edge * y):.3f} Å apart, allowed: 0.5 Å or more"


def test_failures_stay_in_place(chgnet: Potential, nacl: Structure) -> None:
    lonely = Structure(Lattice.cubic(7.0), ["Na"], [[0, 0, 0]])
    overlap = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0.05, 0, 0]])
    answers = evaluate_each(chgnet, cells_from([nacl, lonely, None, overlap, nacl]))
    kinds = [a.status if isinstance(a, Failure) else "ok" for a in answers]
    assert kinds == ["ok", "error", "unphysical", "unphysical", "ok"]
    alone = chgnet.evaluate(cells_from([nacl]), forces=False)[0]
    for answer in (answers[0], answers[4]):
        assert isinstance(answer, Evaluation)
        assert answer.energy == pytest.approx(alone.energy, abs=1e-5)


def test_a_lost_gpu_is_no_crystals_fault(nacl: Structure) -> None:
    def lost(structure: Structure) -> Evaluation:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    potential = Analytic(lost, elements=frozenset({"Na", "Cl"}))
    with pytest.raises(torch.AcceleratorError, match="illegal memory access"):
        evaluate_each(potential, cells_from([nacl, nacl]))
    # One call: the crystals are not tried one by one.
    assert len(potential.calls) == 1
