"""The course of RL fine-tuning."""

import textwrap
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from crystalformer_rl.config.reward_base import E_ABOVE_HULL, GUARDS
from crystalformer_rl.report import markup
from crystalformer_rl.report.markup import Section
from crystalformer_rl.report.run import Run
from crystalformer_rl.report.style import FAINT, Canvas, Drawing, canvas, percent_axis
from crystalformer_rl.report.values import numbers

LABELS = {
    "reward_mean": "mean reward",
    "kl": "KL to base (nats/crystal)",
    "unique_fraction": "unique in the batch",
    "valid_fraction": "rewarded, not failed",
    "abstain_fraction": "the reward abstains",
    "e_above_hull_mean": E_ABOVE_HULL.label,
    "ratio_max": "largest ratio p/p_old",
    "grad_norm": "gradient norm",
    "kl_step": "KL of one step (nats/crystal)",
    "ppo_epochs": "gradient steps per batch",
    "tau": "τ of the KL penalty",
    "dpo_loss": "loss of the pairs",
    "pair_accuracy": "pairs already in order",
    "paired_fraction": "in a pair",
    "low_fraction": "low enough above the hull",
    "kept_fraction": "kept for fine-tuning",
    "repeat_fraction": "sampled before",
    "known_fraction": "of a formula of the dataset",
    "memory_weight": "mean weight of the memory",
    "distinct": "distinct so far",
    "elite_best": "best elite (reward)",
    "elite_mean": "mean of the elites (reward)",
    "train_loss": "loss of kept samples (nats/crystal)",
    **{f"{name}_fraction": guard.title for name, guard in GUARDS.items()},
}
FRACTIONS = frozenset({"pair_accuracy", *(name for name in LABELS if name.endswith("_fraction"))})
OVERVIEW = ("e_above_hull_mean", "kl", "unique_fraction")
NOT_DRAWN = frozenset({"step", "round", "epoch", "reward_std", "baseline", "seconds"})
TITLES = 81  # characters of the titles of the panels in a row
SMOOTH_FROM = 60  # steps; fewer are drawn as they are
WINDOW = 10
SMOOTHED = (
    f"Of {SMOOTH_FROM} steps or more, the thick line is the mean of the last {WINDOW}, the thin "
    "one each step."
)
REWARDED = "All other recorded quantities of {}. The grey line is the baseline."
SUPERVISED = (
    "Losses of the kept samples in {}, and the fractions of the round's samples that relaxed to an "
    "energy low enough above the hull and that were kept. A ring marks the first step of a round."
)


def section(run: Run) -> Section | None:
    """Energy, KL divergence and uniqueness of all branches, then the details of each, if any."""
    if not run.branches:
        return None
    figures: dict[str, Drawing] = {}
    body = Markup("")
    rewarded = {name: one for name, one in run.branches.items() if "kl" in one}
    if rewarded:
        figures["rl-overview"] = draw_overview(rewarded, run.colours)
        body += markup.picture(
            "rl-overview",
            figures["rl-overview"],
            label="Mean energy above hull, KL divergence and uniqueness against step",
            caption=Markup(
                "Per step, of the sampled batch: mean energy above hull of the crystals that could "
                "be scored (unrelaxed), KL divergence from the base policy (the mean of ln p − ln "
                "p<sub>base</sub>), and the fraction of the batch that is unique. "
                "{} A ring marks the first step of a round. Falling uniqueness means that the "
                "policy collapses, whatever the reward."
            ).format(SMOOTHED),
        )
    for branch, history in run.branches.items():
        name = f"details-{branch}"
        figures[name] = draw_details(history, run.colours[branch], _components(run, branch))
        body += markup.picture(
            name,
            figures[name],
            label=f"Details of {branch}",
            caption=REWARDED.format(branch) if branch in rewarded else SUPERVISED.format(branch),
        )
    tables = {f"history-{branch}": history for branch, history in run.branches.items()}
    return Section(
        "reinforcement", "Reinforcement learning curves", body, figures=figures, tables=tables
    )


def draw_overview(branches: Mapping[str, pd.DataFrame], colours: Mapping[str, str]) -> Canvas:
    """Mean E_hull, KL and uniqueness against step, all branches together."""
    with canvas(columns=3, height=2.7) as drawing:
        for axis, column in zip(drawing.axes, OVERVIEW, strict=True):
            for name, history in branches.items():
                _curve(axis, history, column, colour=colours[name], label=name)
            _dress(axis, column, _title(column))
        handles, labels = drawing.axes[1].get_legend_handles_labels()
        if handles:
            drawing.axes[1].legend(handles, labels, loc="best")
    return drawing


def draw_details(history: pd.DataFrame, colour: str, components: Mapping[str, str]) -> Canvas:
    """Every other recorded quantity of one branch against step, such as the reward's components."""
    drawn = [
        name
        for name in history.columns
        if name not in NOT_DRAWN | set(OVERVIEW) and np.isfinite(numbers(history, name)).any()
    ]
    columns = max(1, len(drawn)) if len(drawn) <= 4 else 3
    rows = max(1, -(-len(drawn) // columns))
    with canvas(rows=rows, columns=columns, height=2.05 * rows) as drawing:
        for axis, column in zip(drawing.axes, drawn, strict=False):
            title = _title(column, components)
            _curve(axis, history, column, colour=colour, label=title)
            if column == "reward_mean":
                _curve(axis, history, "baseline", colour=FAINT, label="baseline")
            _dress(axis, column, textwrap.fill(title, TITLES // columns))
        drawing.hide_after(len(drawn))
    return drawing


def smoothed(values: pd.Series) -> pd.Series:
    """The mean of the last :data:`WINDOW` values of each, if there are :data:`SMOOTH_FROM`."""
    if len(values) < SMOOTH_FROM:
        return values
    return values.rolling(WINDOW, min_periods=1).mean()


def _components(run: Run, branch: str) -> dict[str, str]:
    """Titles of the components that the reward of a branch records, by column."""
    settings = run.config.rl.get(branch.removeprefix("rl-"))
    components = {} if settings is None else settings.reward.components
    return {f"{name}_mean": component.label for name, component in components.items()}


def _curve(axis: Axes, history: pd.DataFrame, column: str, *, colour: str, label: str) -> None:
    step, values = numbers(history, "step"), numbers(history, column)
    known = np.isfinite(values) & np.isfinite(step)
    if not known.any():
        return
    step, values = step[known], values[known]
    if len(values) >= SMOOTH_FROM:
        axis.plot(step, values, color=colour, lw=0.7, alpha=0.35, label=f"_{label}, each step")
        smooth = smoothed(pd.Series(values)).to_numpy()
        axis.plot(step, smooth, color=colour, label=label)
    else:
        smooth = values
        axis.plot(step, values, color=colour, marker=".", ms=3, lw=1.3, label=label)
    rounds = numbers(history, "round")[known]
    starts = np.flatnonzero(np.diff(rounds, prepend=rounds[:1]) > 0)
    axis.plot(step[starts], smooth[starts], "o", ms=6, mfc="none", color=colour, mew=1.2)


def _title(column: str, components: Mapping[str, str] = MappingProxyType({})) -> str:
    return LABELS.get(column) or components.get(column, column)


def _dress(axis: Axes, column: str, title: str) -> None:
    axis.set_title(title, fontsize=8.5)
    axis.set_xlabel("step")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axis.grid(axis="y")
    if column in FRACTIONS:
        axis.set_ylim(0, 1.03)
        percent_axis(axis)
