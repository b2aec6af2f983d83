"""MACE with weights that were never trained, against its own calculator; needs the extra."""

from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("mace")

from e3nn import o3
from helpers.laws import (
    check_batch_does_not_matter,
    check_equals_calculator,
    check_stress_is_the_slope,
)
from mace.calculators import MACECalculator
from mace.modules import ScaleShiftMACE, interaction_classes

from crystalformer_rl.potentials.base import Potential
from crystalformer_rl.potentials.registry import load

NUMBERS = [8, 11, 13, 14, 17, 22, 38]


def small_network(*, heads: list[str]) -> ScaleShiftMACE:
    interaction = interaction_classes["RealAgnosticResidualInteractionBlock"]
    return ScaleShiftMACE(
        atomic_inter_scale=1.0,
        atomic_inter_shift=0.0,
        r_max=4.5,
        num_bessel=4,
        num_polynomial_cutoff=5,
        max_ell=2,
        interaction_cls=interaction,
        interaction_cls_first=interaction,
        num_interactions=2,
        num_elements=len(NUMBERS),
        hidden_irreps=o3.Irreps("8x0e + 8x1o"),
        MLP_irreps=o3.Irreps("8x0e"),
        atomic_energies=np.tile(-np.array(NUMBERS) / 10, (len(heads), 1)),
        avg_num_neighbors=20.0,
        atomic_numbers=NUMBERS,
        correlation=2,
        gate=torch.nn.functional.silu,
        heads=heads,
    )


@pytest.fixture(scope="module", params=["small.model", "small-MatPES.model", "small-omat-0.model"])
def weights(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("mace") / request.param
    torch.save(small_network(heads=["Default"]), path)
    return path


@pytest.fixture(scope="module")
def mace(weights: Path) -> Potential:
    return load(f"mace:{weights}", check=False, trust_pickles=True)


def test_equals_the_package(mace: Potential, weights: Path) -> None:
    check_equals_calculator(mace, MACECalculator(model_paths=str(weights), device="cpu"))


def test_batch_does_not_matter(mace: Potential) -> None:
    check_batch_does_not_matter(mace)


def test_stress_is_the_slope(mace: Potential) -> None:
    check_stress_is_the_slope(mace, tolerance=5e-4)


def test_what_it_declares(mace: Potential, weights: Path) -> None:
    assert (mace.name, mace.version) == ("mace", weights.name)
    conventions = {"small-MatPES.model": "matpes", "small-omat-0.model": "omat24"}
    assert mace.energy_convention == conventions.get(weights.name, "uncorrected")
    assert mace.elements == {"O", "Na", "Al", "Si", "Cl", "Ti", "Sr"}


def test_heads_without_a_default_are_refused(tmp_path: Path) -> None:
    torch.save(small_network(heads=["pbe", "scan"]), tmp_path / "two.model")
    with pytest.raises(ValueError, match=r"two\.model: none of the heads pbe, scan is called"):
        load(f"mace:{tmp_path / 'two.model'}", check=False, trust_pickles=True)


def test_a_pickle_that_is_not_trusted_is_refused(weights: Path) -> None:
    with pytest.raises(ValueError, match=r"\.model is a Python pickle.*`trust_pickles: true`"):
        load(f"mace:{weights}", check=False)
