"""Reinforcement: exact continuation, what a reward and the leash do, what history says."""

import json
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.policies import TINY

from crystalformer_rl.config import ConstraintSettings, RLSettings
from crystalformer_rl.config.memory import MemorySettings
from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.jobs.device import PATIENCE, best_device
from crystalformer_rl.jobs.loop import DivergedError, Interrupted, Loop
from crystalformer_rl.model.constraints import build
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.model.prompts import prompt_probabilities
from crystalformer_rl.rewards.base import Reward, RewardBatch
from crystalformer_rl.training.fit import Row
from crystalformer_rl.training.reinforce import reinforce
from crystalformer_rl.training.rollout import Rollout, collect
from crystalformer_rl.training.round_state import RoundState
from crystalformer_rl.training.scoring import scoring_room

NewPolicy = Callable[[], Policy]
NewLoop = Callable[..., Loop]

SETTINGS = RLSettings(steps=5, batch_size=12, ppo_epochs=2, learning_rate=0.003)
STEERED = SETTINGS.model_copy(
    update={"target_kl": 0.5, "learning_rate_schedule": "cosine", "entropy": 0.01}
)
PAPER = RLSettings(preset="paper", steps=5, batch_size=12, ppo_epochs=2, learning_rate=0.003)
REMEMBERING = RLSettings(
    steps=5, batch_size=12, ppo_epochs=2, learning_rate=0.003,
    memory={"by": "prototype", "full": 1, "none": 3, "window": 20},
    elites={"weight": 0.5, "kept": 6, "replayed": 3},
    constraints={"elements": ["Na", "Cl"]},
)  # fmt: skip
DPO = RLSettings(algorithm="dpo", steps=5, batch_size=12, learning_rate=0.003)
IPO = RLSettings.model_validate(
    {
        **{"algorithm": "dpo", "steps": 5, "batch_size": 12, "learning_rate": 0.003},
        "dpo": {"variant": "ipo", "sft_weight": 0.1, "label_smoothing": 0.1},
    }
)
TIMED = "seconds"


@dataclass
class FewAtoms:
    """Rewards small primitive cells; a crystal that cannot be decoded counts as 100 atoms."""

    terminate_at: int | None = None
    calls: int = field(default=0, init=False)

    def score(self, cells: Sequence[Cell | None]) -> RewardBatch:
        self.calls += 1
        if self.calls == self.terminate_at:
            os.kill(os.getpid(), signal.SIGTERM)
        valid = np.array([cell is not None for cell in cells])
        atoms = np.array([100.0 if cell is None else len(cell) for cell in cells])
        return RewardBatch(-atoms / 10, valid, np.zeros_like(valid), {"atoms": atoms})


def prompts(*groups: int) -> np.ndarray:
    return prompt_probabilities(np.zeros(231, dtype=int), groups, "training")


def train(
    policy: Policy,
    base: Policy,
    loop: Loop,
    *,
    reward: Reward | None = None,
    settings: RLSettings = SETTINGS,
    previous: RoundState = RoundState(),  # noqa: B008 - frozen
) -> tuple[list[Row], RoundState]:
    history, after, _ = whole_round(
        policy, base, loop, reward=reward, settings=settings, previous=previous
    )
    return history, after


def whole_round(
    policy: Policy,
    base: Policy,
    loop: Loop,
    *,
    reward: Reward | None = None,
    settings: RLSettings = SETTINGS,
    previous: RoundState = RoundState(),  # noqa: B008 - frozen
    earlier: Sequence[pd.DataFrame] = (),
) -> tuple[list[Row], RoundState, pd.DataFrame]:
    with loop:
        history, after, crystals = reinforce(
            policy,
            base,
            reward or FewAtoms(),
            settings=settings,
            prompts=prompts(2, 62, 225),
            round_number=1,
            seed=7,
            loop=loop,
            previous=previous,
            earlier=earlier,
        )
    return [{k: v for k, v in row.items() if k != TIMED} for row in history], after, crystals


def test_a_halved_room_grows_only_between_batches(new_policy: NewPolicy, new_loop: NewLoop) -> None:
    """Within a batch the chunks stay the same, so that the first ratio is 1."""
    room = scoring_room(best_device())
    for _ in range(2):
        room.shrink(min(room.most, 16))
    settings = SETTINGS.model_copy(update={"ppo_epochs": 1, "steps": PATIENCE + 1})
    before = room.most
    history, _ = train(new_policy(), new_policy(), new_loop(), settings=settings)
    assert room.most == 2 * before
    assert {row["ratio_max"] for row in history} == {1.0}


