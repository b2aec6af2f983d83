"""The sections about single structures: pictures of the best, and the table of many."""

from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
from pymatgen.core import Element, Structure

from crystalformer_rl.crystal.structures import COLUMNS, structures_of
from crystalformer_rl.report import crystals, markup, tables
from crystalformer_rl.report.markup import EHULL, MISSING, Section, escape, formula, number
from crystalformer_rl.report.style import inline

LISTED = 300


def gallery(table: pd.DataFrame, *, count: int) -> tuple[Section, dict[str, str]]:
    """Pictures of the ``count`` best structures of either kind, and the pictures by name.

    S.U.N. structures far below the hull are set aside: they would head the list, and most are
    errors of the potential.
    """
    deep = tables.numbers(table, "e_above_hull") < tables.ARTEFACT_BELOW
    aside = int((deep & tables.flag(table, "sun")).sum())
    sun = tables.best(table[~deep], by="e_above_hull", among="sun", count=count, descending=False)
    merit = tables.best(table, by="figure_of_merit", among="stable", count=count, descending=True)
    sun_cards, sun_pictures = _cards("best-sun", sun)
    merit_cards, merit_pictures = _cards("best-merit", merit)
    limit = number(tables.ARTEFACT_BELOW, 1)
    body = (
        f"<h3>Lowest {EHULL} among S.U.N. structures</h3>{sun_cards}"
        f"<p>{aside} S.U.N. structures below {limit} eV/atom are set aside as likely artefacts.</p>"
        f"<h3>Highest figure of merit among stable structures</h3>{merit_cards}"
        "<figcaption>Conventional cell of the relaxed structure; sphere size and colour tell the "
        "element, sticks join atoms nearer than 1.15 × the sum of their covalent radii unless both "
        "are metals. The space group is the one that was asked for. One card per formula and "
        "space group.</figcaption>"
    )
    return Section("best", "The best structures", body), sun_pictures | merit_pictures


def _cards(prefix: str, rows: pd.DataFrame) -> tuple[str, dict[str, str]]:
    pictures, cards = {}, []
    pairs = zip(_records(rows), _structures(rows), strict=True)
    for place, (row, structure) in enumerate(pairs, start=1):
        key = f"{prefix}-{place}"
        if structure is not None:
            label = f"Crystal structure of {row['formula']}"
            pictures[key] = crystals.draw(crystals.conventional(structure), label=label)
        cards.append(_card(key, row, structure, pictures.get(key)))
    if not cards:
        return "<p>There is none.</p>", pictures
    return f'<div class="gallery">{"".join(cards)}</div>', pictures


def listing(table: pd.DataFrame) -> Section:
    """The sortable table of structures: S.U.N. first, then stable, then by energy."""
    energy = tables.numbers(table, "e_above_hull")
    sun, stable = tables.flag(table, "sun"), tables.flag(table, "stable")
    order = np.lexsort((np.where(np.isfinite(energy), energy, np.inf), ~stable, ~sun))[:LISTED]
    headings = [
        "structure", "formula", "space group", "atoms", f"{EHULL} generated", f"{EHULL} relaxed",
        "S U N", "gap (eV)", "ε", "merit (eV)", "matches",
    ]  # fmt: skip
    rows = [_row(record) for record in _records(table.iloc[order])]
    body = markup.table(
        headings, rows, kind="sortable",
        caption=f"{len(rows)} of {len(table)} structures, S.U.N. first, then stable, then by "
        "energy (eV/atom). Click a heading to sort. The whole table is "
        "structures.parquet of the evaluation.",
    )  # fmt: skip
    return Section("structures", "Structures", body)


def _card(key: str, row: dict[str, Any], structure: Structure | None, svg: str | None) -> str:
    picture = inline(svg, key) if svg else "<p>No picture.</p>"
    elements, download = "", ""
    if structure is not None:
        listed = sorted(structure.composition.elements, key=lambda element: element.X or 0.0)
        elements = "".join(
            f"<span>{markup.dot(crystals.colour(Element(e.symbol).Z))}{e.symbol}</span>"
            for e in listed
        )
        cif = quote(str(structure.to(fmt="cif")))
        name = escape(f"{row['id']}.cif")
        download = f'<a class="download" download="{name}" href="data:text/plain,{cif}">CIF</a>'
    energy = _float(row, "e_above_hull")
    deep = (
        '<p class="flag">So far below the hull: likely an artefact.</p>'
        if energy < tables.ARTEFACT_BELOW
        else ""
    )
    facts = {
        "space group": _group(row),
        EHULL: f"{number(energy)} eV/atom",
        "band gap": _spread(row, "band_gap", "eV"),
        "ε": _spread(row, "dielectric", ""),
        "merit": f"{number(_float(row, 'figure_of_merit'), 1)} eV",
        "matches": escape(row["matched_id"]) if _known(row, "matched_id") else "nothing known",
        "found by": escape(row["found_by"]),
        "id": f"{escape(row['id'])} {download}",
    }
    listed_facts = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts.items())
    return (
        f'<figure class="card">{picture}<h4>{formula(str(row["formula"]))}</h4>'
        f'<p class="elements">{elements}</p><dl>{listed_facts}</dl>{deep}</figure>'
    )


def _row(row: dict[str, Any]) -> list[str]:
    flags = "".join(
        letter if _known(row, name) and bool(row[name]) else "·"
        for letter, name in (("S", "stable"), ("U", "unique"), ("N", "novel"))
    )
    return [
        escape(row["id"]),
        formula(str(row["formula"])) if _known(row, "formula") else MISSING,
        _group(row),
        number(_float(row, "num_atoms"), 0),
        number(_float(row, "e_above_hull_initial")),
        number(_float(row, "e_above_hull")),
        flags,
        number(_float(row, "band_gap"), 2),
        number(_float(row, "dielectric"), 2),
        number(_float(row, "figure_of_merit"), 2),
        escape(row["matched_id"]) if _known(row, "matched_id") else MISSING,
    ]


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in record.items()} for record in table.to_dict("records")]


def _structures(table: pd.DataFrame) -> list[Structure | None]:
    for prefix in ("relaxed_", ""):
        if all(prefix + name in table for name in COLUMNS):
            return structures_of(table, prefix=prefix)
    return [None] * len(table)


def _known(row: dict[str, Any], name: str) -> bool:
    return name in row and bool(pd.notna(row[name]))


def _float(row: dict[str, Any], name: str) -> float:
    value = row.get(name)
    return float(value) if isinstance(value, int | float | np.number) else float("nan")


def _spread(row: dict[str, Any], name: str, unit: str) -> str:
    return (
        f"{number(_float(row, name), 2)} ± {number(_float(row, f'{name}_std'), 2)} {unit}".strip()
    )


def _group(row: dict[str, Any]) -> str:
    value = _float(row, "space_group")
    return escape(tables.group_label(int(value))) if np.isfinite(value) else MISSING
