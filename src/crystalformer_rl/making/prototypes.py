"""Candidate crystals from data in pymatgen: known prototypes, and likely substitutions in them.

The AFLOW prototype library (Mehl et al., Comput. Mater. Sci. 136, S1, 2017) contains 288 real
compounds. New elements are sampled with the data-mined substitution probabilities of Hautier et al.
(Inorg. Chem. 50, 656, 2011) between ions of the same charge, and the cell is scaled with the
data-mined bond lengths of Chu et al. (Comput. Mater. Sci. 146, 184, 2018).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from pymatgen.analysis.structure_prediction.substitution_probability import SubstitutionProbability
from pymatgen.analysis.structure_prediction.volume_predictor import (
    DLSVolumePredictor,
    RLSVolumePredictor,
)
from pymatgen.core import Element, Structure

from crystalformer_rl.seeds import derive_seed

RADIOACTIVE_ALLOWED = frozenset({"Th", "U"})
DIMERS = frozenset({"H", "N", "O", "F", "Cl", "Br", "I"})
NOBLE_GASES = ("He", "Ne", "Ar", "Kr", "Xe")
# Together with elements(), the 89 elements that have an entry in the Materials Project.
RARE_ELEMENTS = (*NOBLE_GASES, "Tc", "Pm", "Ac", "Pa", "Np", "Pu")
LARGEST_PROTOTYPE = 20


@dataclass(frozen=True)
class Candidate:
    """A crystal to be relaxed.

    ``prototype`` is the AFLOW label of the parent and ``parent`` its reduced formula.
    ``identifier`` is unique and does not depend on the number of other candidates.
    """

    identifier: str
    prototype: str
    parent: str
    structure: Structure


def elements() -> tuple[str, ...]:
    """Symbols allowed in substitutions: no noble gases, and of the radioactive ones Th and U."""
    symbols = (Element.from_Z(z) for z in range(1, 93))
    return tuple(
        e.symbol
        for e in symbols
        if not e.is_noble_gas and (not e.is_radioactive or e.symbol in RADIOACTIVE_ALLOWED)
    )


def prototypes(max_atoms: int) -> list[tuple[str, Structure]]:
    """(label, primitive structure) of the ordered prototypes with at most ``max_atoms`` atoms.

    A number makes the labels unique; deuterium is replaced by hydrogen.
    """
    found: list[tuple[str, Structure]] = []
    seen: dict[str, int] = {}
    # Loading the library takes seconds, and `embed --help` and `configure` do not need it.
    from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY  # noqa: PLC0415

    for entry in AFLOW_PROTOTYPE_LIBRARY:
        structure = entry["snl"].structure
        symbols = ["H" if s.specie.symbol == "D" else s.specie.symbol for s in structure]
        primitive = Structure(
            structure.lattice, symbols, structure.frac_coords
        ).get_primitive_structure()
        label = entry["tags"]["aflow"]
        seen[label] = seen.get(label, 0) + 1
        if len(primitive) <= max_atoms:
            found.append((f"{label}-{seen[label]}", primitive))
    return found


def compounds(*, seed: int, max_atoms: int, effort: int) -> Iterator[Candidate]:
    """Every prototype of a compound, each followed by about ``effort / atoms`` substitutions."""
    for label, parent in prototypes(max_atoms):
        if parent.n_elems < 2:
            continue
        rng = np.random.default_rng(derive_seed(seed, "compounds", label))
        allowed = set(elements())
        if {e.symbol for e in parent.elements} <= allowed:
            yield Candidate(f"{label}-0", label, parent.composition.reduced_formula, parent)
        wanted = max(2, effort // len(parent))
        for number, chosen in enumerate(_substitutions(parent, wanted, rng), start=1):
            yield Candidate(
                f"{label}-{number}", label, parent.composition.reduced_formula,
                _substitute(parent, chosen),
            )  # fmt: skip


def pure_elements(*, max_atoms: int) -> Iterator[Candidate]:
    """Every element in every elemental prototype: the references of the formation energies.

    Prototypes of more than two atoms are combined with their own element and the non-metals only,
    because metals do not form them. Diatomic molecules in a small box are added.
    """
    metals = {s for s in elements() if Element(s).is_metal}
    for label, parent in prototypes(max_atoms):
        if parent.n_elems != 1:
            continue
        for symbol in elements():
            own = parent.elements[0].symbol
            if len(parent) <= 2 or symbol == own or symbol not in metals:
                chosen = {own: symbol}
                yield Candidate(
                    f"{label}-{symbol}", label, parent.composition.reduced_formula,
                    _substitute(parent, chosen),
                )  # fmt: skip
    for symbol in sorted(DIMERS):
        length = 2.4 * float(Element(symbol).atomic_radius or 0.7)
        box = Structure(
            np.eye(3) * 4.2, [symbol] * 2, [[0, 0, 0], [0, 0, length]], coords_are_cartesian=True
        )
        yield Candidate(f"dimer-{symbol}", "dimer", f"{symbol}2", box)


def rare_elements(*, max_atoms: int) -> Iterator[Candidate]:
    """The elements that substitutions exclude: references only, without compounds.

    Each is combined with the elemental prototypes of at most ``max_atoms`` atoms and with its own.
    """
    for label, parent in prototypes(LARGEST_PROTOTYPE):
        if parent.n_elems != 1:
            continue
        own = parent.elements[0].symbol
        for symbol in RARE_ELEMENTS:
            if len(parent) <= max_atoms or symbol == own:
                structure = (
                    _touching(parent, symbol)
                    if symbol in NOBLE_GASES
                    else _substitute(parent, {own: symbol})
                )
                yield Candidate(
                    f"{label}-{symbol}", label, parent.composition.reduced_formula, structure
                )


def _touching(parent: Structure, symbol: str) -> Structure:
    """Scale the cell so that nearest neighbours are two van der Waals radii apart."""
    child = parent.copy()
    child.replace_species({parent.elements[0].symbol: symbol})
    reach = 1.1 * max(child.lattice.abc)
    shortest = min(n.nn_distance for n in child.get_neighbors(child[0], reach))
    child.scale_lattice(
        child.volume * (2 * float(Element(symbol).van_der_waals_radius) / shortest) ** 3
    )
    return child


def _substitutions(
    parent: Structure, wanted: int, rng: np.random.Generator
) -> list[dict[str, str]]:
    """Sample distinct maps of the parent's elements to others."""
    olds = sorted(e.symbol for e in parent.elements)
    names = elements()
    weights = [_weights(old) for old in olds]
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for _ in range(20 * wanted):
        sampled = tuple(names[rng.choice(len(names), p=w)] for w in weights)
        if len(set(sampled)) == len(olds) and sampled != tuple(olds):
            found.setdefault(sampled, dict(zip(olds, sampled, strict=True)))
        if len(found) == wanted:
            break
    return list(found.values())


