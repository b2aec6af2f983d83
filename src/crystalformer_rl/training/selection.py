"""Selection of the base policy's relaxed samples for supervised fine-tuning."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from pymatgen.core import Structure

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
    structure
        The relaxed structure, None where there is none.
    energy
        eV/atom of the relaxed structure, None where there is none.
    """

    id: str
    status: str
    structure: Structure | None
    energy: float | None


@dataclass(frozen=True)
class Selection:
    """The kept samples as tokens, their ids, and the number that passed each filter."""

    tokens: CrystalTokens
    ids: list[str]
    counts: dict[str, int]


def select(
    samples: Sequence[Relaxed],
    *,
    hull: ReferenceHull,
    max_e_above_hull: float,
    symprec: float,
    max_sites: int,
    processes: int = 1,
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

    Raises
    ------
    ValueError
        If none is kept; the message has the number that passed each filter.
    """
    counts = {"samples": len(samples)}
    converged = [
        (sample, sample.structure, sample.energy)
        for sample in samples
        if sample.status == "converged"
        and sample.structure is not None
        and sample.energy is not None
    ]
    counts["converged"] = len(converged)
    placement = hull.place(
        [structure for _, structure, _ in converged], [energy for _, _, energy in converged]
    )
    counts["e_above_hull_known"] = placement.status.count("ok")
    # A comparison with NaN is False.
    low = [
        (sample, structure)
        for (sample, structure, _), is_low in zip(
            converged, placement.e_above_hull <= max_e_above_hull, strict=True
        )
        if is_low
    ]
    counts["below_max_e_above_hull"] = len(low)
    tokens, rows, rejected = tokenize_many(
        [structure for _, structure in low],
        symprec=symprec,
        max_sites=max_sites,
        processes=processes,
    )
    counts["tokenized"] = len(rows)
    text = ", ".join(f"{name} {count}" for name, count in counts.items())
    log.info("samples kept for fine-tuning: %s", text)
    for row, rejection in rejected:
        log.info("%s not tokenized: %s (%s)", low[row][0].id, rejection.reason, rejection.detail)
    if len(rows) == 0:
        raise ValueError(
            f"no sample is left to fine-tune on ({text}): raise sft.max_e_above_hull "
            f"({max_e_above_hull} eV/atom), sft.samples or relax.max_steps, or pretrain longer"
        )
    return Selection(tokens, [low[row][0].id for row in rows], counts)
