"""What the page says in sentences: what the numbers are, what they show, what to beware of."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from crystalformer_rl.config import Config
from crystalformer_rl.config.potentials import title
from crystalformer_rl.config.rewards import HullReward, RewardSettings
from crystalformer_rl.report.markup import EHULL, MISSING, escape, note, number, percent, table
from crystalformer_rl.report.tables import (
    ARTEFACT_BELOW,
    Mean,
    Share,
    Summary,
    mean,
    numbers,
    policies_of,
    share,
)

FEW = 100
UNIQUE_AT_LEAST = 0.9
MANY_SHORT = 0.1  # fraction of the structures

_REFERENCES = {
    "dataset": "the {potential} energies of the dataset's own structures and of the elements",
    "csv": "formation energies read from <code>{files}</code>",
    "entries": "entries read from <code>{files}</code>",
    "alexandria": "Alexandria's entries, read from <code>{files}</code>",
}

_NO_PLACE = {
    "no_element_reference": "<b>Elements without a reference.</b> {count} structures hold an "
    "element that the hull does not know.",
    "sparse": "<b>Sparse systems.</b> {count} structures are of chemical systems with fewer known "
    "compositions than <code>hull.min_references</code>.",
    "ytterbium": "<b>Ytterbium.</b> {count} structures hold Yb, whose reference energies are wrong "
    "in the Materials Project (<code>hull.exclude_ytterbium</code>).",
}


def statement(summary: Summary, config: Config) -> str:
    """Two paragraphs: who rewarded, who judged, against which hull, how many, of how many."""
    branches = "; ".join(
        f"<b>rl-{escape(name)}</b> was rewarded by {_reward(branch.reward)}"
        for name, branch in config.rl.items()
    )
    counts = ", ".join(
        f"{escape(name)} {entry['generated']}" for name, entry in summary["policies"].items()
    )
    hull = _REFERENCES[config.hull.reference].format(
        potential=potential_name(config.hull.potential), files=escape(", ".join(config.hull.files))
    )
    return (
        f"<p>Run <b>{escape(config.run)}</b>, seed {config.seed}. Every structure sampled from a "
        f"policy ({counts or 'none'}) was relaxed with "
        f"<b>{potential_name(config.relax.potential)}</b> and its formation energy placed on a "
        f"convex hull of {hull}. {_second_judge(config)}"
        f"{branches or 'No policy was reinforced'}. A structure is called stable if its relaxed "
        f"energy above hull ({EHULL}) is below {config.evaluate.stable_below:g} eV/atom. All "
        "energies are those of a machine-learned potential, and band gap and dielectric constant "
        "those of small regression heads: no density-functional calculation stands behind any "
        "number on this page.</p>"
        "<p>Fractions are of <em>all sampled structures</em>: one that could not be decoded, "
        "relaxed or judged counts as a failure and is listed in the "
        "<a href='#failures'>ledger</a>. Brackets hold 95&#8239;% intervals, Wilson's for "
        "fractions and Student's for means; they tell the spread of sampling from <em>this</em> "
        "trained policy, not that of training it again with another seed.</p>"
    )


def warnings(summary: Summary, config: Config) -> list[str]:
    """Everything about this run that a reader must know before believing a number."""
    found = _judge_is_reward(config)
    policies = summary["policies"]
    if not policies:
        found.append("<b>No structures.</b> The table is empty.")
    few = {name: e["generated"] for name, e in policies.items() if e["generated"] < FEW}
    if few:
        found.append(
            f"<b>Few structures.</b> Fewer than {FEW} were sampled of a policy: {_listed(few)}. "
            "The intervals are wide, and small differences mean nothing."
        )
    if alone := _on_elements_alone(policies):
        found.append(
            "<b>Hulls of elements alone.</b> S.U.N. structures in whose chemical system the hull "
            f"knows the elements and no compound: {_listed(alone)}. For them <i>stable</i> means "
            f"no more than a formation energy below {config.evaluate.stable_below:g} eV/atom; into "
            "which compounds they might fall apart was not asked. <i>S.U.N., supported</i> leaves "
            "them out."
        )
    deep = {name: e["below_hull_artefacts"]["e_above_hull"] for name, e in policies.items()}
    if any(deep.values()):
        found.append(
            f"<b>Suspiciously deep energies.</b> Relaxed {EHULL} below {number(ARTEFACT_BELOW, 1)} "
            f"eV/atom: {_listed({name: count for name, count in deep.items() if count})}. So far "
            "below a hull, a gap in the reference or an error of the potential is likelier than a "
            "discovery."
        )
    short = {
        name: f"{count}/{e['generated']}" for name, e in policies.items()
        if (count := e["relax_status"].get("not_converged", 0)) > MANY_SHORT * e["generated"]
    }  # fmt: skip
    if short:
        found.append(
            f"<b>Relaxations cut short.</b> Out of steps: {_listed(short)}. Such a structure is "
            "judged as it stands, above its minimum: fewer count as stable than could be."
        )
    for status, body in _NO_PLACE.items():
        count = sum(entry["hull_status"].get(status, 0) for entry in policies.values())
        if count:
            found.append(f"{body.format(count=count)} No energy above hull: not stable.")
    unique = {name: share(summary, name, "unique") for name in policies}
    low = {n: f"{u.k}/{u.n}" for n, u in unique.items() if u.n and u.fraction < UNIQUE_AT_LEAST}
    if low:
        found.append(
            f"<b>Low uniqueness.</b> Unique structures: {_listed(low)}. Repeats and undecodable "
            "samples lower it; after reinforcement it may be a collapse: see the course of "
            "uniqueness over the steps."
        )
    return [note(body) for body in found]


def findings(summary: Summary, *, losses: Mapping[str, pd.DataFrame], config: Config) -> str:
    """What the run shows: what training learned, and which intervals part from the base's."""
    lines = [f"<li>{line}</li>" for name, h in losses.items() if (line := _learned(name, h))]
    learned = f"<ul class='findings'>{''.join(lines)}</ul>" if lines else ""
    policies = policies_of(summary)
    rows = (
        [row for name in policies if name != "base" for row in _against_base(name, summary, config)]
        if "base" in policies
        else []
    )
    if not rows:
        return learned + "<p>There is no second policy to compare the base with.</p>"
    return learned + table(
        ["policy", "quantity", "this policy", "base", "95 % intervals"],
        rows,
        kind="words",
        caption="Every policy against the base policy. Intervals that do not overlap are evidence "
        "of a difference; intervals that do are none, in either direction.",
    )


