"""Two or three gloo processes: the round of one, interrupted and continued, and how it fails."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.launch import in_processes
from helpers.ranks import weights_of
from helpers.rl_ranks import SETTINGS, run

from crystalformer_rl.files import read_tensors
from crystalformer_rl.model.policy import Policy

pytestmark = pytest.mark.slow
RANKS = (0, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes left."""
    path = tmp_path_factory.mktemp("reinforce")
    (path / "said").write_text(in_processes(2, "rl_ranks.py", path))
    return path


@pytest.fixture(scope="module")
def results(folder: Path) -> list[dict[str, Any]]:
    return [json.loads((folder / f"result-{rank}.json").read_text()) for rank in RANKS]


def crystals_of(folder: Path, name: str, rank: int) -> pd.DataFrame:
    table: pd.DataFrame = pickle.loads((folder / f"{name}-{rank}.pickle").read_bytes())
    return table


@pytest.mark.parametrize("name", SETTINGS)
def test_history_crystals_and_weights_are_those_of_one_process(
    folder: Path, results: list[dict[str, Any]], name: str, tmp_path: Path
) -> None:
    history, _, crystals, policy = run(name, tmp_path)
    alone, two = (
        pd.DataFrame(rows).astype(float) for rows in (history, results[0][name]["history"])
    )
    pd.testing.assert_frame_equal(two, alone, rtol=1e-5, atol=1e-5)
    same_crystals(folder, name, crystals)
    same_weights(folder, name, policy)
    # The cases that matter are in it.
    assert 0 < alone["refused_fraction"].mean() < 1
    assert (crystals["memory_weight"] < 1).any()
    assert alone["elite_best"].notna().any()


@pytest.mark.parametrize(
    ("processes", "kind"), [(3, "cpu"), (2, "cuda")], ids=["three", "two with a GPU each"]
)
def test_other_processes_too(tmp_path: Path, processes: int, kind: str) -> None:
    in_processes(processes, "rl_ranks.py", tmp_path, "straight", kind=kind)
    _, _, crystals, policy = run("ppo", tmp_path / "alone")
    same_crystals(tmp_path, "ppo", crystals)
    if kind == "cpu":  # a GPU rounds, and Adam moves a weight without a gradient by the rounding
        same_weights(tmp_path, "ppo", policy)


def same_crystals(folder: Path, name: str, crystals: pd.DataFrame) -> None:
    """With the log-probabilities of all steps, and so what the weights do."""
    pd.testing.assert_frame_equal(crystals_of(folder, name, 0), crystals, rtol=1e-5, atol=1e-4)


def same_weights(folder: Path, name: str, policy: Policy) -> None:
    weights = read_tensors(folder / f"{name}-0.safetensors")
    for key, expected in weights_of(policy).items():
        np.testing.assert_allclose(weights[key], expected, atol=1e-5)


@pytest.mark.parametrize("name", SETTINGS)
def test_both_end_with_the_same_bits(
    folder: Path, results: list[dict[str, Any]], name: str
) -> None:
    first, second = (read_tensors(folder / f"{name}-{rank}.safetensors") for rank in RANKS)
    assert all(np.array_equal(first[key], second[key]) for key in first)
    assert results[0][name] == results[1][name]
    pd.testing.assert_frame_equal(*(crystals_of(folder, name, rank) for rank in RANKS))


@pytest.mark.parametrize("name", SETTINGS)
def test_signal_to_one_while_scoring_stops_both_and_they_continue_exactly(
    folder: Path, results: list[dict[str, Any]], name: str
) -> None:
    for rank in RANKS:
        assert results[rank][f"{name}-code"] == 75
        assert results[rank][f"{name}-again"] == results[rank][name]
        straight, resumed = (
            read_tensors(folder / f"{one}-{rank}.safetensors") for one in (name, f"{name}-again")
        )
        assert all(np.array_equal(straight[key], resumed[key]) for key in straight)
        tables = [crystals_of(folder, one, rank) for one in (name, f"{name}-again")]
        pd.testing.assert_frame_equal(*tables)
    (checkpoint,) = (folder / f"{name}-again").rglob("*.safetensors")
    assert checkpoint.name.startswith("000000003-")


def test_an_error_in_one_ends_both(folder: Path, results: list[dict[str, Any]]) -> None:
    assert results[0]["failure"] == ["FailedElsewhere", "1"]
    assert results[1]["failure"] == ["ValueError", "no reward on Sundays"]
    assert "process 1 failed: ValueError: no reward on Sundays" in (folder / "said").read_text()


def test_not_finite_in_one_is_told_by_both(folder: Path, results: list[dict[str, Any]]) -> None:
    (path,) = (folder / "broken").rglob("*.safetensors")
    for result in results:
        assert "step 0: a log-probability is not finite" in result["diverged"]
        assert str(path) in result["diverged"]
    assert results[0]["diverged"] == results[1]["diverged"]
