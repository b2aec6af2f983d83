"""The known crystals that a shard is compared with."""

import pandas as pd
from helpers.crystals import cubic_crystal

from crystalformer_rl.crystal.structures import structure_columns
from crystalformer_rl.evaluation.evaluator import known_among
from crystalformer_rl.evaluation.matching import MatchingCell, matcher_of

MATCHER = matcher_of(length_tolerance=0.2, site_tolerance=0.3, angle_tolerance=5.0)
SALT = cubic_crystal("Fm-3m", "Na", "Cl", 5.6)
CESIUM = cubic_crystal("Pm-3m", "Na", "Cl", 3.5)
OXIDE = cubic_crystal("Fm-3m", "Mg", "O", 4.2)


def test_only_known_crystals_of_the_formulas_of_the_shard_are_compared() -> None:
    # The same elements in other amounts, and an id that is a number.
    other = cubic_crystal("Pm-3m", "Na", "Cl", 3.5)
    other.append("Cl", [0.5, 0, 0])
    crystals = [OXIDE, CESIUM, other, SALT]
    known = pd.DataFrame({"id": ["a", "b", "c", "1"], **structure_columns(crystals)})
    table = pd.DataFrame(structure_columns([SALT, None, cubic_crystal("Fm-3m", "K", "Cl", 6.3)]))
    index = known_among(known, table)
    assert index.match(SALT, MATCHER) == "1"
    assert index.match(CESIUM, MATCHER) == "b"
    assert index.match(OXIDE, MATCHER) is None
    assert index.match(other, MATCHER) is None
    assert index.problem(MatchingCell(OXIDE)) is None


def test_a_shard_without_crystals_needs_no_known_ones() -> None:
    known = pd.DataFrame({"id": ["a"], **structure_columns([SALT])})
    assert known_among(known, known.head(0)).match(SALT, MATCHER) is None
