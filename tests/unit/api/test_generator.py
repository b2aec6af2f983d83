"""Sampling from Python: the crystals of the verb, as the objects of other packages."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.cli import run_verb
from pymatgen.io.ase import AseAtomsAdaptor

import crystalformer_rl as cf
from crystalformer_rl.files import read_table
from crystalformer_rl.stages import sample


@pytest.fixture(scope="module")
def policy() -> cf.Generator:
    return cf.load_policy("mp20-small")


def test_the_crystals_are_those_of_the_verb(policy: cf.Generator, tmp_path: Path) -> None:
    crystals = policy.sample(3, space_group=[225, 221], seed=4, elements=["Na", "K", "Cl"])
    out = tmp_path / "samples.parquet"
    words = "--policy mp20-small -n 3 --space-group 225 221 --seed 4 --elements Na K Cl"
    run_verb(sample, [*words.split(), "--out", str(out)])
    pd.testing.assert_frame_equal(crystals.table, read_table(out), check_dtype=False)


def test_structures_and_atoms_are_the_same_crystals(policy: cf.Generator) -> None:
    crystals = policy.sample(4, space_group=225)
    assert len(crystals) == 4
    for structure, atoms in zip(crystals.structures, crystals.atoms, strict=True):
        assert structure is not None
        assert atoms is not None
        assert AseAtomsAdaptor.get_structure(atoms) == structure
        assert structure.get_space_group_info(symprec=0.01)[1] == 225


def test_a_saved_policy_samples_the_same(policy: cf.Generator, tmp_path: Path) -> None:
    policy.save(tmp_path / "mp20-small")
    again = cf.load_policy(tmp_path / "mp20-small")
    one, two = (p.sample(3, seed=1).table["log_prob"] for p in (policy, again))
    np.testing.assert_allclose(one, two, rtol=1e-6)


def test_crystals_are_written_by_suffix(policy: cf.Generator, tmp_path: Path) -> None:
    crystals = policy.sample(2, space_group=225)
    crystals.write(tmp_path / "cifs")
    assert len(list((tmp_path / "cifs").glob("*.cif"))) == 2
    with pytest.raises(ValueError, match=r"cannot write \.xyz"):
        crystals.write(tmp_path / "crystals.xyz")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"space_group": 300}, r"space_groups.* 300: input should be less than or equal to 230"),
        ({"elements": ["Xx"]}, "unknown element 'Xx'"),
        ({"temperatur": 2.0}, "constraints.temperatur: unknown key; allowed here: elements"),
        ({"n": 0}, "count = 0: input should be greater than 0"),
    ],
)
def test_a_mistake_is_explained(
    policy: cf.Generator, arguments: dict[str, object], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        policy.sample(**({"n": 2} | arguments))  # type: ignore[arg-type]


def test_an_unknown_policy_names_the_shipped_ones() -> None:
    with pytest.raises(FileNotFoundError, match=r"no-such.*which has mp20-base, mp20-small"):
        cf.load_policy("no-such")