def apart(first: Mean | Share, second: Mean | Share) -> bool:
    """Whether two intervals do not overlap; False if either has no ends."""
    return bool(first.high < second.low or second.high < first.low)


def _on_elements_alone(policies: Mapping[str, Any]) -> dict[str, str]:
    """Of each policy that has any, the S.U.N. structures that no known compound speaks against."""
    return {
        name: f"{count} of {entry['fractions']['sun']['k']}"
        for name, entry in policies.items()
        if (count := entry["sun_on_elements_alone"])
    }


def _judge_is_reward(config: Config) -> list[str]:
    if config.judge.potential is not None:
        return []
    judge = config.relax.potential
    same = [
        f"rl-{name}"
        for name, branch in config.rl.items()
        if isinstance(branch.reward, HullReward) and branch.reward.potential == judge
    ]
    if not same:
        return []
    return [
        f"<b>The judge is the reward.</b> {potential_name(judge)} rewarded "
        f"{escape(' and '.join(same))}, and it relaxed and judged all structures here. What "
        "reinforcement gained may in part be the potential's errors, found and exploited. Treat "
        "the gain as an upper bound until another potential or density-functional theory has "
        "judged the structures."
    ]


def _second_judge(config: Config) -> str:
    if config.judge.potential is None:
        return ""
    return (
        f"<b>{potential_name(config.judge.potential)}</b>, which rewarded no policy, relaxed and "
        f"judged {_how_many(config)} again on a hull of its own energies. "
    )


def _how_many(config: Config) -> str:
    count = config.judge.count
    return "the same structures" if count is None else f"the first {count} structures of each"


def _listed(values: Mapping[str, object]) -> str:
    return ", ".join(f"{escape(name)} {escape(value)}" for name, value in values.items())


def potential_name(name: str) -> str:
    """How the page calls a potential."""
    return escape(title(name))


def _reward(settings: RewardSettings) -> str:
    text = escape(settings.title)
    if isinstance(settings, HullReward):
        text += f" with {potential_name(settings.potential)}"
    return text


def _learned(name: str, history: pd.DataFrame) -> str:
    values = numbers(history, "val_loss")
    known = values[np.isfinite(values)]
    if len(known) < 2:
        return ""
    return (
        f"Training of <b>{escape(name)}</b>: validation loss {number(known[0], 2)} before, "
        f"{number(known.min(), 2)} at best, {number(known[-1], 2)} at the end (nats per crystal)."
    )


def _against_base(name: str, summary: Summary, config: Config) -> list[list[str]]:
    measured = [("e_above_hull_initial", f"mean unrelaxed {EHULL} (eV/atom)")]
    branch = config.rl.get(name.removeprefix("rl-"))
    if branch is not None and (column := branch.reward.column) is not None:
        measured.append((column, branch.reward.components[column].label))
    rows = []
    for column, label in measured:
        own, other = mean(summary, name, column), mean(summary, "base", column)
        rows.append([label, _mean_text(own), _mean_text(other), _verdict(own, other)])
    flags = {
        "stable": "stable", "unique": "unique", "sun": "S.U.N.",
        "sun_supported": "S.U.N., supported",
    }  # fmt: skip
    for flag, label in flags.items():
        first, second = share(summary, name, flag), share(summary, "base", flag)
        rows.append([label, _share_text(first), _share_text(second), _verdict(first, second)])
    return [[escape(name) if place == 0 else "", *row] for place, row in enumerate(rows)]


def _mean_text(found: Mean) -> str:
    if found.n == 0:
        return MISSING
    return f"{number(found.value)} [{number(found.low)}, {number(found.high)}]"


def counted(found: Share) -> str:
    """``k/n = p % [low, high]``."""
    return f"{found.k}/{found.n} = {_share_text(found)}" if found.n else MISSING


def _share_text(found: Share) -> str:
    if not found.n:
        return MISSING
    return f"{percent(found.fraction)} [{100 * found.low:.1f}, {100 * found.high:.1f}]"


def _verdict(first: Mean | Share, second: Mean | Share) -> str:
    return "<strong>do not overlap</strong>" if apart(first, second) else "overlap"
