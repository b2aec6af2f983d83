"""A reward from a file of the user's: what it may return, and what is said of every mistake."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from crystalformer_rl.config.rewards import FileReward
from crystalformer_rl.crystal.cell import Cell, volume_of
from crystalformer_rl.rewards.base import Reward, Sources, build

Write = Callable[[str], Reward]
BODY = "def score(structures):\n    return {}\n"
DENSITY = BODY.format("[structure.density for structure in structures]")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def reward(text: str) -> Reward:
        (tmp_path / "mine.py").write_text(text)
        return build(FileReward(path=str(tmp_path / "mine.py")), Sources(device="cpu"))

    return reward


def test_a_crystal_gets_its_score_and_an_undecodable_one_the_lowest(
    write: Write, batch: list[Cell | None]
) -> None:
    scored = write(DENSITY).score(batch[:4])
    known = [cell.density for cell in batch[:3] if cell is not None]
    np.testing.assert_allclose(scored.value, [*known, min(known)])
    assert scored.valid.tolist() == [True, True, True, False]
    assert not scored.abstain.any()
    assert np.isnan(scored.components["score"][3])


def test_where_nothing_could_be_decoded_the_reward_abstains(write: Write) -> None:
    reward = write("def score(structures):\n    raise RuntimeError('called')\n")
    scored = reward.score([None, None])
    assert scored.abstain.all()
    assert not scored.valid.any()
    assert scored.value.tolist() == [0, 0]
    assert reward.score([]).value.shape == (0,)


def test_the_function_gets_copies(write: Write, batch: list[Cell | None]) -> None:
    def volumes() -> list[float]:
        return [volume_of(cell.matrix) for cell in batch[:3] if cell is not None]

    before = volumes()
    body = "[structure.scale_lattice(1.0) and 0.0 for structure in structures]"
    write(BODY.format(body)).score(batch[:3])
    assert volumes() == before


def test_the_file_may_define_classes_and_import(write: Write, batch: list[Cell]) -> None:
    text = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\nimport numpy\n"
        "@dataclass\nclass Target:\n    density: float\n\n"
        "def score(structures):\n    target = Target(3.0)\n"
        "    return -numpy.abs([s.density - target.density for s in structures])\n"
    )
    assert (write(text).score(batch[:3]).value < 0).all()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import os\n\ndef score(structures)\n", r"mine\.py, line 3: not valid Python: expected"),
        ("\0", r"mine\.py.*not valid Python"),
        ("import nowhere_at_all\n", r"mine\.py, line 1: ModuleNotFoundError: No module named"),
        ("def rate(structures):\n    return []\n", r"mine\.py: defines no function score"),
        ("score = 3\n", r"mine\.py: defines no function score"),
        (
            "def half(x):\n    return 1 / x\n\n\ndef score(structures):\n    return half(0)\n",
            r"mine\.py, line 2: score raised ZeroDivisionError: division by zero",
        ),
        (BODY.format("structures[0].no_such"), r"mine\.py, line 2: score raised AttributeError"),
        (BODY.format("None"), r"mine\.py, line 1: score must return one number for each of the 3"),
        (BODY.format("'many'"), r"mine\.py, line 1: score must return a sequence of numbers"),
        (
            BODY.format("[1.0, 2.0]"),
            r"one number for each of the 3 crystals, but it returned 2 numbers",
        ),
        (
            BODY.format("[[1.0]] * 3"),
            r"one number for each of the 3 crystals, but it returned an array \(3, 1\)",
        ),
        (
            BODY.format("[1.0, float('nan'), 2.0]"),
            r"mine\.py, line 1: score returned nan for crystal 1 of 3, Na1 Cl1; every score must",
        ),
        (BODY.format("[1.0, 2.0, float('inf')]"), r"score returned inf for crystal 2 of 3, Mg1 O1"),
    ],
)
def test_a_mistake_names_the_line_and_what_to_do(
    write: Write, batch: list[Cell | None], text: str, words: str
) -> None:
    with pytest.raises(ValueError, match=words) as error:
        write(text).score(batch[:3])
    assert "Correct the file and run again" in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.py: no such file"):
        build(FileReward(path=str(tmp_path / "gone.py")), Sources(device="cpu"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("def score(structures)\n", "not valid Python in line 1"),
        ("\0", "not valid Python"),
        ("def rate(structures):\n    return []\n", "defines no function score"),
        (BODY.format("[1.0]"), None),
        ("from helpers import score\n", None),
        ("from helpers import rate as score\n", None),
        ("score = make()\n", None),
    ],
)
def test_a_problem_is_found_without_running_the_file(
    tmp_path: Path, text: str, problem: str | None
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    found = FileReward(path=str(path)).problem()
    assert found is None if problem is None else problem in str(found)
