"""Orb with weights that were never trained, against its own calculator; needs the ``orb`` extra."""

from pathlib import Path

import pytest
import torch

pytest.importorskip("orb_models")

from helpers.laws import (
    check_batch_does_not_matter,
    check_equals_calculator,
    check_stress_is_the_slope,
)
from orb_models.forcefield.calculator import ORBCalculator
from orb_models.forcefield.pretrained import (
    orb_v2_architecture,
    orb_v3_conservative_architecture,
    orb_v3_direct_architecture,
)

from crystalformer_rl.potentials.base import Potential
from crystalformer_rl.potentials.registry import load

ARCHITECTURES = {
    "orb-v2": orb_v2_architecture,
    "orb-v3-conservative-inf-mpa": orb_v3_conservative_architecture,
    "orb-v3-direct-20-omat": orb_v3_direct_architecture,
}


@pytest.fixture(scope="module", params=ARCHITECTURES)
def weights(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("orb") / f"{request.param}-20250404.ckpt"
    torch.save(ARCHITECTURES[request.param](device="cpu").state_dict(), path)
    return path


@pytest.fixture(scope="module")
def orb(weights: Path) -> Potential:
    return load(f"orb:{weights}", check=False)


def test_equals_the_package(orb: Potential) -> None:
    check_equals_calculator(orb, ORBCalculator(orb._model, device="cpu"))


def test_batch_does_not_matter(orb: Potential) -> None:
    check_batch_does_not_matter(orb)


def test_stress_is_the_slope(orb: Potential) -> None:
    if "conservative" not in orb.version:
        pytest.skip("a direct model's stress is no slope")
    check_stress_is_the_slope(orb, tolerance=5e-3)


def test_what_it_declares(orb: Potential, weights: Path) -> None:
    assert (orb.name, orb.version) == ("orb", weights.name)
    assert orb.energy_convention == ("omat24" if "omat" in weights.name else "uncorrected")
    assert len(orb.elements) == 89


def test_untrained_weights_are_refused(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ValueError, match=r"orb-v.*fails its self-test[\s\S]*NaCl .*<- wrong"):
        load(f"orb:{weights}")


@pytest.mark.parametrize("model", ["orb-d3-v2", "orb-v1", "weights.ckpt"])
def test_a_model_that_is_not_offered_is_refused(model: str) -> None:
    with pytest.raises(ValueError, match=f"'{model}': its name must begin with one of orb-v2"):
        load(f"orb:{model}")
