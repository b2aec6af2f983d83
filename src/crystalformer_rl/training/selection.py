"""Selection of a policy's relaxed samples for supervised fine-tuning."""

import logging
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.crystal.tokenizer import tokenize_many
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.stability.reference import ReferenceHull

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Relaxed:
    """A sample after relaxation.

    Attributes
    ----------
    id
        Its name in the sample shards.
    status
        ``converged``, or why the relaxation failed.
    cell
        The relaxed crystal, None where there is none.
    energy
        eV/atom of the relaxed crystal, None where there is none.
    """

    id: str
    status: str
    cell: Cell | None
    energy: float | None


@dataclass(frozen=True)
class Selection:
    """The kept samples as tokens, their ids, and the number that passed each filter."""

    tokens: CrystalTokens
    ids: list[str]
    counts: dict[str, int]

    @property
    def fractions(self) -> dict[str, float]:
        """Of all samples: those close enough to the hull, and those that were kept."""
        total = self.counts["samples"]
        return {
            "low_fraction": self.counts["below_max_e_above_hull"] / total,
            "kept_fraction": len(self.ids) / total,
        }


def select(
    samples: Sequence[Relaxed],
    *,
    hull: ReferenceHull,
    max_e_above_hull: float,
    symprec: float,
    max_sites: int,
    known: AbstractSet[str] = frozenset(),
    unique: bool = False,
    section: str = "sft",
) -> Selection:
    """Keep the samples that relaxed, are close enough to the hull and can be tokenized.

    Parameters
    ----------
    max_e_above_hull
        eV/atom; the published filter is 0.1 (arXiv 2504.02367).
    symprec
        Å, for the symmetry of the relaxed structures.
    max_sites
        Symmetry-inequivalent sites that the model can hold.
    known
        Reduced formulas that are left out.
    unique
        Keep only the lowest in energy above hull of each reduced formula and space group.
    section
        Section of the configuration that the error message names.

    Raises
    ------
    ValueError
        If none is kept; the message has the number that passed each filter.
    """
    counts = {"samples": len(samples)}
    converged = [
        (sample.id, sample.cell, sample.energy)
        for sample in samples
        if sample.status == "converged" and sample.cell is not None and sample.energy is not None
    ]
    counts["converged"] = len(converged)
    placement = hull.place([cell for _, cell, _ in converged], [energy for *_, energy in converged])
    counts["e_above_hull_known"] = placement.status.count("ok")
    # A comparison with NaN is False.
    low = [
        (name, cell, float(above))
        for (name, cell, _), above in zip(converged, placement.e_above_hull, strict=True)
        if above <= max_e_above_hull
    ]
    counts["below_max_e_above_hull"] = len(low)
    if known:
        low = [row for row in low if row[1].composition.reduced_formula not in known]
        counts["novel"] = len(low)
    tokens, rows, rejected = tokenize_many(
        [cell for _, cell, _ in low], symprec=symprec, max_sites=max_sites
    )
    counts["tokenized"] = len(rows)
    kept = [low[row] for row in rows]
    if unique:
        kinds = [
            (cell.composition.reduced_formula, int(group))
            for (_, cell, _), group in zip(kept, tokens.space_group, strict=True)
        ]
        best = _lowest_of_each(kinds, [above for _, _, above in kept])
        tokens, kept = tokens[best], [kept[row] for row in best]
        counts["unique"] = len(kept)
    text = ", ".join(f"{name} {count}" for name, count in counts.items())
    log.info("samples kept for fine-tuning: %s", text)
    for row, rejection in rejected:
        log.info("%s not tokenized: %s (%s)", low[row][0], rejection.reason, rejection.detail)
    if not kept:
        raise ValueError(
            f"no sample is left to fine-tune on ({text}): raise {section}.max_e_above_hull "
            f"({max_e_above_hull} eV/atom), {section}.samples or relax.max_steps, or pretrain "
            "longer"
        )
    return Selection(tokens, [name for name, _, _ in kept], counts)


def _lowest_of_each(kinds: Sequence[tuple[str, int]], values: Sequence[float]) -> NDArray[np.int64]:
    """Rows with the lowest value of their kind, in order; of equal values the first."""
    best: dict[tuple[str, int], int] = {}
    for row, kind in enumerate(kinds):
        if kind not in best or values[row] < values[best[kind]]:
            best[kind] = row
    return np.array(sorted(best.values()), dtype=np.int64)
