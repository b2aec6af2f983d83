"""The summary: the verdict, warnings, the method, and the findings of the run."""

import numpy as np
import pandas as pd
from markupsafe import Markup

from crystalformer_rl.config import Config, RLSettings
from crystalformer_rl.config.potentials import title
from crystalformer_rl.config.reward_base import RewardSettings
from crystalformer_rl.evaluation.columns import BY_NAME
from crystalformer_rl.report import markup
from crystalformer_rl.report.markup import EHULL, Section, number
from crystalformer_rl.report.run import Run
from crystalformer_rl.report.sections import differences, verdict
from crystalformer_rl.report.values import numbers
from crystalformer_rl.report.warnings import warnings

HULLS = {
    "dataset": "the {potential} energies of the dataset's structures and of the elements",
    "csv": "formation energies read from {files}",
    "entries": "entries read from {files}",
    "alexandria": "Alexandria's entries, read from {files}",
}


def section(run: Run) -> Section:
    """The verdict and the first warning on one screen; then how, and what else the run shows."""
    figures = {"verdict": verdict.draw(run)}
    picture = markup.picture(
        "verdict",
        figures["verdict"],
        label="Supported S.U.N. and stable structures per policy with intervals",
        caption=Markup(
            "Of all sampled structures (right: of those that the judge evaluated), with 95\u202f% "
            "intervals. {}S.U.N., supported: {}."
        ).format(
            "Grey band: the interval of the base policy. "
            if differences.BASE in run.policies
            else "",
            markup.prose(BY_NAME["sun_supported"].meaning),
        ),
    )
    body = (
        verdict.table(run) + markup.piece("warnings", warnings(run)) + picture
        + Markup("<h3>How it was done</h3>") + statement(run)
    )  # fmt: skip
    if shown := findings(run):
        body += Markup("<h3>What this run shows</h3>") + shown
    tables = {"verdict": verdict.records(run), "differences": differences.difference_table(run)}
    return Section("summary", "In short", body, figures=figures, tables=tables)


def statement(run: Run) -> Markup:
    """Two paragraphs: the potentials, the rewards, the hull, and the denominators."""
    config = run.config
    counts = ", ".join(f"{name} {entry['generated']}" for name, entry in run.policies.items())
    hull = Markup(HULLS[config.hull.reference]).format(
        potential=title(config.hull.potential),
        files=Markup("<code>{}</code>").format(", ".join(config.hull.files)),
    )
    return Markup(
        "<p>Run <b>{run}</b>, seed {seed}. Every structure sampled from a policy ({counts}) was "
        "{done} <b>{potential}</b>, and its formation energy was compared with a convex hull "
        "of {hull}. {judge}{branches}. {external}A structure is called stable if its relaxed "
        "energy above hull ({ehull}) is below {threshold:g} eV/atom. All energies are those of a "
        "machine-learned potential, and band gap and dielectric constant are those of small "
        "regression models: no number on this page comes from a density-functional "
        "calculation.</p>"
        "<p>Fractions are of <em>all sampled structures</em>: one that could not be decoded, "
        "relaxed or evaluated counts as a failure and is listed under "
        "<a href='#failures'>Failures</a>. Brackets are 95\u202f% intervals, Wilson's for "
        "fractions and Student's for means. They describe the spread of sampling from "
        "<em>this</em> trained policy, not that of training again with another seed.</p>"
    ).format(
        run=config.run,
        seed=config.seed,
        counts=counts or "none",
        done="relaxed with" if config.relax.max_steps else "evaluated without relaxation by",
        potential=title(config.relax.potential),
        hull=hull,
        judge=_judge(config),
        branches=_branches(config),
        external=_external(config),
        ehull=EHULL,
        threshold=run.threshold,
    )


def findings(run: Run) -> Markup:
    """What training learned, and how the policies differ from the base policy."""
    learned = [line for name, h in run.losses.items() if (line := _learned(name, h))]
    items = Markup("").join(Markup("<li>{}</li>").format(line) for line in learned)
    lines = Markup("<ul class='findings'>{}</ul>").format(items) if learned else Markup("")
    return lines + differences.against_base(run)


def _judge(config: Config) -> Markup:
    if config.judge.potential is None:
        return Markup("")
    count = config.judge.count
    which = "the same structures" if count is None else f"the first {count} structures of each"
    done = f"relaxed {which} again" if config.judge.max_steps else f"evaluated {which}"
    return Markup(
        "<b>{}</b>, which rewarded no policy, {} and compared them with a hull of the same "
        "potential. "
    ).format(title(config.judge.potential), done)


def _branches(config: Config) -> Markup | str:
    taught = (
        Markup("<b>rl-{}</b> {}").format(name, _teaching(branch))
        for name, branch in config.rl.items()
    )
    return Markup("; ").join(taught) or "No policy was fine-tuned with RL"


def _external(config: Config) -> Markup:
    named = (
        Markup("<b>{}</b>, from <code>{}</code>").format(name, path)
        for name, path in config.external.items()
    )
    if not config.external:
        return Markup("")
    return Markup(
        "Structures of other generators were read as given; a row that cannot be read counts as a "
        "failure: {}. Their space group is that of the structure as given. "
    ).format(Markup("; ").join(named))


def _teaching(branch: RLSettings) -> Markup:
    if branch.sft is not None:
        return Markup(
            "was fine-tuned in {} rounds on its own relaxed samples of at most {:g} eV/atom above "
            "the hull"
        ).format(branch.rounds, branch.sft.max_e_above_hull)
    return Markup("was rewarded by {}").format(_reward(branch.reward))


def _reward(settings: RewardSettings) -> str:
    if parts := [_reward(one) for one in settings.singles.values() if one is not settings]:
        return f"{settings.subject}: {', '.join(parts)}"
    if settings.potential_used is not None:
        return f"{settings.subject} with {title(settings.potential_used)}"
    return settings.subject


def _learned(name: str, history: pd.DataFrame) -> Markup | None:
    values = numbers(history, "val_loss")
    known = values[np.isfinite(values)]
    if len(known) < 2:
        return None
    return Markup(
        "Training of <b>{}</b>: validation loss {} before, {} at best, {} at the end (nats per "
        "crystal)."
    ).format(name, *(number(loss, 2) for loss in (known[0], known.min(), known[-1])))