@pytest.mark.parametrize(
    "settings",
    [SETTINGS, STEERED, PAPER, REMEMBERING, DPO, IPO],
    ids=["robust", "steered", "paper", "remembering", "dpo", "ipo"],
)
@pytest.mark.parametrize("call", [1, 3])
def test_sigterm_while_scoring_equals_straight(
    new_policy: NewPolicy, new_loop: NewLoop, call: int, settings: RLSettings
) -> None:
    straight, resumed = new_policy(), new_policy()
    *expected, crystals = whole_round(
        straight, new_policy(), new_loop(name="straight"), settings=settings
    )
    stopping = FewAtoms(terminate_at=call)
    with pytest.raises(Interrupted):
        train(new_policy(), new_policy(), new_loop(), reward=stopping, settings=settings)
    rest = FewAtoms()
    torch.manual_seed(99)
    *found, again = whole_round(resumed, new_policy(), new_loop(), reward=rest, settings=settings)
    assert found == expected
    pd.testing.assert_frame_equal(again, crystals)
    assert crystals["step"].value_counts().to_dict() == dict.fromkeys(range(1, 6), 12)
    assert rest.calls == settings.steps - (call - 1)
    for a, b in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


def test_time_limit_advances_a_step_at_a_time(new_policy: NewPolicy, new_loop: NewLoop) -> None:
    straight, resumed = new_policy(), new_policy()
    train(straight, new_policy(), new_loop(name="straight"))
    for _ in range(SETTINGS.steps):
        with pytest.raises(Interrupted):
            train(new_policy(), new_policy(), new_loop(limit=0))
    train(resumed, new_policy(), new_loop(limit=0))
    for a, b in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


def test_reward_grows_and_the_leash_holds(new_policy: NewPolicy, new_loop: NewLoop) -> None:
    settings = RLSettings(steps=12, batch_size=64, learning_rate=0.01, tau=0.0, preset="paper")
    free, _ = train(new_policy(), new_policy(), new_loop(name="free"), settings=settings)
    start = np.mean([row["reward_mean"] for row in free[:3]])
    end = np.mean([row["reward_mean"] for row in free[-3:]])
    spread = free[0]["reward_std"] / np.sqrt(3 * settings.batch_size)
    assert end > start + 5 * spread
    tight = settings.model_copy(update={"tau": 10.0})
    held, _ = train(new_policy(), new_policy(), new_loop(name="held"), settings=tight)
    assert abs(held[-1]["kl"]) < 0.2 * free[-1]["kl"]


def test_preferences_raise_the_reward_too(new_policy: NewPolicy, new_loop: NewLoop) -> None:
    settings = RLSettings(algorithm="dpo", steps=12, batch_size=64, learning_rate=0.003)
    history, _ = train(new_policy(), new_policy(), new_loop(), settings=settings)
    start = np.mean([row["reward_mean"] for row in history[:3]])
    end = np.mean([row["reward_mean"] for row in history[-3:]])
    assert end > start + 5 * history[0]["reward_std"] / np.sqrt(3 * settings.batch_size)
    assert history[0]["pair_accuracy"] == 0
    assert 0 < history[0]["paired_fraction"] <= 1


def test_history_and_what_is_carried(new_policy: NewPolicy, new_loop: NewLoop) -> None:
    first, state = train(new_policy(), new_policy(), new_loop(name="first"), settings=PAPER)
    assert state.step == 5
    assert state.baseline.mean == pytest.approx(first[-1]["baseline"], rel=1e-12)
    assert first[0]["kl"] == 0
    assert first[0]["baseline"] == first[0]["reward_mean"]
    assert first[1]["baseline"] == pytest.approx(
        0.95 * first[0]["baseline"] + 0.05 * first[1]["reward_mean"]
    )
    assert {"valid_fraction", "unique_fraction", "ratio_max", "grad_norm"} <= first[0].keys()
    assert first[0]["atoms_mean"] > 0
    state = RoundState.restore(json.loads(json.dumps(state.values())))
    second, after = train(
        new_policy(), new_policy(), new_loop(name="second"), settings=PAPER, previous=state
    )
    assert [row["step"] for row in second] == [6, 7, 8, 9, 10]
    assert second[0]["baseline"] == pytest.approx(
        0.95 * state.baseline.mean + 0.05 * second[0]["reward_mean"]
    )
    assert after.step == 10


