"""Names of potentials: what they mean, and what is said of those that mean nothing."""

from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec

import pytest

from crystalformer_rl.jobs.fingerprint import closure
from crystalformer_rl.potentials.base import Potential
from crystalformer_rl.potentials.registry import POTENTIALS, Spec, load, parse


@pytest.mark.parametrize(
    ("spec", "parsed"),
    [
        ("chgnet", Spec("chgnet", None)),
        ("sevennet", Spec("sevennet", "7net-0")),
        ("sevennet:7net-l3i5", Spec("sevennet", "7net-l3i5")),
        ("orb:weights/orb-v2-20241011.ckpt", Spec("orb", "weights/orb-v2-20241011.ckpt")),
        ("matgl:owner/model", Spec("matgl", "owner/model")),
        ("mace:a:b.model", Spec("mace", "a:b.model")),
    ],
)
def test_parse(spec: str, parsed: Spec) -> None:
    assert parse(spec) == parsed


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("chgnt", "'chgnt' is unknown; available: chgnet, sevennet, orb, matgl, nequix, mace"),
        ("", "'' is unknown"),
        ("chgnet:0.2.0", "'chgnet:0.2.0': chgnet has one model only; write 'chgnet'"),
        ("sevennet:", "'sevennet:': after the colon comes the name of a pretrained model"),
        ("mace", "'mace': write mace:MODEL, which is a .model file"),
    ],
)
def test_bad_specs_say_what_is_allowed(spec: str, words: str) -> None:
    with pytest.raises(ValueError) as error:
        parse(spec)
    assert words in str(error.value)


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = replace(POTENTIALS["mace"], packages=("mace_that_nobody_has",))
    monkeypatch.setitem(POTENTIALS, "mace", lacking)
    with pytest.raises(ValueError) as error:
        load("mace:some.model")
    assert "needs mace_that_nobody_has" in str(error.value)
    assert 'pip install "crystalformer-rl[mace]"' in str(error.value)


@pytest.mark.parametrize("name", POTENTIALS)
def test_every_entry_has_a_builder(name: str) -> None:
    entry = POTENTIALS[name]
    assert entry.module in closure("crystalformer_rl.stages.relax", potential=name)
    if any(find_spec(package) is None for package in entry.packages):
        pytest.skip(f"{' '.join(entry.packages)} not installed")
    assert callable(import_module(entry.module).build)


def test_chgnet_is_loaded(chgnet: Potential) -> None:
    assert (chgnet.name, chgnet.version) == ("chgnet", "0.3.0")
    assert chgnet.energy_convention == "mp2020_corrected"
    assert len(chgnet.digest) == 64
