"""Training of a property model: a bootstrap ensemble of small networks, trained together."""

import math

import numpy as np
import torch
from torch.nn import functional

from crystalformer_rl.properties.base import Floats, Property
from crystalformer_rl.properties.ensemble import Ensemble


def fit(property_: Property, features: Floats, values: Floats, *, seed: int) -> Ensemble:
    """Train an ensemble on crystals with known values; its ``std`` is not calibrated.

    Parameters
    ----------
    property_
        What to predict; its recipe contains the hyperparameters.
    features
        Crystal features, (n, d).
    values
        The property in its unit, (n,).
    seed
        Seed of the bootstrap samples, the initial weights and the order of the rows. The same
        seed gives the same weights on the same machine and library versions.

    Raises
    ------
    ValueError
        If there are fewer than 20 rows, shapes disagree or a number is not finite.
    """
    features = np.asarray(features, dtype=np.float64)
    values = np.asarray(values, dtype=np.float64)
    _check(features, values)
    centre, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    inputs = (features - centre) / scale
    generator = torch.Generator().manual_seed(seed)
    layers = _train(
        property_,
        torch.as_tensor(inputs, dtype=torch.float32),
        torch.as_tensor(property_.target(values), dtype=torch.float32),
        generator,
    )
    arrays = {name: tensor.detach().numpy().astype(np.float16) for name, tensor in layers.items()}
    arrays |= {
        "centre": centre.astype(np.float32),
        "scale": scale.astype(np.float32),
        "lower": inputs.min(axis=0).astype(np.float32),
        "upper": inputs.max(axis=0).astype(np.float32),
    }
    return Ensemble(property_, arrays, maximum=float(values.max()), std_scale=1.0)


def calibrate(ensemble: Ensemble, features: Floats, values: Floats) -> Ensemble:
    """Scale ``std`` so that it covers 68.3 % of the errors on these rows, unseen in training.

    Rows predicted within a tenth of a unit of the property's minimum (metals, for the gap) carry
    no information about the errors elsewhere and are left out.

    Raises
    ------
    ValueError
        If no row remains.
    """
    prediction = ensemble.predict(features)
    counted = (prediction.mean > ensemble.property_.minimum + 0.1) & (prediction.std > 0)
    if not counted.any():
        raise ValueError("no row to calibrate on: every prediction is at the minimum")
    error = np.abs(prediction.mean - np.asarray(values, dtype=np.float64))
    ratio = error[counted] / prediction.std[counted]
    factor = float(np.quantile(ratio, math.erf(1 / math.sqrt(2))))
    return Ensemble(
        ensemble.property_,
        ensemble.arrays,
        maximum=ensemble.maximum,
        std_scale=ensemble.std_scale * factor,
    )


def _check(features: Floats, values: Floats) -> None:
    if features.ndim != 2 or values.shape != features.shape[:1]:
        raise ValueError(
            f"features must be (n, d) and values (n,), got {features.shape} and {values.shape}"
        )
    if len(values) < 20:
        raise ValueError(f"at least 20 rows are needed to train an ensemble, got {len(values)}")
    if not (np.isfinite(features).all() and np.isfinite(values).all()):
        raise ValueError("features and values must be finite")


def _train(
    property_: Property,
    inputs: torch.Tensor,
    target: torch.Tensor,
    generator: torch.Generator,
) -> dict[str, torch.Tensor]:
    recipe = property_.recipe
    members, rows = recipe.members, len(inputs)
    layers = _initial(property_, inputs.shape[1], generator)
    bags = torch.randint(rows, (members, rows), generator=generator)
    batches = math.ceil(rows / recipe.batch_size)
    optimiser = torch.optim.AdamW(
        layers.values(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, recipe.epochs * batches)
    for _ in range(recipe.epochs):
        order = torch.rand((members, rows), generator=generator).argsort(dim=1)
        for batch in torch.gather(bags, 1, order).tensor_split(batches, dim=1):
            loss = property_.loss(_raw(layers, inputs[batch]), target[batch]).sum()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    return layers


def _initial(
    property_: Property, width: int, generator: torch.Generator
) -> dict[str, torch.Tensor]:
    members, hidden = property_.recipe.members, property_.recipe.hidden
    shapes = {"w1": (width, hidden), "w2": (hidden, property_.outputs)}
    layers: dict[str, torch.Tensor] = {}
    for name, (fan_in, fan_out) in shapes.items():
        weight = torch.randn((members, fan_in, fan_out), generator=generator)
        layers[name] = (weight / math.sqrt(fan_in)).requires_grad_()
        layers[name.replace("w", "b")] = torch.zeros((members, 1, fan_out), requires_grad=True)
    return layers


def _raw(layers: dict[str, torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
    """Apply the networks: (members, b, d) to (members, b, outputs)."""
    hidden = functional.silu(torch.baddbmm(layers["b1"], inputs, layers["w1"]))
    return torch.baddbmm(layers["b2"], hidden, layers["w2"])
