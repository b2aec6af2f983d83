"""Uniqueness and novelty by both sets of tolerances, and the number of distinct kinds."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from markupsafe import Markup

from crystalformer_rl.config.judging import Tolerances
from crystalformer_rl.report import markup
from crystalformer_rl.report.markup import Section, number, percent
from crystalformer_rl.report.run import Run

FLAGS = ("unique", "unique_strict", "novel", "novel_strict", "sun", "sun_strict")
KINDS = ("formulas", "chemical_systems", "elements", "space_groups", "prototypes")


def section(run: Run) -> Section:
    """The table of both tolerances and the table of kinds."""
    dots = {name: markup.dot(run.colours[name], name) for name in run.policies}
    usual, strict = run.config.evaluate, run.config.evaluate.strict
    matching = markup.table(
        ["policy", *(markup.heading(name) for name in FLAGS)],
        [
            [dot, *(markup.share(run.share(policy, name)) for name in FLAGS)]
            for policy, dot in dots.items()
        ],
        caption="The same structures compared twice with pymatgen's StructureMatcher: with the "
        f"tolerances of the run ({_tolerances(usual)}), which the rest of the page uses, and with "
        f"strict ones ({_tolerances(strict)}). Stricter tolerances distinguish more structures, so "
        "more of them count as unique and as novel. Where the columns differ much, the result "
        "depends on the tolerances.",
    )
    kinds = markup.table(
        ["policy", *(kind.replace("_", " ") for kind in KINDS)],
        [
            [dot, *(_cell(run.policies[policy]["diversity"][kind]) for kind in KINDS)]
            for policy, dot in dots.items()
        ],
        caption="Distinct kinds among the decoded structures. Effective: exp(entropy), the number "
        "of equally frequent kinds that would be as diverse. Below it: how many kinds of the "
        "training set occur, with the share expected of the same number of structures drawn from "
        "the training set in brackets. Counts grow with the number of structures: compare policies "
        "of equal size. A prototype is the space group with the Wyckoff letters of the sites, as "
        "generated.",
    )
    tables = {"diversity": diversity_table(run.policies)}
    return Section("diversity", "Matching and diversity", matching + kinds, tables=tables)


def diversity_table(policies: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Distinct kinds, their effective number and their coverage, per policy, for a CSV."""
    rows = [
        {
            "policy": policy,
            "kind": kind,
            "crystals": entry["diversity"]["crystals"],
            **{name: entry["diversity"][kind][name] for name in ("distinct", "effective")},
            **(entry["diversity"][kind]["coverage"] or {}),
        }
        for policy, entry in policies.items()
        for kind in KINDS
    ]
    columns = ["policy", "kind", "crystals", "distinct", "effective"]
    return pd.DataFrame(rows, columns=[*columns, "covered", "of", "fraction", "expected"])


def _tolerances(e: Tolerances) -> str:
    return (
        f"ltol {e.length_tolerance:g}, stol {e.site_tolerance:g}, angle_tol {e.angle_tolerance:g}°"
    )


def _cell(kinds: Mapping[str, Any]) -> Markup:
    """Distinct kinds, and beneath them their effective number and coverage."""
    cell = Markup("<b>{}</b><small>effective {}</small>").format(
        kinds["distinct"], number(kinds["effective"], 1)
    )
    coverage = kinds["coverage"]
    if coverage is None or not coverage["of"]:
        return cell
    share, expected = (percent(coverage[name]) for name in ("fraction", "expected"))
    return cell + Markup("<small>{}/{} = {} [{}]</small>").format(
        coverage["covered"], coverage["of"], share, expected
    )
