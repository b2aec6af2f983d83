"""Figures of training: losses of the likelihood stages, and the rounds of reinforcement."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from crystalformer_rl.config.rewards import REWARDS
from crystalformer_rl.report.style import FAINT, INK, PALETTE, Canvas, canvas, policy_colours
from crystalformer_rl.report.tables import numbers

_LABELS = {
    "reward_mean": "mean reward",
    "kl": "KL to base (nats/crystal)",
    "unique_fraction": "unique in the batch",
    "valid_fraction": "rewarded, not failed",
    "ratio_max": "largest ratio p/p_old",
    "grad_norm": "gradient norm",
    **{
        f"{name}_mean": component.label
        for reward in REWARDS.values()
        for name, component in reward.components.items()
    },
}
_FRACTIONS = frozenset({"unique_fraction", "valid_fraction"})
_NOT_DRAWN = frozenset({"step", "round", "reward_std", "baseline", "seconds"})
_PRETRAINING = frozenset({"base", "pretrain"})
_OVERVIEW = ("e_above_hull_mean", "kl", "unique_fraction")
_SMOOTH_FROM = 60  # steps; fewer are drawn as they are
_WINDOW = 10


def losses(histories: Mapping[str, pd.DataFrame]) -> Canvas:
    """Training and validation loss per epoch, nats per crystal; epoch 0 is the start of the stage.

    The dashed line is the validation loss before the first step: of random weights for the
    pretraining, of the policy it starts from for a fine-tuning.
    """
    columns = max(1, len(histories))
    with canvas(columns=columns, height=2.9) as drawing:
        for axis, (name, history) in zip(drawing.axes, histories.items(), strict=False):
            epoch = numbers(history, "epoch")
            start = numbers(history, "val_loss")[:1]
            for column, colour, label in (
                ("train_loss", PALETTE[0], "training (with dropout)"),
                ("val_loss", PALETTE[1], "validation"),
            ):
                values = numbers(history, column)
                known = np.isfinite(values)
                if known.any():
                    axis.plot(epoch[known], values[known], color=colour, label=label)
            if start.size and np.isfinite(start[0]):
                axis.axhline(start[0], color=INK, lw=0.9, ls=(0, (4, 2)), label="before training")
            axis.set_title("base (pretraining)" if name in _PRETRAINING else name)
            axis.set_xlabel("epoch")
            axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
            axis.grid(axis="y")
            if axis.get_legend_handles_labels()[0]:
                axis.legend(loc="best")
        drawing.axes[0].set_ylabel("−log-likelihood (nats/crystal)")
    return drawing


def overview(branches: Mapping[str, pd.DataFrame], policies: Sequence[str]) -> Canvas:
    """Mean E_hull, KL and uniqueness against step, all branches together; dots start a round."""
    colours = policy_colours([*policies, *(name for name in branches if name not in policies)])
    with canvas(columns=3, height=2.7) as drawing:
        for axis, column in zip(drawing.axes, _OVERVIEW, strict=True):
            for name, history in branches.items():
                _curve(axis, history, column, colour=colours[name], label=name)
            _dress(axis, column)
        handles, labels = drawing.axes[1].get_legend_handles_labels()
        if handles:
            drawing.axes[1].legend(handles, labels, loc="best")
    return drawing


def details(history: pd.DataFrame, colour: str) -> Canvas:
    """Every other recorded quantity of one branch against step, such as each reward part's mean."""
    drawn = [
        name
        for name in history.columns
        if name not in _NOT_DRAWN | set(_OVERVIEW) and np.isfinite(numbers(history, name)).any()
    ]
    columns = max(1, len(drawn)) if len(drawn) <= 4 else 3
    rows = max(1, -(-len(drawn) // columns))
    with canvas(rows=rows, columns=columns, height=2.05 * rows) as drawing:
        for axis, column in zip(drawing.axes, drawn, strict=False):
            _curve(axis, history, column, colour=colour, label=column)
            if column == "reward_mean":
                _curve(axis, history, "baseline", colour=FAINT, label="baseline")
            _dress(axis, column)
        for axis in drawing.axes[len(drawn) :]:
            axis.set_visible(False)
    return drawing


def branch_history(rounds: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The rounds of a branch as one table by global step; of a step told twice, the last counts."""
    filled = [table for table in rounds if len(table)]
    if not filled:
        return pd.DataFrame({"step": [], "round": []})
    joined = pd.concat(filled, ignore_index=True)
    return joined.drop_duplicates("step", keep="last").sort_values("step", ignore_index=True)


def _curve(axis: Axes, history: pd.DataFrame, column: str, *, colour: str, label: str) -> None:
    step, values = numbers(history, "step"), numbers(history, column)
    known = np.isfinite(values) & np.isfinite(step)
    if not known.any():
        return
    step, values = step[known], values[known]
    if len(values) >= _SMOOTH_FROM:
        axis.plot(step, values, color=colour, lw=0.7, alpha=0.35)
        smooth = pd.Series(values).rolling(_WINDOW, min_periods=1).mean().to_numpy()
        axis.plot(step, smooth, color=colour, label=label)
    else:
        smooth = values
        axis.plot(step, values, color=colour, marker=".", ms=3, lw=1.3, label=label)
    rounds = numbers(history, "round")[known]
    starts = np.flatnonzero(np.diff(rounds, prepend=rounds[:1]) > 0)
    axis.plot(step[starts], smooth[starts], "o", ms=6, mfc="none", color=colour, mew=1.2)


def _dress(axis: Axes, column: str) -> None:
    axis.set_title(_LABELS.get(column, column), fontsize=8.5)
    axis.set_xlabel("PPO step")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axis.grid(axis="y")
    if column in _FRACTIONS:
        axis.set_ylim(0, 1.03)
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
