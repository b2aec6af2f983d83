"""How different the generated crystals are, by composition and symmetry."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log

from pymatgen.core import Composition

from crystalformer_rl.stability.elements import element_amounts


@dataclass(frozen=True)
class Diversity:
    """Distinct things among n crystals.

    Attributes
    ----------
    formulas, chemical_systems, space_groups
        How many distinct ones.
    effective_formulas
        exp(entropy) of the formulas: the number of equally frequent ones that would be as diverse.
    pure_elements
        Crystals of a single element, where a hull knows least and rewards are most often misled.
    """

    formulas: int
    chemical_systems: int
    space_groups: int
    effective_formulas: float
    pure_elements: int


def diversity(formulas: Sequence[str], space_groups: Sequence[int]) -> Diversity:
    """Diversity of crystals given by reduced formula and space group number."""
    systems = [frozenset(element_amounts(Composition(formula))) for formula in formulas]
    return Diversity(
        formulas=len(set(formulas)),
        chemical_systems=len(set(systems)),
        space_groups=len(set(space_groups)),
        effective_formulas=_effective_number(formulas),
        pure_elements=sum(len(system) == 1 for system in systems),
    )


def _effective_number(items: Sequence[str]) -> float:
    counts = Counter(items).values()
    total = sum(counts)
    return exp(-sum(n / total * log(n / total) for n in counts)) if total else 0.0