def test_a_round_remembers_those_before(new_policy: NewPolicy, new_loop: NewLoop) -> None:
    policy, base = new_policy(), new_policy()
    settings = REMEMBERING.model_copy(update={"memory": MemorySettings(full=1, none=4)})
    first, state, crystals = whole_round(policy, base, new_loop(name="first"), settings=settings)
    earlier = [rows for _, rows in crystals.groupby("step")]
    second, _, more = whole_round(
        policy, base, new_loop(name="2"), settings=settings, previous=state, earlier=earlier
    )
    assert second[0]["distinct"] >= first[-1]["distinct"]
    assert second[0]["elite_best"] >= first[-1]["elite_mean"]
    both = pd.concat([crystals, more]).query("valid")
    assert second[-1]["distinct"] == both["formula"].nunique()
    assert (both.groupby("formula")["memory_weight"].sum() <= 2 + 1e-6).all()
    assert (crystals["memory_weight"] < 1).any()


def test_base_stays_as_it_was(new_policy: NewPolicy, new_loop: NewLoop) -> None:
    base = new_policy()
    train(new_policy(), base, new_loop())
    for a, b in zip(base.parameters(), new_policy().parameters(), strict=True):
        assert torch.equal(a, b)


def test_not_finite_stops_with_the_state_before(new_policy: NewPolicy, new_loop: NewLoop) -> None:
    broken = new_policy()
    with torch.no_grad():
        broken.network.out.bias.fill_(torch.nan)
    with pytest.raises(DivergedError, match=r"step 0: a log-probability .*\(\d+\).*checkpoint"):
        train(new_policy(), broken, new_loop())


CONSTRAINTS = ConstraintSettings(elements=["Na", "Cl", "O"], required=["Na"], max_atoms=8)


def test_constraints_are_drawn_and_scored(new_policy: NewPolicy) -> None:
    asked = build(CONSTRAINTS, max_sites=TINY.max_sites)
    policy, groups = new_policy(), np.repeat([2, 62, 225], 10)
    rollout = collect(policy, policy, FewAtoms(), space_groups=groups, constraints=asked, seed=1)
    assert (rollout.tokens.element == 11).any(axis=1).all()
    assert set(np.unique(rollout.tokens.element)) <= {0, 8, 11, 17}
    again = policy.log_prob(rollout.tokens, constraints=asked).total
    assert torch.allclose(rollout.log_prob, again.detach().double(), atol=1e-4)
    assert not rollout.log_ratio_to_base.any()


def test_constraints_are_checked_for_all_prompts_first(
    new_policy: NewPolicy, new_loop: NewLoop
) -> None:
    settings = SETTINGS.model_copy(update={"constraints": CONSTRAINTS})
    history, _ = train(new_policy(), new_policy(), new_loop(), settings=settings)
    assert history[0]["kl"] == 0
    impossible = settings.model_copy(update={"constraints": ConstraintSettings(max_atoms=1)})
    with pytest.raises(ValueError, match="space group 62 has at least 4 atoms"):
        train(new_policy(), new_policy(), new_loop(name="impossible"), settings=impossible)


def test_unique_fraction_counts_formula_and_group() -> None:
    salt = Cell(np.eye(3) * 5, np.array([11, 17]), np.array([[0, 0, 0], [0.5, 0.5, 0.5]]))
    tokens = CrystalTokens(
        space_group=np.array([225, 221, 221, 221]),
        wyckoff=np.ones((4, 1)),
        element=np.ones((4, 1)),
        position=np.zeros((4, 1, 3)),
        lattice=np.ones((4, 6)),
    )
    nothing = RewardBatch(np.zeros(4), np.ones(4, dtype=bool), np.zeros(4, dtype=bool), {})
    rollout = Rollout(tokens, [salt, salt, salt, None], *torch.zeros(3, 4), nothing)
    assert rollout.unique_fraction() == 0.5
    assert rollout.labels() == ["Cl1Na1 (225)", "Cl1Na1 (221)", "Cl1Na1 (221)", None]
