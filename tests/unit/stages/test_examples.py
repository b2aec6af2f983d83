"""The examples of ``sample --help`` and ``chain --help``, as they stand there."""

import shlex
from pathlib import Path

import pytest
import torch
from helpers.crystals import rock_salt
from pymatgen.core import Lattice, Structure

from crystalformer_rl import cli

PROGRAM, FEW = "crystalformer-rl", {"sample": "--count=2", "chain": "--count=2 --steps=1"}


@pytest.mark.parametrize("verb", ["sample", "chain"])
def test_examples_run(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    rock_salt(length=5.6).to("NaCl.cif")
    rutile = Structure.from_spacegroup(
        136, Lattice.tetragonal(4.6, 2.95), ["Ti", "O"], [[0] * 3, [0.305, 0.305, 0]]
    )
    rutile.to("TiO2.cif")
    with pytest.raises(SystemExit):
        cli.main([verb, "--help"])
    examples = [
        shlex.split(line)
        for line in capsys.readouterr().out.replace("\\\n", " ").splitlines()
        if line.strip().startswith(f"{PROGRAM} {verb} --policy")
    ]
    assert len(examples) >= 6
    # Those with results/ need a run of the workflow.
    at_once = [words[1:] for words in examples if not any("results/" in word for word in words)]
    assert len(at_once) >= 4
    for words in at_once:
        cli.main([*words, *FEW[verb].split()])
    assert len([*tmp_path.glob("*.provenance.json")]) == len({out(words) for words in at_once})


def out(words: list[str]) -> str:
    return words[words.index("--out") + 1] if "--out" in words else "samples.parquet"
