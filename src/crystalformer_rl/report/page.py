"""The page: everything about a run in one HTML file that needs nothing beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from string import Template

import pandas as pd

from crystalformer_rl.config import Config
from crystalformer_rl.report import appendix, figures, gallery, histories, notes, results, tables
from crystalformer_rl.report import judge as opinions
from crystalformer_rl.report.appendix import Record
from crystalformer_rl.report.markup import Section, escape
from crystalformer_rl.report.style import policy_colours
from crystalformer_rl.report.tables import Summary

GROUPS = 14  # as many as the paper's figure of S.U.N. per space group


@dataclass(frozen=True)
class Report:
    """What the report stage writes.

    Attributes
    ----------
    html
        The page; figures, style and script are inside it.
    figures
        The figures as stand-alone SVG texts, by name.
    tables
        The numbers behind the figures and tables, by name.
    """

    html: str
    figures: dict[str, str] = field(default_factory=dict)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)


def build(
    table: pd.DataFrame,
    summary: Summary,
    *,
    config: Config,
    histories_of: Mapping[str, Sequence[pd.DataFrame]],
    provenance: Mapping[str, Record],
) -> Report:
    """Make the page of a run. The same arguments give the same bytes.

    Parameters
    ----------
    table
        One row per generated structure, as the evaluate stage writes it. Columns may be missing
        and values null: what depends on them is then shown as absent.
    summary
        What :func:`crystalformer_rl.evaluation.sun.summarise` says of the same table: every share
        and mean on the page, with its interval, is taken from it.
    config
        The settings of the run; printed whole, and read for the notes.
    histories_of
        History tables by name: of the likelihood stages one each, of an RL branch (``rl-…``) one
        per round, in any order.
    provenance
        Records of the jobs by label, such as ``relax/base/shard-0000``.

    Raises
    ------
    ValueError
        If the table lacks one of the columns ``id``, ``policy``, ``space_group``, or has other
        policies than the summary.
    """
    if absent := [name for name in ("id", "policy", "space_group") if name not in table]:
        raise ValueError(f"the table of structures lacks {absent}; it has {list(table.columns)}")
    counted = {name for name, entry in summary["policies"].items() if entry["generated"]}
    if set(table["policy"]) != counted:
        raise ValueError(
            f"the table has the policies {sorted(set(table['policy']))}, "
            f"the summary {sorted(counted)}: they are not of one evaluation"
        )
    # JSON sorts its keys; colours and columns follow the order of the evaluation.
    order = list(dict.fromkeys([*table["policy"], *tables.policies_of(summary)]))
    summary = {**summary, "policies": {name: summary["policies"][name] for name in order}}
    branches = {
        name: histories.branch_history(rounds)
        for name, rounds in histories_of.items()
        if name.startswith("rl-") and any(len(part) for part in rounds)
    }
    losses = {
        name: parts[-1]
        for name, parts in histories_of.items()
        if not name.startswith("rl-") and parts and len(parts[-1])
    }
    drawn = _draw(table, summary, config=config, losses=losses, branches=branches)
    best, pictures = gallery.gallery(table, count=config.report.best)
    ledger, jobs = tables.failures(table), appendix.jobs_table(provenance)
    sections = [
        _summary(summary, config=config, losses=losses),
        results.policies(summary, drawn),
        results.diversity(summary, config.evaluate),
        results.energies(drawn, threshold=config.evaluate.stable_below),
        appendix.reinforcement(drawn, list(branches)),
        appendix.training(drawn),
        results.space_groups(drawn, groups=GROUPS),
        results.properties(drawn),
        best,
        gallery.listing(table),
        appendix.failures(ledger),
        appendix.reading(config),
        appendix.provenance(jobs, provenance, config),
    ]
    written = {
        "policies": tables.policy_table(summary),
        "diversity": tables.diversity_table(summary),
        "funnel": tables.funnel_table(_funnels(table)),
        "space_groups": tables.group_table(summary),
        "failures": ledger,
        "jobs": jobs,
        **{f"history-{name}": history for name, history in (losses | branches).items()},
    }
    return Report(html=_render(sections, config), figures=drawn | pictures, tables=written)


def _draw(
    table: pd.DataFrame,
    summary: Summary,
    *,
    config: Config,
    losses: Mapping[str, pd.DataFrame],
    branches: Mapping[str, pd.DataFrame],
) -> dict[str, str]:
    policies = tables.policies_of(summary)
    threshold = config.evaluate.stable_below
    means = {
        name: {
            "as generated": tables.mean(summary, name, "e_above_hull_initial"),
            "after relaxation": tables.mean(summary, name, "e_above_hull"),
        }
        for name in policies
    }
    drawings = {
        "funnel": figures.funnel(_funnels(table)),
        "ehull-histograms": figures.ehull_histograms(table, policies, threshold=threshold),
        "ehull-means": figures.ehull_means(means, threshold=threshold),
        "sun-by-group": figures.sun_by_group(tables.sun_by_group(summary, groups=GROUPS)),
        "gap-dielectric": figures.gap_dielectric(table, policies),
    }
    if losses:
        drawings["losses"] = histories.losses(losses)
    if branches:
        drawings["rl-overview"] = histories.overview(branches, policies)
        colours = policy_colours([*policies, *(name for name in branches if name not in policies)])
        for name, history in branches.items():
            drawings[f"details-{name}"] = histories.details(history, colours[name])
    return {name: drawing.svg() for name, drawing in drawings.items()}


def _funnels(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    return {name: tables.funnel(rows) for name, rows in tables.by_policy(table).items()}


def _summary(summary: Summary, *, config: Config, losses: Mapping[str, pd.DataFrame]) -> Section:
    body = (
        results.tiles(summary)
        + notes.statement(summary, config)
        + "".join(notes.warnings(summary, config))
        + opinions.second_opinion(summary, config)
        + opinions.comparison(summary, config)
        + "<h3>What this run shows</h3>"
        + notes.findings(summary, losses=losses, config=config)
    )
    return Section("summary", "In short", body)


def _render(sections: Sequence[Section], config: Config) -> str:
    contents = "\n".join(
        f'<li><a href="#{part.anchor}">{escape(part.heading)}</a></li>' for part in sections
    )
    branches = ", ".join(f"rl-{name}" for name in config.rl) or "no reinforcement"
    return Template(_read("template.html")).substitute(
        title=escape(config.report.title),
        subtitle=f"Run {escape(config.run)} · base, sft, {escape(branches)} · what each policy "
        "generates, and what becomes of it",
        style=_read("style.css"),
        contents=contents,
        body="\n".join(part.html() for part in sections),
    )


def _read(name: str) -> str:
    return resources.files("crystalformer_rl.report").joinpath(name).read_text(encoding="utf-8")
