"""Losses of the likelihood stages."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from crystalformer_rl.report import markup
from crystalformer_rl.report.markup import Section
from crystalformer_rl.report.run import Run
from crystalformer_rl.report.style import INK, PALETTE, Canvas, canvas
from crystalformer_rl.report.values import numbers

PRETRAINING = frozenset({"base", "pretrain"})


def section(run: Run) -> Section | None:
    """Loss curves, if there was a training."""
    if not run.losses:
        return None
    drawing = draw(run.losses)
    body = markup.picture(
        "losses",
        drawing,
        label="Training and validation loss against epoch",
        caption="Negative log-likelihood per crystal given its space group: letters, elements, "
        "free coordinates and free lattice parameters together, in nats. It contains densities and "
        "can be negative. The dashed line is the validation loss before the first step: of the "
        "untrained network for pretraining.",
    )
    tables = {f"history-{name}": history for name, history in run.losses.items()}
    return Section("training", "Training losses", body, figures={"losses": drawing}, tables=tables)


def draw(histories: Mapping[str, pd.DataFrame]) -> Canvas:
    """Training and validation loss per epoch, nats per crystal; epoch 0 is the start of the stage.

    The dashed line is the validation loss before the first step: of random weights for
    pretraining, of the initial policy for fine-tuning.
    """
    with canvas(columns=max(1, len(histories)), height=2.9) as drawing:
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
            axis.set_title("base (pretraining)" if name in PRETRAINING else name)
            axis.set_xlabel("epoch")
            axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
            axis.grid(axis="y")
            if axis.get_legend_handles_labels()[0]:
                axis.legend(loc="best")
        drawing.axes[0].set_ylabel("−log-likelihood (nats/crystal)")
    return drawing
