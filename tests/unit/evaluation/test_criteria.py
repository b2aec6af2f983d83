"""From shards to columns: who is stable, unique and novel, and who failed where."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.crystals import cubic_crystal

from crystalformer_rl.crystal.structures import structure_columns
from crystalformer_rl.evaluation import criteria
from crystalformer_rl.evaluation.generated import Generated, merge
from crystalformer_rl.evaluation.matching import ReferenceIndex, matcher_of
from crystalformer_rl.potentials.base import Evaluation, Failure
from crystalformer_rl.properties.ensemble import load_ensemble
from crystalformer_rl.stability.hull import Hull
from crystalformer_rl.stability.reference import Elements, ReferenceHull

HULL = ReferenceHull(
    Hull(["NaCl"], [-2.0], elements=["Na", "Cl", "Mg"]),
    Elements("chgnet", "mp2020_corrected", {"Na": -1.0, "Cl": -2.0, "Mg": -1.5}),
)
TOLERANCES = {"length_tolerance": 0.2, "site_tolerance": 0.3, "angle_tolerance": 5.0}
MATCHER = matcher_of(**TOLERANCES)


SALT = cubic_crystal("Fm-3m", "Na", "Cl", 5.6)
CESIUM = cubic_crystal("Pm-3m", "Na", "Cl", 3.5)
ALLOY = cubic_crystal("Pm-3m", "Na", "Mg", 3.9)


def shards(rows: list[dict[str, Any]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows: before, after (structures), status, energies; the policy is ``base`` if not given."""
    ids = [f"x-{i}" for i in range(len(rows))]
    policies = [row.get("policy", "base") for row in rows]
    samples = pd.DataFrame(
        {
            "policy": policies,
            "id": ids,
            "space_group": 1,
            "wyckoff": [[1]] * len(rows),
            "log_prob": -1.0,
            "decode_error": ["no volume" if row["before"] is None else None for row in rows],
            **structure_columns([row["before"] for row in rows]),
        }
    )
    relaxed = pd.DataFrame(
        {
            "policy": policies,
            "id": ids,
            "potential": "chgnet",
            "status": [row.get("status", "converged") for row in rows],
            "error": [row.get("error") for row in rows],
            "energy_initial": [row.get("initial") for row in rows],
            "energy_final": [row.get("final") for row in rows],
            **structure_columns([row.get("after") for row in rows], prefix="relaxed_"),
        }
    )
    return samples, relaxed


def joined(rows: list[dict[str, Any]]) -> Generated:
    return Generated.of(merge(*shards(rows)))


def test_energies_above_hull_before_and_after() -> None:
    generated = joined(
        [
            {"before": SALT, "after": SALT, "initial": -3.3, "final": -3.45},
            {"before": SALT, "after": SALT, "status": "not_converged", "initial": -3, "final": -3},
            {"before": SALT, "after": SALT, "status": "diverged", "initial": -3.5, "final": -9.0},
            {"before": None, "status": "unphysical"},
        ]
    )
    columns = criteria.stability_columns(generated, hull=HULL, stable_below=0.1)
    np.testing.assert_allclose(columns["e_above_hull_initial"], [0.2, 0.5, 0.0, np.nan])
    np.testing.assert_allclose(columns["e_above_hull"], [0.05, 0.5, np.nan, np.nan])
    assert columns["stable"].tolist() == [True, False, False, False]
    assert columns["stable_initial"].tolist() == [False, False, True, False]
    assert columns["relaxed"].tolist() == [True, False, False, False]
    assert columns["hull_status"] == ["ok", "ok", "no_energy", "no_energy"]
    assert columns["hull_references"].tolist() == [3, 3, 0, 0]
    assert columns["hull_compounds"].tolist() == [1, 1, 0, 0]


def test_supported_takes_a_known_compound_and_an_energy_that_is_not_too_deep() -> None:
    # Formation energies: elements alone, on the hull, at and below the bound, of an element.
    crystals = [ALLOY, SALT, SALT, SALT, cubic_crystal("Im-3m", "Na", "Na")]
    energies = [-1.25, -3.5, -3.6 + 1e-9, -3.7, -1.0]
    rows = [
        {"before": one, "after": one, "initial": energy, "final": energy}
        for one, energy in zip(crystals, energies, strict=True)
    ]
    columns = criteria.stability_columns(
        joined([*rows, {"before": None, "status": "unphysical"}]),
        hull=HULL, stable_below=0.1,
    )  # fmt: skip
    assert columns["stable"].tolist() == [True] * 5 + [False]
    assert columns["supported"].tolist() == [False, True, True, False, False, False]


