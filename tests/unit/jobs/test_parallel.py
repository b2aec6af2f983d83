"""Two gloo processes: the losses of one, one checkpoint, one end."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.failing_rank import MESSAGE, STAYED
from helpers.launch import in_processes
from helpers.policies import TINY
from helpers.ranks import train, weights_of

from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.files import read_tensors, write_tensors
from crystalformer_rl.jobs.parallel import SINGLE, VARIABLES, in_order, join
from crystalformer_rl.model.policy import Policy


@pytest.fixture(scope="module")
def crystals() -> CrystalTokens:
    return Policy(TINY, seed=2).sample(np.repeat([2, 62, 225], 10), seed=3).tokens


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, crystals: CrystalTokens) -> Path:
    """What two processes left."""
    path = tmp_path_factory.mktemp("parallel")
    write_tensors(path / "crystals.safetensors", crystals.to_arrays())
    in_processes(2, "ranks.py", path)
    return path


@pytest.fixture(scope="module")
def results(folder: Path) -> list[dict[str, Any]]:
    return [json.loads((folder / f"result-{rank}.json").read_text()) for rank in (0, 1)]


@pytest.mark.slow
def test_losses_and_weights_are_those_of_one_process(
    folder: Path, results: list[dict[str, Any]], crystals: CrystalTokens, tmp_path: Path
) -> None:
    history, policy = train(crystals, tmp_path, dropout=0.0)
    alone = pd.DataFrame(history).astype(float)
    for result in results:
        found = pd.DataFrame(result["plain"]).astype(float)
        pd.testing.assert_frame_equal(found, alone, rtol=1e-5, atol=0)
    expected = weights_of(policy)
    for rank in (0, 1):
        weights = read_tensors(folder / f"plain-{rank}.safetensors")
        assert weights.keys() == expected.keys()
        for name in weights:
            np.testing.assert_allclose(weights[name], expected[name], atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain", "straight", "resumed"])
def test_both_end_with_the_same_bits(
    folder: Path, results: list[dict[str, Any]], name: str
) -> None:
    first, second = (read_tensors(folder / f"{name}-{rank}.safetensors") for rank in (0, 1))
    assert all(np.array_equal(first[key], second[key]) for key in first)
    assert results[0][name] == results[1][name]


@pytest.mark.slow
def test_so_do_two_with_a_gpu_each(crystals: CrystalTokens, tmp_path: Path) -> None:
    """Nccl refuses tensors of the CPU, and bfloat16 gives other losses."""
    write_tensors(tmp_path / "crystals.safetensors", crystals.to_arrays())
    in_processes(2, "ranks.py", tmp_path, "straight", kind="cuda")
    first, second = (read_tensors(tmp_path / f"plain-{rank}.safetensors") for rank in (0, 1))
    assert all(np.array_equal(first[key], second[key]) for key in first)


@pytest.mark.slow
def test_signal_to_one_stops_both_after_the_same_step_and_they_continue_exactly(
    folder: Path, results: list[dict[str, Any]]
) -> None:
    for result in results:
        assert result["code"] == 75
        (name,) = result["checkpoints"]
        assert name.startswith("000000008-")
        assert result["resumed"] == result["straight"]
    resumed, straight = (
        read_tensors(folder / f"{name}-0.safetensors") for name in ("resumed", "straight")
    )
    assert all(np.array_equal(resumed[key], straight[key]) for key in straight)


@pytest.mark.slow
def test_not_finite_is_told_by_both(folder: Path, results: list[dict[str, Any]]) -> None:
    (path,) = (folder / "broken").rglob("*.safetensors")
    number = int(path.name.partition("-")[0])
    for result in results:
        assert f"step {number}: the loss is not finite" in result["error"]
        assert "mp-13" in result["error"]
        assert str(path) in result["error"]


@pytest.mark.slow
def test_different_checkpoints_are_refused(results: list[dict[str, Any]]) -> None:
    assert "disagreement" not in results[0]
    assert "process 1 continues after step 1, process 0 after step 0" in results[1]["disagreement"]


@pytest.mark.slow
def test_no_thread_of_the_group_is_left(results: list[dict[str, Any]]) -> None:
    """One that is left may abort the process at its very end."""
    for result in results:
        assert result["threads"]
        assert not [name for name in result["threads"] if "gloo" in name]


@pytest.mark.slow
def test_a_process_that_fails_ends_the_other_with_its_message(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=MESSAGE) as end:
        in_processes(2, "failing_rank.py", tmp_path)
    said = str(end.value)
    assert f"process 1 failed: MemoryError: {MESSAGE}; this process ends too" in said
    assert "forcefully" not in said  # torchrun's word, half a minute later
    assert STAYED in said


def test_alone_without_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with join("cpu") as parallel:
        assert parallel == SINGLE
        indices = np.arange(5)
        assert parallel.share(indices).tolist() == indices.tolist()


def test_shares_are_put_in_order() -> None:
    assert in_order([[0, 3], [1, 4], [2]]) == [0, 1, 2, 3, 4]
    assert in_order([[0], [], []]) == [0]
    assert SINGLE.map(str, [3, 1]) == ["3", "1"]


def test_half_an_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    refused = pytest.raises(ValueError, match="LOCAL_RANK, MASTER_ADDR, MASTER_PORT not set")
    with refused, join("cpu"):
        pass
