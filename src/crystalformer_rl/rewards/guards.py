"""Guards that keep a policy from exploiting a reward. Their names: ``config/reward_base.py``."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalformer_rl.config.reward_base import HullReward
from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.crystal.validity import DENSITY_G_CM3, charge_problem
from crystalformer_rl.stability.hull import ARTEFACT_BELOW
from crystalformer_rl.stability.reference import Placement

Flags = NDArray[np.bool_]
FAILURE_QUANTILE = 0.05

# With these statuses a rule of the hull withholds the energy. The crystal is not at fault, so a
# reward abstains. ``no_element_reference`` is not among them: the run knows nothing of such an
# element, and if the reward abstained, a policy could drift there unnoticed.
UNDECIDED = ("sparse", "ytterbium")


@dataclass(frozen=True)
class Verdict:
    """The decisions of the guards on n crystals.

    Attributes
    ----------
    nothing
        (n,) whether the crystal gets no reward, as if it had failed.
    abstain
        (n,) where the reward cannot decide; never together with ``nothing``.
    struck
        (n,) for each guard that is on, whether it struck.
    """

    nothing: Flags
    abstain: Flags
    struck: dict[str, Flags]


def judge(settings: HullReward, cells: Sequence[Cell | None], placement: Placement) -> Verdict:
    """Apply the guards of ``settings``.

    A reward abstains where the status is one of :data:`UNDECIDED`, whatever the guards are: there
    is no number then. ``min_references`` is part of the guard ``unsupported``, and works without
    it. On a hull of elements alone, the energy above hull is a formation energy, and RL fine-tuning
    drifts to chemical systems without known compounds.

    Pure elements get nothing instead of abstention: under abstention their share rose from 1.3 to
    5.7 % in 100 steps on MP-20, and in a published run without a guard 502 of 939 "metastable,
    novel" crystals were pure elements (OMatGRPO, arXiv 2610.03880).
    """
    above = placement.e_above_hull
    known = np.isfinite(above)
    few = known & (placement.references < (settings.min_references or 0))
    found: dict[str, Flags] = {
        "unsupported": known & (placement.compounds == 0) | few,
        "element": _where(cells, lambda one: len(one.symbols) == 1),
        "artefact": known & (above < ARTEFACT_BELOW),
        "density": known & ~_where(cells, _has_density_of_a_crystal),
    }
    names = settings.active_guards
    if "charge" in names:
        found["charge"] = known & _where(
            cells, lambda one: charge_problem(one.composition) is not None
        )
    on: dict[str, Flags] = {name: flags for name, flags in found.items() if name in names}
    silent = on.pop("unsupported", few)
    if "artefact" in on:
        on["artefact"] &= ~silent
    nothing = np.any([*on.values(), np.zeros_like(known)], axis=0)
    silent &= ~nothing
    if "unsupported" in names:
        on["unsupported"] = silent
    abstain = silent | (np.isin(placement.status, UNDECIDED) & ~nothing)
    return Verdict(nothing, abstain, on)


def low_quantile(values: NDArray[np.float64], *, lowest: float) -> float:
    """The value of a failure under the guard ``failures``.

    Parameters
    ----------
    values
        Of the crystals of the batch that have a reward.
    lowest
        The value if there are none, and the least possible one.
    """
    return max(lowest, float(np.quantile(values, FAILURE_QUANTILE))) if values.size else lowest


def _where(cells: Sequence[Cell | None], condition: Callable[[Cell], bool]) -> Flags:
    return np.array([one is not None and condition(one) for one in cells], dtype=np.bool_)


def _has_density_of_a_crystal(cell: Cell) -> bool:
    low, high = DENSITY_G_CM3
    return low <= cell.density <= high
