"""Errors of the property models on held-out data, as listed in docs/explanation/properties.md."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from crystalformer_rl.properties.base import Floats, Prediction


def errors(prediction: Prediction, values: Floats) -> dict[str, float]:
    """Errors of n predictions.

    Returns
    -------
    dict
        ``rows``; ``mae``, ``median_error`` and ``rmse`` in the property's unit; ``spearman``;
        ``coverage``, the fraction of rows within one ``std`` (0.683 if calibrated);
        ``spearman_error_std``, the rank correlation of ``std`` with the errors;
        ``mae_of_median``, the error if the median of the values is always predicted.
    """
    error = np.abs(prediction.mean - values)
    return {
        "rows": float(len(values)),
        "mae": _mean(error),
        "median_error": float(np.median(error)),
        "rmse": _mean(error**2) ** 0.5,
        "spearman": _rank_correlation(prediction.mean, values),
        "coverage": _mean(error <= prediction.std),
        "spearman_error_std": _rank_correlation(prediction.std, error),
        "mae_of_median": _mean(np.abs(values - np.median(values))),
    }


def band_gap_errors(prediction: Prediction, values: Floats) -> dict[str, float]:
    """As :func:`errors`, in eV, and separately for metals (gap 0) and the others.

    ``metal_accuracy`` is the fraction of rows whose prediction and true gap are on the same side of
    0.1 eV.
    """
    error, is_open = np.abs(prediction.mean - values), values > 0
    found = errors(prediction, values) | {
        "rows_with_gap": float(is_open.sum()),
        "metal_accuracy": _mean((prediction.mean > 0.1) == (values > 0.1)),
    }
    if is_open.any():
        found["mae_with_gap"] = _mean(error[is_open])
        found["coverage_with_gap"] = _mean((error <= prediction.std)[is_open])
    if not is_open.all():
        found["mae_of_metals"] = _mean(error[~is_open])
    return found


def dielectric_errors(
    prediction: Prediction, values: Floats, *, band_gap: Floats, known: tuple[Floats, Floats]
) -> dict[str, float]:
    """As :func:`errors`, and for ln(ε − 1), compared with a power law in the true band gap.

    Parameters
    ----------
    band_gap
        True band gaps of the rows, eV.
    known
        Band gaps and dielectric constants of the training rows, to which the law
        ε − 1 = a · gap^b is fitted by least squares of the logarithms.
    """
    gaps, constants = known
    slope, offset = np.polyfit(_log(gaps), np.log(constants - 1), 1)
    law = np.exp(offset + slope * _log(band_gap))
    return errors(prediction, values) | {
        "mae_log": _mean(np.abs(np.log(prediction.mean - 1) - np.log(values - 1))),
        "mae_log_of_gap_law": _mean(np.abs(np.log(law) - np.log(values - 1))),
        "mae_of_gap_law": _mean(np.abs(1 + law - values)),
        "spearman_of_gap_law": _rank_correlation(law, values),
    }


def figure_of_merit_errors(
    band_gap: Prediction, dielectric: Prediction, values: Floats
) -> dict[str, float]:
    """Errors of the product of the two means, eV, with respect to true gap × true constant."""
    product = band_gap.mean * dielectric.mean
    error = np.abs(product - values)
    return {
        "rows": float(len(values)),
        "mae": _mean(error),
        "median_error": float(np.median(error)),
        "spearman": _rank_correlation(product, values),
        "mae_of_median": _mean(np.abs(values - np.median(values))),
    }


def _mean(values: NDArray[Any]) -> float:
    return float(np.mean(values))


def _log(gaps: Floats) -> Floats:
    """Logarithm of gaps in eV; smaller gaps are replaced by 0.01 eV."""
    return np.asarray(np.log(np.maximum(gaps, 0.01)), dtype=np.float64)


def _rank_correlation(first: Floats, second: Floats) -> float:
    """Spearman's rank correlation; 0 if one of the arrays is constant."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(spearmanr(first, second).statistic)
