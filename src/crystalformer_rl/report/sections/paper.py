"""Comparison with the paper: its published numbers, and which figure corresponds to which."""

import pandas as pd
from markupsafe import Markup

from crystalformer_rl.report import markup
from crystalformer_rl.report.markup import EHULL, Section, counted, prose
from crystalformer_rl.report.run import Run
from crystalformer_rl.report.style import INK, Canvas, canvas, label_rows, percent_axis

PAPER = Markup('<a href="https://arxiv.org/abs/2504.02367">arXiv:2504.02367</a>')
FIGURES = (
    (
        "Energy above hull",
        Markup("histogram of {} of the base and the fine-tuned policy").format(EHULL),
        "energies are of Orb-v2 on the Alexandria hull; the base policy has 4.8 million "
        "parameters and was trained on Alex-20",
    ),
    (
        "Reinforcement learning curves",
        Markup("mean {} and KL against step").format(EHULL),
        "100 to 200 steps of 1000 crystals each",
    ),
    (
        "S.U.N. by space group",
        "S.U.N. per space group",
        "its 14 groups are 1, 2, 6, 15, 38, 71, 119, 131, 143, 159, 187, 194, 204 and 216",
    ),
    (
        "Band gap and dielectric constant",
        "band gap against dielectric constant with lines of equal figure of merit",
        "trained and shown in space group 225 only; stability was filtered afterwards",
    ),
)
BASE, SFT, RL = "base", "sft", "rl"
PUBLISHED = (
    (BASE, "stable_initial", "E_hull below 0.1 eV/atom, as generated", 0.447),
    (BASE, "stable", "E_hull below 0.1 eV/atom, relaxed", 0.578),
    (RL, "stable_initial", "E_hull below 0.1 eV/atom, as generated", 0.734),
    (BASE, "sun", "S.U.N.", 0.153),
    (SFT, "sun", "S.U.N.", 0.183),
    (RL, "sun", "S.U.N.", 0.216),
)
"""Policy, our quantity, what the paper calls it, and its value: Cao & Wang, arXiv 2504.02367."""


def section(run: Run) -> Section | None:
    """Published numbers compared with ours, and the table of the paper's figures.

    None without a policy of a kind that the paper has.
    """
    found = comparison(run)
    if found.empty:
        return None
    drawing = draw(found, run)
    numbers = markup.picture(
        "paper",
        drawing,
        label="Fractions of this run with intervals, and the published ones",
        caption=Markup(
            "This run (dots, 95\u202f% intervals) and Cao &amp; Wang, {} (diamonds). RL: a policy "
            "that was rewarded by {}. Theirs: Alex-20, Orb-v2, the hull of Alexandria, 1000 "
            "samples, S.U.N. weighted over space groups. The order of the policies can be "
            "compared; the values only where potential, hull, data and model are the same."
        ).format(PAPER, EHULL),
    ) + markup.table(
        ["policy", "quantity", "this run", "published"],
        [
            [
                row["policy"], prose(row["quantity"]),
                counted(run.share(row["policy"], row["column"])), markup.percent(row["published"]),
            ]
            for row in found.to_dict("records")
        ],
        kind="words",
    )  # fmt: skip
    figures = markup.table(
        ["this page", "figure of the paper", "differences there"],
        FIGURES,
        kind="words",
        caption=Markup(
            "The section that corresponds to each figure of Cao &amp; Wang, {}. The shapes can be "
            "compared; the values only where potential, hull, data and model are the same."
        ).format(PAPER),
    )
    return Section(
        "paper", "Comparison with the paper", numbers + figures, figures={"paper": drawing},
        tables={"paper": found},
    )  # fmt: skip


def comparison(run: Run) -> pd.DataFrame:
    """The published fractions with those of this run, for every policy of the same kind."""
    by_energy = [
        f"rl-{name}"
        for name, branch in run.config.rewarded.items()
        if any(one.kind == "ehull" for one in branch.reward.singles.values())
    ]
    ours = {BASE: [BASE], SFT: [SFT], RL: by_energy}
    rows = []
    for kind, column, quantity, published in PUBLISHED:
        for policy in ours[kind]:
            if policy in run.policies:
                share = run.share(policy, column)
                rows.append(
                    [policy, column, quantity, share.fraction, share.low, share.high, published]
                )
    columns = ["policy", "column", "quantity", "fraction", "low", "high", "published"]
    return pd.DataFrame(rows, columns=columns)


def draw(found: pd.DataFrame, run: Run) -> Canvas:
    """A row per quantity and policy: ours with its interval, and the published value."""
    with canvas(height=0.9 + 0.3 * max(1, len(found))) as drawing:
        axis = drawing.axes[0]
        for place, row in enumerate(found.to_dict("records")):
            colour = run.colours[row["policy"]]
            axis.plot([row["low"], row["high"]], [place, place], color=colour, lw=2.2)
            axis.plot(row["fraction"], place, "o", color=colour, ms=6, clip_on=False)
            axis.plot(row["published"], place, "D", mfc="none", mec=INK, ms=6)
        labels = [f"{row.policy}: {row.quantity}" for row in found.itertuples()]
        axis.set_yticks(
            range(len(found)), [text.replace("E_hull", "$E_{hull}$") for text in labels]
        )
        axis.set_ylim(max(1, len(found)) - 0.5, -0.5)
        label_rows(axis)
        axis.set_xlim(0, 1)
        percent_axis(axis, along="x")
        axis.grid(axis="x")
    return drawing
