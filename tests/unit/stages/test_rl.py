"""The rl stage: two rounds with the real reward."""

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.cli import run_verb
from helpers.launch import TORCHRUN, end, interrupted, start
from helpers.policies import TINY
from pymatgen.core import Element

from crystalformer_rl import cli
from crystalformer_rl.config import EhullReward, FileReward, RLSettings
from crystalformer_rl.crystal.token_table import tokens_of
from crystalformer_rl.files import read_json, read_table, read_tensors
from crystalformer_rl.jobs.loop import EXIT_CODE
from crystalformer_rl.model.folder import policy_files, policy_folder
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.stability.reference import Elements, HullRules, write_hull
from crystalformer_rl.stages import rl

GOLDEN = Path(__file__).parents[2] / "fixtures" / "golden_model.pkl"
TRAINED = str(Path(__file__).parents[3] / "resources" / "pretrained" / "mp20-small")
MODEL = TINY.model_copy(update={"max_sites": 3})
SETTINGS = RLSettings(
    reward=EhullReward(min_references=None), steps=2, batch_size=4, space_groups=[1, 2]
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.set_num_threads(1)
    Policy(MODEL, seed=1).save(tmp_path / "pretrain")
    hull = pd.DataFrame({"formula": ["NaCl"], "formation_energy_per_atom": [-2.0]})
    energies = {Element.from_Z(number).symbol: -3.0 for number in range(1, 119)}
    elements = Elements("chgnet", "mp2020_corrected", energies)
    write_hull(tmp_path / "hull", hull, elements=elements, rules=HullRules())
    return tmp_path


def words(folder: Path, *more: str, policy: str, number: int, out: str) -> list[str]:
    values = {
        "settings": SETTINGS.model_dump_json(),
        "policy": folder / policy,
        "base": folder / "pretrain",
        "round": number,
        "name": "ehull",
        "seed": 3,
        "checkpoints": folder / "checkpoints" / out,
        "out": folder / out,
    }
    if "--trust-code" not in more:
        values["hull"] = folder / "hull"
    return [*(f"--{name}={value}" for name, value in values.items()), *more]


def run(folder: Path, *more: str, policy: str, number: int, out: str) -> Path:
    run_verb(rl, words(folder, *more, policy=policy, number=number, out=out))
    return folder / out


@pytest.fixture
def score(folder: Path) -> Callable[[str], list[str]]:
    """Writes a reward file, and gives the arguments of a run with it."""

    def arguments(body: str) -> list[str]:
        path = folder / "mine.py"
        path.write_text(f"def score(structures):\n    return {body}\n")
        changes = {"reward": FileReward(path=str(path)), "space_groups": [225], "batch_size": 8}
        settings = SETTINGS.model_copy(update=changes)
        return [f"--settings={settings.model_dump_json()}", "--trust-code"]

    return arguments


def test_two_rounds(folder: Path) -> None:
    first = run(folder, policy="pretrain", number=1, out="round-1")
    history = read_table(first / "history.parquet")
    assert history["step"].tolist() == [1, 2]
    expected = {"round", "reward_mean", "reward_std", "valid_fraction", "e_above_hull_mean", "kl"}
    expected |= {"unique_fraction", "ratio_max", "grad_norm", "baseline", "seconds"}
    assert expected <= set(history.columns)
    assert history["reward_mean"].between(0, 1).all()
    assert history["element_fraction"].between(0, 1).all()
    record = read_json(first / "provenance.json")
    assert record["counts"]["items"] == 8
    assert record["settings"]["round"] == 1
    assert not (folder / "checkpoints" / "round-1").exists()

    crystals = read_table(first / "crystals.parquet")
    assert crystals["step"].tolist() == [1] * 4 + [2] * 4
    assert set(SETTINGS.reward.components) <= set(crystals.columns)
    assert tokens_of(crystals).space_group.tolist() == crystals["space_group"].tolist()

    earlier = f"--earlier={first / 'crystals.parquet'}"
    second = run(folder, earlier, policy="round-1", number=2, out="round-2")
    assert read_table(second / "crystals.parquet")["step"].tolist() == [3] * 4 + [4] * 4
    inputs = read_json(second / "provenance.json")["inputs"]
    assert inputs["earlier"][0]["path"] == str(first / "crystals.parquet")
    assert read_table(second / "history.parquet")["step"].tolist() == [3, 4]
    assert read_json(second / "state.json")["step"] == 4

    with pytest.raises(SystemExit) as stop:
        run(folder, "--minutes=0", policy="pretrain", number=1, out="again")
    assert stop.value.code == EXIT_CODE
    again = run(folder, policy="pretrain", number=1, out="again")
    a, b = (read_tensors(path / "model.safetensors") for path in (first, again))
    assert all(np.array_equal(a[name], b[name]) for name in a)
    pd.testing.assert_frame_equal(read_table(again / "crystals.parquet"), crystals)


@pytest.mark.slow
def test_two_processes_of_torchrun_stop_and_continue_and_end_like_one(folder: Path) -> None:
    changes = {"space_groups": [221, 225], "batch_size": 7}
    more = [
        f"--settings={SETTINGS.model_copy(update=changes).model_dump_json()}",
        f"--base={TRAINED}",
    ]
    one = run(folder, *more, policy=TRAINED, number=1, out="one")
    args = words(folder, *more, policy=TRAINED, number=1, out="two")
    code, said = interrupted("rl", args, by=signal.SIGTERM, after="reward_mean", launcher=TORCHRUN)
    assert code != 0  # torchrun has exit codes of its own
    assert said.count("run again to continue") == 2
    code, said = end(start("rl", args, TORCHRUN))
    assert code == 0, said
    two = folder / "two"
    assert {path.name for path in two.iterdir()} == {path.name for path in one.iterdir()}
    histories = [
        read_table(path / "history.parquet").drop(columns="seconds") for path in (two, one)
    ]
    pd.testing.assert_frame_equal(*histories, rtol=1e-5, atol=1e-5)
    tables = [read_table(path / "crystals.parquet") for path in (two, one)]
    pd.testing.assert_frame_equal(*tables, rtol=1e-5, atol=1e-4)
    assert tables[0]["e_above_hull"].notna().any()
    assert read_json(two / "provenance.json")["counts"]["processes"] == 2


def test_later_round_needs_the_round_before(folder: Path) -> None:
    with pytest.raises(ValueError, match="--round 2 needs the folder of the previous round"):
        run(folder, policy="pretrain", number=2, out="round-2")


def test_later_round_needs_the_crystals_of_all_rounds_before(folder: Path) -> None:
    first = run(folder, policy="pretrain", number=1, out="round-1")
    with pytest.raises(ValueError, match=r"all rounds before, .* the steps 1 to 2; no file: 0 ste"):
        run(folder, policy="round-1", number=2, out="round-2")
    twice = ["--earlier", *[str(first / "crystals.parquet")] * 2]
    with pytest.raises(ValueError, match=r"--earlier must be .*crystals\.parquet: 4 steps"):
        run(folder, *twice, policy="round-1", number=2, out="round-2")


def test_published_density_gives_way_to_that_of_the_samples(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    published = MODEL.model_copy(update={"coordinate_density": "published"})
    Policy(published, seed=1).save(folder / "pretrain")
    with caplog.at_level("INFO", logger="crystalformer_rl"):
        first = run(folder, policy="pretrain", number=1, out="round-1")
    assert "pretrain: coordinate_density is changed from published to independent" in caplog.text
    assert Policy.load(first).settings.coordinate_density == "independent"


def test_an_imported_policy_is_sampled_and_reinforced(folder: Path) -> None:
    """A published checkpoint, with nothing said about space groups after its import."""
    cli.main(["import-checkpoint", str(GOLDEN), "--out", f"{folder}/pretrain", "--heads=4",
              "--space-groups=mp20-small"])  # fmt: skip
    settings = {"constraints": {"max_atoms": 3}}
    shard = ["--shard=0", f"--settings={json.dumps({'shard_size': 4} | settings)}"]
    cli.main(["sample", f"--policy={folder}/pretrain", f"--out={folder}/shard.parquet", *shard])
    assert len(read_table(folder / "shard.parquet")) == 4
    one_step = json.dumps(settings | {"steps": 1, "batch_size": 4, "ppo_epochs": 1})
    first = run(folder, f"--settings={one_step}", policy="pretrain", number=1, out="round-1")
    assert len(read_table(first / "history.parquet")) == 1
    trained = Policy.load(first)
    assert trained.settings.lattice_density == "per_dimension"
    assert trained.space_group_counts.any()


def test_the_history_goes_to_tensorboard_on_request(folder: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run(folder, f"--tensorboard={folder / 'board'}", policy="pretrain", number=1, out="round-1")
    board = events.EventAccumulator(str(folder / "board")).Reload()
    rewards = [event.value for event in board.Scalars("reward_mean")]
    history = read_table(folder / "round-1" / "history.parquet")
    assert rewards == pytest.approx(history["reward_mean"].tolist())


def test_a_file_of_the_users_rewards_without_hull_or_potential(
    folder: Path, score: Callable[[str], list[str]]
) -> None:
    words = score("[-structure.density for structure in structures]")
    first = run(folder, *words, policy="pretrain", number=1, out="round-1")
    history = read_table(first / "history.parquet")
    assert "e_above_hull_mean" not in history
    assert (history["score_mean"] < 0).all()
    record = read_json(first / "provenance.json")
    assert set(record["inputs"]) == {"policy", "base", "reward"}
    assert record["inputs"]["reward"][0]["path"] == str(folder / "mine.py")


def test_a_combination_of_rewards(folder: Path, score: Callable[[str], list[str]]) -> None:
    """Parts with a hull, with the dataset, with a file of the user's, and with none of these."""
    score("[structure.density for structure in structures]")
    parts = {
        "stable": {"reward": {"kind": "ehull", "guards": ["element"]}, "weight": 2},
        "new": {"reward": {"kind": "novelty", "known": 0}},
        "varied": {"reward": {"kind": "diversity"}},
        "dense": {
            "reward": {"kind": "file", "path": str(folder / "mine.py")},
            "minimum": 0,
            "maximum": 20,
        },
    }
    pd.DataFrame({"formula": ["NaCl"]}).to_parquet(folder / "structures.parquet")
    raw = {"reward": {"kind": "combine", "how": "sum", "parts": parts}, "batch_size": 8}
    settings = RLSettings.model_validate(raw | {"steps": 2, "space_groups": [221, 225]})
    for file in policy_files(policy_folder("mp20-small")):
        shutil.copy(file, folder / "pretrain")
    words = [f"--settings={settings.model_dump_json()}", f"--known={folder}/structures.parquet"]
    words += [f"--hull={folder}/hull", "--trust-code"]
    first = run(folder, *words, policy="pretrain", number=1, out="round-1")
    history = read_table(first / "history.parquet")
    expected = {f"{name}_mean" for name in settings.reward.components}
    assert expected | {"element_fraction"} <= set(history.columns)
    assert history["reward_mean"].between(0, 1).all()
    crystals = read_table(first / "crystals.parquet")
    assert {f"{name}_reward" for name in parts} <= set(crystals.columns)
    good = crystals[crystals["valid"]]
    assert len(good) > 2
    each = [2 * good["stable_reward"], *(good[f"{name}_reward"] for name in list(parts)[1:])]
    np.testing.assert_allclose(good["value"], sum(each) / 5, rtol=1e-5)
    record = read_json(first / "provenance.json")
    assert {"hull", "known", "reward"} < set(record["inputs"])
    assert "chgnet" in record["packages"]


def test_a_reward_that_needs_the_dataset_asks_for_it(folder: Path) -> None:
    settings = RLSettings.model_validate({"reward": {"kind": "novelty"}, "space_groups": [1]})
    words = [f"--settings={settings.model_dump_json()}"]
    with pytest.raises(ValueError, match="the reward novelty: it needs the dataset: give its"):
        run(folder, *words, policy="pretrain", number=1, out="round-1")


def test_a_memory_that_needs_the_dataset_asks_for_it(
    folder: Path, score: Callable[[str], list[str]]
) -> None:
    settings, *others = score("[structure.density for structure in structures]")
    raw = json.loads(settings.removeprefix("--settings=")) | {"memory": {"known": 0.5}}
    words = [f"--settings={json.dumps(raw)}", *others]
    with pytest.raises(ValueError, match=r"memory\.known needs the dataset: give its"):
        run(folder, *words, policy="pretrain", number=1, out="round-1")


def test_code_that_is_not_trusted_does_not_run(
    folder: Path, score: Callable[[str], list[str]]
) -> None:
    settings, _ = score(f"open({str(folder / 'ran')!r}, 'w')")
    with pytest.raises(ValueError, match=r"mine\.py is Python code .* `trust_code: true` under"):
        run(folder, settings, policy="pretrain", number=1, out="round-1")
    assert not (folder / "ran").exists()


def test_a_reward_that_needs_a_hull_asks_for_it(folder: Path) -> None:
    with pytest.raises(ValueError, match="the reward ehull: it needs a hull: give its folder"):
        run(folder, "--trust-code", policy="pretrain", number=1, out="round-1")


def test_a_constant_reward_is_refused_in_its_first_batch(
    folder: Path, score: Callable[[str], list[str]]
) -> None:
    words = score("[0.1 for structure in structures]")
    with pytest.raises(ValueError, match=r"mine\.py: score returned 0\.1 for every crystal of the"):
        run(folder, *words, policy="pretrain", number=1, out="round-1")


def test_an_interrupted_round_goes_on_and_one_of_another_file_starts_over(
    folder: Path, score: Callable[[str], list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints = folder / "checkpoints" / "round-1"
    words = score("[-structure.density for structure in structures]")
    with pytest.raises(SystemExit):
        run(folder, *words, "--minutes=0", policy="pretrain", number=1, out="round-1")
    mistaken = score("structures[0].no_such")
    with pytest.raises(ValueError, match=r"mine\.py, line 2: score raised AttributeError"):
        run(folder, *mistaken, policy="pretrain", number=1, out="round-1")
    assert len(list(checkpoints.rglob("*.safetensors"))) == 1
    words = score("[-structure.density for structure in structures]")
    with caplog.at_level("INFO"):
        run(folder, *words, policy="pretrain", number=1, out="round-1")
    assert "continuing from checkpoint" in caplog.text
    assert len(read_table(folder / "round-1" / "history.parquet")) == 2