def test_missing_references_are_reported() -> None:
    potassium = cubic_crystal("Fm-3m", "K", "Cl", 6.3)
    generated = joined([{"before": potassium, "after": potassium, "initial": -3, "final": -3}])
    columns = criteria.stability_columns(generated, hull=HULL, stable_below=0.1)
    assert columns["hull_status"] == ["no_element_reference"]
    assert not columns["stable"][0]


def test_novelty_is_that_of_the_relaxed_crystal_else_of_the_generated_one() -> None:
    generated = joined(
        [
            {"before": CESIUM, "after": SALT},
            {"before": CESIUM, "after": SALT, "status": "diverged"},
            {"before": ALLOY},
            {"before": None},
        ]
    )
    known = ReferenceIndex([SALT], ["mp-22862"])
    columns = criteria.novelty_columns(generated, known=known, matcher=MATCHER)
    assert columns["matched_id"] == ["mp-22862", None, None, None]
    assert columns["novel"].tolist() == [False, True, True, False]
    assert columns["matching_problem"] == [None] * 4


def test_what_cannot_be_compared_with_a_known_crystal_is_not_novel() -> None:
    flat = SALT.copy().apply_strain([0.0, 0.0, 30.0])
    known = ReferenceIndex([SALT], ["mp-22862"])
    columns = criteria.novelty_columns(joined([{"before": flat}]), known=known, matcher=MATCHER)
    assert columns["novel"].tolist() == [False]
    assert columns["matching_problem"][0].startswith("flat cell")


def test_properties_of_failures_are_unknown() -> None:
    models = {"band_gap": load_ensemble("band_gap"), "dielectric": load_ensemble("dielectric")}
    features = np.array(models["band_gap"].arrays["centre"], dtype=np.float64)
    answers = [Evaluation(0.0, features=features), Failure("error", "why"), None]
    columns = criteria.property_columns(answers, models)
    for name, values in columns.items():
        assert np.isfinite(values).tolist() == [True, False, False], name
    assert columns["figure_of_merit"][0] == columns["band_gap"][0] * columns["dielectric"][0]


def test_the_first_failure_is_named() -> None:
    generated = joined(
        [
            {"before": None, "status": "unphysical", "error": "no structure"},
            {"before": SALT, "status": "diverged", "error": "exploded"},
            {"before": SALT, "status": "unphysical"},
            *[{"before": SALT, "after": SALT}] * 4,
        ]
    )
    reasons = criteria.failures(
        generated,
        hull_status=["no_energy"] * 3 + ["no_element_reference", "ok", "ok", "ok"],
        matching_problems=[None] * 4 + ["flat", None, None],
        property_problems=[None] * 5 + ["error: why", None],
    )
    assert reasons == [
        "decode: no volume",
        "relax: diverged: exploded",
        "relax: unphysical",
        "hull: no_element_reference",
        "match: flat",
        "properties: error: why",
        None,
    ]
    stages = dict.fromkeys(reason.split(":")[0] for reason in reasons if reason)
    assert list(stages) == list(criteria.FAILURE_STAGES)


def test_validity_columns_have_a_row_each() -> None:
    columns = criteria.validity_columns([SALT, None])
    assert columns["formula"] == ["NaCl", None]
    assert columns["decoded"].tolist() == [True, False]
    assert columns["valid"].tolist() == [True, False]
    assert criteria.validity_columns([])["valid"].dtype == bool
    assert columns["num_atoms"].tolist()[0] == 2


def test_shards_that_do_not_belong_together_are_refused() -> None:
    samples, relaxed = shards([{"before": SALT}, {"before": SALT}])
    with pytest.raises(ValueError, match=r"1 crystals are not in both .*\('base', 'x-1'\)"):
        merge(samples, relaxed.iloc[:1])
    with pytest.raises(ValueError, match="id 'x-0' occurs twice in the relaxation shards"):
        merge(samples, pd.concat([relaxed, relaxed.iloc[:1]]))
    with pytest.raises(ValueError, match="4 crystals are not in both"):
        merge(samples, relaxed.assign(policy="sft"))
    with pytest.raises(ValueError, match=r"sample shards have no columns \['log_prob'\]"):
        merge(samples.drop(columns="log_prob"), relaxed)
