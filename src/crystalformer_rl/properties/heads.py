"""Ensembles of small heads on frozen CHGNet crystal features, as committed beside this file."""

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
class Heads:
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
        Factor from disagreement to calibrated standard deviation.
    """

    property_: Property
    arrays: Mapping[str, NDArray[Any]]
    maximum: float
    std_scale: float

    def predict(self, features: ArrayLike) -> Prediction:
        """Predict from crystal features (mean over atoms), (n, d); NaN features give NaN.

        Features outside the range met in training are moved to its edge, and the mean is kept
        between the property's minimum and the largest training value: heads do not extrapolate,
        so a policy that is rewarded by them gains nothing by leaving what they know.

        Raises
        ------
        ValueError
            If the features are not (n, d) with the heads' d.
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
    """(n, d) to (members, n, outputs)."""
    hidden = inputs @ array["w1"] + array["b1"]
    hidden = hidden * 0.5 * (1 + np.tanh(0.5 * hidden))
    return np.asarray(hidden @ array["w2"] + array["b2"], dtype=np.float64)


@cache
def load_heads(name: PropertyName) -> Heads:
    """Load the heads that come with the package (``band_gap`` in eV, ``dielectric``).

    Raises
    ------
    ValueError
        If there is no such property.
    """
    return read_heads(Path(__file__).parent, name)


def read_heads(folder: Path, name: PropertyName) -> Heads:
    """Read ``NAME.safetensors`` and ``NAME.json`` from a folder.

    Raises
    ------
    ValueError
        If there is no such property, or a file is damaged or lacks an entry.
    """
    if name not in PROPERTIES:
        raise ValueError(f"no property {name!r}; there are: {', '.join(PROPERTIES)}")
    arrays = read_tensors(folder / f"{name}.safetensors")
    metadata = read_json(folder / f"{name}.json")
    missing = [key for key in ARRAYS if key not in arrays]
    missing += [key for key in ("maximum", "std_scale") if key not in metadata]
    if missing:
        raise ValueError(f"{folder / name}: no {', '.join(missing)}")
    return Heads(
        PROPERTIES[name],
        arrays,
        maximum=float(metadata["maximum"]),
        std_scale=float(metadata["std_scale"]),
    )
