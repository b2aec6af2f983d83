"""Training of property models on made-up features: accuracy, reproducibility and calibration."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from crystalformer_rl.making.errors import (
    band_gap_errors,
    dielectric_errors,
    errors,
    figure_of_merit_errors,
)
from crystalformer_rl.making.fitting import calibrate, fit
from crystalformer_rl.properties.band_gap import BandGap
from crystalformer_rl.properties.base import Prediction
from crystalformer_rl.properties.dielectric import Dielectric

Floats = NDArray[np.float64]


def made_up(rows: int, seed: int) -> tuple[Floats, Floats, Floats]:
    """Features, gaps (two in five are metals) and dielectric constants."""
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(rows, 6)) * 0.01 + 3
    direction = (features[:, 0] - 3) / 0.01
    gap = np.maximum(0, 2 * direction + 0.5 + 0.1 * generator.normal(size=rows))
    constant = 1 + np.exp(1.5 - 0.5 * direction + 0.1 * generator.normal(size=rows))
    return features, gap, constant


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_band_gap_models_learn_and_are_calibrated() -> None:
    features, gap, _ = made_up(400, 0)
    ensemble = calibrate(fit(BandGap(), features, gap, seed=1), *made_up(200, 1)[:2])
    unseen, truth, _ = made_up(300, 2)
    found = band_gap_errors(ensemble.predict(unseen), truth)
    assert found["mae"] < 0.25 * found["mae_of_median"]
    assert found["metal_accuracy"] > 0.85
    assert 0.5 < found["coverage_with_gap"] < 0.85


def test_dielectric_models_beat_the_gap_law() -> None:
    features, gap, constant = made_up(400, 0)
    ensemble = fit(Dielectric(), features, constant, seed=1)
    unseen, true_gap, truth = made_up(300, 2)
    known = (np.maximum(gap, 0.1), constant)
    found = dielectric_errors(
        ensemble.predict(unseen), truth, band_gap=np.maximum(true_gap, 0.1), known=known
    )
    assert found["mae_log"] < 0.5 * found["mae_log_of_gap_law"]
    assert found["spearman"] > 0.9


def test_calibration_covers_the_share_of_one_standard_deviation() -> None:
    features, _, constant = made_up(300, 0)
    raw = fit(Dielectric(), features, constant, seed=1)
    unseen, _, truth = made_up(300, 1)
    ensemble = calibrate(raw, unseen, truth)
    assert errors(ensemble.predict(unseen), truth)["coverage"] == pytest.approx(0.683, abs=0.01)
    assert (ensemble.predict(unseen).mean == raw.predict(unseen).mean).all()


def test_the_seed_decides() -> None:
    features, gap, _ = made_up(60, 0)
    first, again, other = (fit(BandGap(), features, gap, seed=s) for s in (3, 3, 4))
    assert all((first.arrays[name] == again.arrays[name]).all() for name in first.arrays)
    assert (first.arrays["w1"] != other.arrays["w1"]).any()


def test_a_constant_feature_does_no_harm() -> None:
    features, gap, _ = made_up(60, 0)
    features[:, 2] = 7.0
    assert np.isfinite(fit(BandGap(), features, gap, seed=0).predict(features).mean).all()


def test_bad_training_data() -> None:
    features, gap, constant = made_up(30, 0)
    with pytest.raises(ValueError, match="at least 20 rows"):
        fit(BandGap(), features[:19], gap[:19], seed=0)
    with pytest.raises(ValueError, match=r"got \(30, 6\) and \(29,\)"):
        fit(BandGap(), features, gap[1:], seed=0)
    with pytest.raises(ValueError, match="finite"):
        fit(BandGap(), features, gap * np.nan, seed=0)
    with pytest.raises(ValueError, match=r"must be above 1, got 0\.5"):
        fit(Dielectric(), features, np.where(constant > 0, 0.5, 0), seed=0)


def test_nothing_to_calibrate_on() -> None:
    features, gap, _ = made_up(30, 0)
    ensemble = replace(fit(BandGap(), features, gap, seed=0), maximum=0.05)
    with pytest.raises(ValueError, match="no row to calibrate on"):
        calibrate(ensemble, features, gap)


def test_errors_by_hand() -> None:
    prediction = Prediction(np.array([0.0, 1.0, 3.0]), np.array([0.1, 0.5, 0.5]))
    found = band_gap_errors(prediction, np.array([0.0, 2.0, 3.2]))
    assert found["mae"] == pytest.approx(0.4)
    assert found["median_error"] == pytest.approx(0.2)
    assert found["rmse"] == pytest.approx(((1 + 0.04) / 3) ** 0.5)
    assert found["coverage"] == pytest.approx(2 / 3)
    assert found["spearman"] == pytest.approx(1)
    assert found["mae_of_median"] == pytest.approx(3.2 / 3)
    assert found["mae_with_gap"] == pytest.approx(0.6)
    assert found["mae_of_metals"] == 0
    assert found["metal_accuracy"] == 1
    product = figure_of_merit_errors(prediction, prediction, np.array([0.0, 2.0, 6.0]))
    assert product["mae"] == pytest.approx(4 / 3)
