"""SevenNet against its own calculator, and its self-test; needs the ``sevennet`` extra."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("sevenn")

from helpers.laws import (
    check_batch_does_not_matter,
    check_equals_calculator,
    check_stress_is_the_slope,
    check_the_host_waits_only_to_read,
)
from helpers.pretend_gpu import Gpu
from sevenn.calculator import SevenNetCalculator
from sevenn.util import load_checkpoint

from crystalformer_rl.jobs.device import best_device
from crystalformer_rl.potentials.base import Potential
from crystalformer_rl.potentials.registry import load


@pytest.fixture(scope="module")
def sevennet() -> Potential:
    torch.set_num_threads(1)
    return load("sevennet", device=best_device())


@pytest.mark.slow
def test_equals_the_package(sevennet: Potential) -> None:
    check_equals_calculator(sevennet, SevenNetCalculator("7net-0", device="cpu"))


def test_batch_does_not_matter(sevennet: Potential) -> None:
    check_batch_does_not_matter(sevennet)


def test_stress_is_the_slope(sevennet: Potential) -> None:
    check_stress_is_the_slope(sevennet, tolerance=5e-4)


@pytest.mark.gpu
def test_the_host_waits_only_to_read(sevennet: Potential, pretend_gpu: Gpu) -> None:
    check_the_host_waits_only_to_read(sevennet, pretend_gpu, copies=3)


def test_what_it_declares(sevennet: Potential) -> None:
    assert (sevennet.name, sevennet.version) == ("sevennet", "7net-0")
    assert sevennet.energy_convention == "uncorrected"
    assert {"H", "O", "Pu"} <= sevennet.elements
    assert "Po" not in sevennet.elements


@pytest.mark.slow
def test_of_several_fidelities_the_materials_project_s_is_taken() -> None:
    potential = load("sevennet:7net-mf-0")
    check_equals_calculator(potential, SevenNetCalculator("7net-mf-0", modal="PBE", device="cpu"))


@pytest.mark.slow
def test_a_model_of_omat24_says_so(tmp_path: Path) -> None:
    for model, convention in (("7net-0", "omat24"), ("7net-mf-0", "uncorrected")):
        # The fidelity that is asked for, if there are any, says more than the name.
        path = tmp_path / f"{model}-omat.pth"
        shutil.copy(load_checkpoint(model).checkpoint_path, path)
        assert load(f"sevennet:{path}", check=False).energy_convention == convention


def test_unknown_model_lists_what_there_is() -> None:
    with pytest.raises(ValueError, match="7net-0"):
        load("sevennet:8net")


def test_a_checkpoint_that_runs_code_is_refused(tmp_path: Path) -> None:
    class Command:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.mkdir, (str(tmp_path / "ran"),))

    torch.save({"model_state_dict": {}, "config": Command()}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"a\.pth is a Python pickle"):
        load(f"sevennet:{tmp_path / 'a.pth'}")
    assert not (tmp_path / "ran").exists()
