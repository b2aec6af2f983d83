"""Loading potentials by name: what is missing, and that every wrapper can be built."""

from dataclasses import replace
from importlib import import_module

import pytest

from crystalformer_rl.config import potentials
from crystalformer_rl.config.potentials import POTENTIALS
from crystalformer_rl.jobs.fingerprint import closure
from crystalformer_rl.potentials.base import Potential
from crystalformer_rl.potentials.registry import _installed, load


def test_a_missing_package_comes_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lacking = replace(POTENTIALS["mace"], packages=("mace-that-nobody-has",))
    monkeypatch.setattr(potentials, "POTENTIALS", {**POTENTIALS, "mace": lacking})
    with pytest.raises(ValueError) as error:
        load("mace:some.model")
    assert "not installed: mace-that-nobody-has. Run" in str(error.value)
    assert 'pip install "mace-torch>=0.3.16"' in str(error.value)


@pytest.mark.parametrize("name", POTENTIALS)
def test_every_potential_has_a_builder(name: str) -> None:
    info = POTENTIALS[name]
    spec = name if name in info.forms else f"{name}:some-model"
    assert info.module in closure("crystalformer_rl.stages.relax", potential=spec)
    if missing := [package for package in info.packages if not _installed(package)]:
        pytest.skip(f"{' '.join(missing)} not installed")
    assert callable(import_module(info.module).build)


def test_chgnet_is_loaded(chgnet: Potential) -> None:
    assert (chgnet.name, chgnet.version) == ("chgnet", "0.3.0")
    assert chgnet.energy_convention == "mp2020_corrected"
    assert len(chgnet.digest) == 64
