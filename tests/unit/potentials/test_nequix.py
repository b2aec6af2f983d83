"""Nequix with weights that were never trained, against its own calculator; needs its extra."""

import json
from pathlib import Path

import pytest
import torch

pytest.importorskip("nequix")
pytest.importorskip("torch_geometric")

from helpers.laws import (
    check_batch_does_not_matter,
    check_equals_calculator,
    check_stress_is_the_slope,
)
from nequix.calculator import NequixCalculator
from nequix.torch_impl.model import NequixTorch

from crystalformer_rl.potentials.base import Potential
from crystalformer_rl.potentials.registry import load

NUMBERS = [8, 11, 13, 14, 17, 22, 38]
SHAPE = {
    "hidden_irreps": "8x0e + 4x1o",
    "lmax": 1,
    "cutoff": 5.0,
    "n_layers": 2,
    "radial_basis_size": 4,
    "radial_mlp_size": 8,
    "radial_mlp_layers": 2,
    "radial_polynomial_p": 6.0,
    "mlp_init_scale": 4.0,
    "index_weights": False,
    "layer_norm": True,
    "shift": 0.0,
    "scale": 1.0,
    "avg_n_neighbors": 20.0,
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    torch.manual_seed(1)
    energies = {str(number): -float(number) / 10 for number in NUMBERS}
    network = NequixTorch(len(NUMBERS), atom_energies=list(energies.values()), **SHAPE)
    path = tmp_path_factory.mktemp("nequix") / "small.pt"
    with path.open("wb") as stream:
        record = {**SHAPE, "atomic_numbers": NUMBERS, "atom_energies": energies}
        stream.write((json.dumps(record) + "\n").encode())
        torch.save(network.state_dict(), stream)
    return path


@pytest.fixture(scope="module")
def nequix(weights: Path) -> Potential:
    return load(f"nequix:{weights}", check=False)


def test_equals_the_package(nequix: Potential, weights: Path) -> None:
    calculator = NequixCalculator(model_path=str(weights), backend="torch", use_kernel=False)
    check_equals_calculator(nequix, calculator)


def test_batch_does_not_matter(nequix: Potential) -> None:
    check_batch_does_not_matter(nequix)


def test_stress_is_the_slope(nequix: Potential) -> None:
    check_stress_is_the_slope(nequix, tolerance=5e-4)


def test_what_it_declares(nequix: Potential) -> None:
    assert (nequix.name, nequix.version) == ("nequix", "small.pt")
    assert nequix.energy_convention == "uncorrected"
    assert nequix.elements == {"O", "Na", "Al", "Si", "Cl", "Ti", "Sr"}


def test_missing_element_of_the_self_test_is_rejected(weights: Path) -> None:
    with pytest.raises(ValueError, match=r"small\.pt does not know Mg"):
        load(f"nequix:{weights}")
