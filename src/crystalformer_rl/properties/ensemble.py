"""Ensembles of small networks on frozen CHGNet crystal features; the weights are in this folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystalformer_rl.files import read_json, read_tensors
from crystalformer_rl.properties.band_gap import BandGap
from crystalformer_rl.properties.base import Floats, Prediction, Property
from crystalformer_rl.properties.dielectric import Dielectric

PropertyName = Literal["band_gap", "dielectric"]
PROPERTIES: Mapping[PropertyName, Property] = {"band_gap": BandGap(), "dielectric": Dielectric()}
ARRAYS = ("w1", "b1", "w2", "b2", "centre", "scale", "lower", "upper")


@dataclass(frozen=True, eq=False)
class Ensemble:
    """An ensemble of networks with one hidden layer (SiLU), evaluated in numpy.

    Attributes
    ----------
    property_
        What is predicted.
    arrays
        ``w1 (m, d, h)``, ``b1 (m, 1, h)``, ``w2 (m, h, o)``, ``b2 (m, 1, o)`` of m members;
        ``centre``, ``scale``, ``lower``, ``upper (d,)``: standardisation of the features and
        the range of the standardised features in training.
    maximum
        Largest value in training: no prediction exceeds it.
    std_scale
        Factor from the standard deviation of the members to the calibrated one.
    """

    property_: Property
    arrays: Mapping[str, NDArray[Any]]
    maximum: float
    std_scale: float

    def predict(self, features: ArrayLike) -> Prediction:
        """Predict from crystal features (mean over atoms), (n, d); NaN features give NaN.

        Features are clipped to their range in training, and the mean is clipped to the interval
        from the property's minimum to the largest training value. The ensemble therefore does not
        extrapolate, and a policy that is rewarded for its predictions gains nothing from features
        outside the training range.

        Raises
        ------
        ValueError
            If the features are not (n, d) with the d of the ensemble.
        """
        inputs = np.asarray(features, dtype=np.float64)
        width = len(self.arrays["centre"])
        if inputs.ndim != 2 or inputs.shape[1] != width:
            raise ValueError(f"features must be (n, {width}), got {inputs.shape}")
        array = {name: value.astype(np.float64) for name, value in self.arrays.items()}
        known = np.isfinite(inputs).all(axis=1)
        scaled = (inputs[known] - array["centre"]) / array["scale"]
        scaled = np.clip(scaled, array["lower"], array["upper"])
        latent = self.property_.latent(_raw(array, scaled))
        spread = latent.std(axis=0, ddof=1) * self.std_scale
        answer = self.property_.value(latent.mean(axis=0), spread)
        mean, std = np.full(len(inputs), np.nan), np.full(len(inputs), np.nan)
        mean[known] = np.clip(answer.mean, self.property_.minimum, self.maximum)
        std[known] = answer.std
        return Prediction(mean, std)


def _raw(array: Mapping[str, Floats], inputs: Floats) -> Floats:
    """Apply the networks: (n, d) to (members, n, outputs)."""
    hidden = inputs @ array["w1"] + array["b1"]
    hidden = hidden * 0.5 * (1 + np.tanh(0.5 * hidden))
    return np.asarray(hidden @ array["w2"] + array["b2"], dtype=np.float64)


@cache
def load_ensemble(name: PropertyName) -> Ensemble:
    """Load an ensemble that is shipped with the package: ``band_gap`` (eV) or ``dielectric``.

    Raises
    ------
    ValueError
        If the property is unknown.
    """
    return read_ensemble(Path(__file__).parent, name)


def read_ensemble(folder: Path, name: PropertyName) -> Ensemble:
    """Read ``NAME.safetensors`` and ``NAME.json`` from a folder.

    Raises
    ------
    ValueError
        If the property is unknown, or a file is damaged or lacks an entry.
    """
    if name not in PROPERTIES:
        raise ValueError(f"unknown property {name!r}: choose one of {', '.join(PROPERTIES)}")
    arrays = read_tensors(folder / f"{name}.safetensors")
    metadata = read_json(folder / f"{name}.json")
    missing = [key for key in ARRAYS if key not in arrays]
    missing += [key for key in ("maximum", "std_scale") if key not in metadata]
    if missing:
        raise ValueError(f"{folder / name}: missing entries: {', '.join(missing)}")
    return Ensemble(
        PROPERTIES[name],
        arrays,
        maximum=float(metadata["maximum"]),
        std_scale=float(metadata["std_scale"]),
    )
