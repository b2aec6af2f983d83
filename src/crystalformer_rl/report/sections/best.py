"""Pictures of the best structures."""

from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
from markupsafe import Markup
from pymatgen.core import Element, Structure

from crystalformer_rl.crystal.structures import COLUMNS, structures_of
from crystalformer_rl.report import crystals, markup
from crystalformer_rl.report.geometry import conventional
from crystalformer_rl.report.markup import EHULL, Section, number
from crystalformer_rl.report.run import Run
from crystalformer_rl.report.sections.structures import cell
from crystalformer_rl.report.style import Drawing, inline
from crystalformer_rl.report.values import flag, numbers
from crystalformer_rl.stability.hull import ARTEFACT_BELOW


def section(run: Run) -> Section:
    """The S.U.N. structures of lowest energy, and the stable ones of highest figure of merit.

    S.U.N. structures far below the hull are left out: they would come first, and most are errors
    of the potential.
    """
    table, count = run.table, run.config.report.best
    deep = numbers(table, "e_above_hull") < ARTEFACT_BELOW
    sun = best(table[~deep], by="e_above_hull", among="sun", count=count, descending=False)
    merit = best(table, by="figure_of_merit", among="stable", count=count, descending=True)
    figures: dict[str, Drawing] = {}
    body = Markup(
        "<h3>Lowest {} among S.U.N. structures</h3>{}"
        "<p>{} S.U.N. structures below {} eV/atom are left out as likely artefacts.</p>"
        "<h3>Highest figure of merit among stable structures</h3>{}"
        "<figcaption>Conventional cell of the relaxed structure. Size and colour of a sphere show "
        "the element; sticks connect atoms nearer than 1.15 × the sum of their covalent radii, "
        "unless both are metals. The space group is the one that was requested. One card per "
        "formula and space group. Click a picture to turn the crystal.</figcaption>"
    ).format(
        EHULL,
        _gallery("best-sun", sun, figures),
        int((deep & flag(table, "sun")).sum()),
        number(ARTEFACT_BELOW, 1),
        _gallery("best-merit", merit, figures),
    )
    return Section("best", "The best structures", body, figures=figures)


def best(table: pd.DataFrame, *, by: str, among: str, count: int, descending: bool) -> pd.DataFrame:
    """The ``count`` best rows with the flag ``among``, by the column ``by``, ties by id.

    The same formula in the same space group found by several policies, or twice, is listed once;
    the column ``found_by`` names the policies.
    """
    known = np.isfinite(numbers(table, by)) & table["formula"].notna().to_numpy()
    chosen = table[flag(table, among) & known]
    order = np.argsort((-1 if descending else 1) * numbers(chosen, by), kind="stable")
    chosen = chosen.iloc[order]
    # Of another generator's crystals without symmetry, the space group is null.
    pairs = zip(chosen["formula"], chosen["space_group"], strict=True)
    kinds = pd.Series([f"{name} {group}" for name, group in pairs], index=chosen.index, dtype="str")
    policies = chosen.groupby(kinds)["policy"].unique()
    first = chosen[~kinds.duplicated()].head(count)
    return first.assign(found_by=[", ".join(policies[kind]) for kind in kinds[first.index]])


def _gallery(prefix: str, rows: pd.DataFrame, figures: dict[str, Drawing]) -> Markup:
    """The cards of the rows; their pictures are added to ``figures``."""
    cards = []
    pairs = zip(rows.to_dict("records"), _structures(rows), strict=True)
    for place, (row, structure) in enumerate(pairs, start=1):
        name = f"{prefix}-{place}"
        if structure is not None:
            label = f"Crystal structure of {row['formula']}"
            figures[name] = crystals.draw(conventional(structure), label=label)
        drawn = figures[name].svg() if name in figures else None
        cards.append(_card(row, structure, name, drawn))
    return markup.piece("gallery", cards)


def _structures(table: pd.DataFrame) -> list[Structure | None]:
    for prefix in ("relaxed_", ""):
        if all(prefix + name in table for name in COLUMNS):
            return structures_of(table, prefix=prefix)
    return [None] * len(table)


def _card(row: dict[Any, Any], structure: Structure | None, name: str, svg: str | None) -> Markup:
    elements, download = [], Markup("")
    if structure is not None:
        symbols = [
            element.symbol
            for element in sorted(structure.composition.elements, key=lambda e: e.X or 0.0)
        ]
        elements = [(markup.dot(crystals.colour(Element(s).Z)), s) for s in symbols]
        download = Markup(
            '<a class="download" download="{}.cif" href="data:text/plain,{}">CIF</a>'
        ).format(row["id"], quote(str(structure.to(fmt="cif"))))
    matched = row.get("matched_id")
    facts = {
        "space group": cell(row, "space_group"),
        EHULL: Markup("{} eV/atom").format(cell(row, "e_above_hull")),
        "band gap": Markup("{} ± {} eV").format(cell(row, "band_gap"), cell(row, "band_gap_std")),
        "ε": Markup("{} ± {}").format(cell(row, "dielectric"), cell(row, "dielectric_std")),
        "merit": Markup("{} eV").format(cell(row, "figure_of_merit")),
        "matches": cell(row, "matched_id") if pd.notna(matched) else "nothing known",
        "found by": row["found_by"],
        "id": Markup("{} {}").format(row["id"], download),
    }
    energy = row.get("e_above_hull")
    remark = (
        "So far below the hull: likely an artefact."
        if pd.notna(energy) and float(energy) < ARTEFACT_BELOW
        else ""
    )
    picture = Markup(inline(svg, name)) if svg else Markup("<p>No picture.</p>")
    structure_name = f"{row['policy']}/{row['id']}"
    return markup.piece(
        "card", picture, structure_name, cell(row, "formula"), elements, facts, remark
    )