@cache
def _probability() -> SubstitutionProbability:
    return SubstitutionProbability()


@cache
def _weights(old: str) -> NDArray[np.float64]:
    """(n,) probability of each allowed element as a substitute of ``old``.

    The most probable pair of ions of the same charge counts. The square root flattens the
    distribution, so that rarer substitutions are sampled too. An element that is not in the data is
    not substituted.
    """
    table = _probability()
    ions = {name: [s for s in table.species if s.symbol == name] for name in (*elements(), old)}
    scores = [
        max(
            (
                float(np.sqrt(table.prob(a, b)))
                for a in ions[old]
                for b in ions[new]
                if a.oxi_state == b.oxi_state
            ),
            default=float(new == old),
        )
        for new in elements()
    ]
    total = np.array(scores)
    return np.asarray(total / total.sum()) if total.sum() else np.full(len(total), 1 / len(total))


@cache
def _volume_predictor() -> DLSVolumePredictor:
    return DLSVolumePredictor()


def _substitute(parent: Structure, chosen: dict[str, str]) -> Structure:
    """Substitute elements and scale the cell by bond lengths, or else by atomic radii."""
    child = parent.copy()
    child.replace_species(chosen)
    try:
        volume = _volume_predictor().predict(child)
    except (ValueError, KeyError):
        volume = RLSVolumePredictor(check_isostructural=False, radii_type="atomic").predict(
            child, parent
        )
    per_atom = float(np.clip(volume / len(child), 4.0, 120.0))
    child.scale_lattice(per_atom * len(child))
    return child
