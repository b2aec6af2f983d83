"""matgl networks that were never trained, against its own calculator; needs the ``matgl`` extra."""

import shutil
from pathlib import Path

import pytest
import torch

pytest.importorskip("matgl")

from helpers.laws import (
    check_batch_does_not_matter,
    check_equals_calculator,
    check_stress_is_the_slope,
)
from matgl.apps.pes import Potential as PackagePotential
from matgl.ext.ase import PESCalculator
from matgl.models import M3GNet, TensorNet

from crystalformer_rl.potentials.base import Potential
from crystalformer_rl.potentials.registry import load

ELEMENTS = ("O", "Na", "Al", "Si", "Cl", "Ti", "Sr")
NETWORKS = {
    "TensorNet-MatPES": lambda: TensorNet(element_types=ELEMENTS, units=8, is_intensive=False),
    "M3GNet-MP": lambda: M3GNet(
        element_types=ELEMENTS, dim_node_embedding=8, dim_edge_embedding=8, units=8,
        is_intensive=False,
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=NETWORKS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("matgl") / request.param
    energies = [-1.0 - 0.1 * i for i in range(len(ELEMENTS))]
    PackagePotential(NETWORKS[request.param](), element_refs=energies).save(path)
    return path


@pytest.fixture(scope="module")
def matgl(folder: Path) -> Potential:
    return load(f"matgl:{folder}", check=False)


def test_equals_the_package(matgl: Potential, folder: Path) -> None:
    package = PackagePotential.load(folder)
    calculator = PESCalculator(package, stress_unit="eV/A3", use_voigt=True)
    check_equals_calculator(matgl, calculator)


def test_batch_does_not_matter(matgl: Potential) -> None:
    check_batch_does_not_matter(matgl)


def test_stress_is_the_slope(matgl: Potential) -> None:
    check_stress_is_the_slope(matgl, tolerance=5e-4)


def test_what_it_declares(matgl: Potential, folder: Path) -> None:
    assert (matgl.name, matgl.version) == ("matgl", folder.name)
    assert matgl.energy_convention == ("matpes" if "MatPES" in folder.name else "uncorrected")
    assert matgl.elements == set(ELEMENTS)


def test_a_model_that_is_not_a_potential_is_rejected(tmp_path: Path) -> None:
    NETWORKS["TensorNet-MatPES"]().save(tmp_path)
    with pytest.raises(ValueError, match="is a TensorNet, not a potential"):
        load(f"matgl:{tmp_path}")


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere': no such folder"):
        load(f"matgl:{tmp_path / 'nowhere'}")


def test_a_folder_that_calls_another_package_is_refused(folder: Path, tmp_path: Path) -> None:
    """The package would run the command: it calls any class that the arguments name."""
    evil = tmp_path / folder.name
    shutil.copytree(folder, evil)
    arguments = torch.load(evil / "model.pt", weights_only=True)
    mark = tmp_path / "ran"
    call = {"@class": "Popen", "@module": "subprocess", "init_args": {"args": ["touch", str(mark)]}}
    torch.save(arguments | {"model": call}, evil / "model.pt")
    with pytest.raises(
        ValueError, match="names a class of 'subprocess', which is not part of matgl"
    ):
        load(f"matgl:{evil}", check=False)
    assert not mark.exists()
