"""The likeliest oxidation states of a composition, from statistics of known compounds.

An assignment gives each atom one of the oxidation states of its element so that the compound is
neutral. The likeliest assignment is the one whose states occur most often in the ICSD. The states,
their counts and the ranking of equals are pymatgen's, and the result is the first guess of its
``Composition.oxi_state_guesses``. pymatgen lists every combination; here sums are added up.
"""

from functools import cache

from pymatgen.core import Composition, Element

# pymatgen's correction schemes do not guess the states of larger formulas.
MAX_ATOMS = 20


def likeliest_states(composition: Composition) -> dict[str, float]:
    """Average oxidation state of each element in the likeliest neutral assignment.

    Parameters
    ----------
    composition
        At least two elements, without oxidation states.

    Returns
    -------
    dict
        By symbol; empty if there is no neutral assignment, if amounts are not whole numbers, or
        if the reduced formula has more than ``MAX_ATOMS`` atoms.
    """
    reduced = composition.reduced_composition
    amounts = {element.symbol: amount for element, amount in reduced.items()}
    if reduced.num_atoms > MAX_ATOMS or any(int(n) != n for n in amounts.values()):
        return {}
    # For each sum so far: the best score of the previous elements, and their indices in the order
    # of enumeration. Among equals the first one wins.
    best: dict[int, tuple[int, tuple[int, ...]]] = {0: (0, ())}
    choices = [_sums(symbol, int(amount)) for symbol, amount in amounts.items()]
    for options in choices:
        found: dict[int, tuple[int, tuple[int, ...]]] = {}
        for before, (score, places) in best.items():
            for place, (charge, gain) in enumerate(options):
                entry = (score + gain, (*places, place))
                known = found.get(before + charge)
                if known is None or (-entry[0], entry[1]) < (-known[0], known[1]):
                    found[before + charge] = entry
        best = found
    if 0 not in best:
        return {}
    places = best[0][1]
    return {
        symbol: options[place][0] / amount
        for (symbol, amount), options, place in zip(amounts.items(), choices, places, strict=True)
    }


@cache
def _sums(symbol: str, count: int) -> tuple[tuple[int, int], ...]:
    """(total charge, best score) of ``count`` atoms, in the order of the combinations.

    Combinations are those of ``itertools.combinations_with_replacement``: lexicographic.
    """
    element = Element(symbol)
    states = element.icsd_oxidation_states or element.common_oxidation_states
    counts = _occurrences()
    scores = {0: 0}
    for _ in range(count):
        longer: dict[int, int] = {}
        for charge, score in scores.items():
            for state in states:
                total, gain = charge + state, score + counts.get((symbol, state), 0)
                longer[total] = max(gain, longer.get(total, gain))
        scores = longer
    first = _first_combinations(tuple(states), count)
    return tuple((charge, scores[charge]) for charge in sorted(scores, key=first.__getitem__))


def _first_combinations(states: tuple[int, ...], count: int) -> dict[int, tuple[int, ...]]:
    """By sum, the first combination of ``count`` states that has it, as indices."""
    # Row m: combinations of m states that start at the current index or later.
    rows: list[dict[int, tuple[int, ...]]] = [{0: ()}, *({} for _ in range(count))]
    for index in reversed(range(len(states))):
        for size in range(1, count + 1):
            with_it = {states[index] + s: (index, *c) for s, c in rows[size - 1].items()}
            rows[size] = {**rows[size], **with_it}
    return rows[count]


@cache
def _occurrences() -> dict[tuple[str, int], int]:
    """How often an element has an oxidation state in the ICSD, as pymatgen counts."""
    # pymatgen reads its table on the first guess.
    Composition("NaCl").oxi_state_guesses()
    return {(s.symbol, int(s.oxi_state)): n for s, n in Composition.oxi_prob.items()}
