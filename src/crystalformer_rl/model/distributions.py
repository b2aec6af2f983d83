"""Densities of the network's outputs, and sampling from them.

Letters and elements are categorical, a coordinate is a mixture of von Mises distributions on the
angle 2π(x − ½), the lattice a mixture of normal distributions. A density of a coordinate is per
radian, as in the published code.

A temperature T divides the logits and the concentrations and widens the lattice by √T. Nucleus
sampling (``top_p``) keeps the most probable choices until their sum exceeds p. Both work as in the
published sampler.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from crystalformer_rl.model.streams import Stream

SMALLEST_WIDTH = 1e-3
_TWO_PI = 2 * math.pi
_PROPOSALS = 12
# Outside these bounds the formulas of Best and Fisher lose precision.
_NEARLY_FLAT, _NEARLY_NORMAL = 1e-5, 1e6


@dataclass(frozen=True)
class Draw:
    """How to sample: the random numbers, the temperature and the nucleus."""

    stream: Stream
    temperature: float = 1.0
    top_p: float = 1.0


def check_within(name: str, value: float, bounds: tuple[float, float]) -> None:
    """Raise ``ValueError`` if a number is outside its bounds, or NaN."""
    lowest, highest = bounds
    if not lowest <= value <= highest:
        raise ValueError(f"{name} must be {lowest:g} to {highest:g}, got {value}")


def draw_category(logits: Tensor, draw: Draw) -> Tensor:
    """Indices ``(B,)`` from unnormalised logits ``(B, n)``; −inf is never drawn."""
    if draw.top_p < 1:
        ordered, order = logits.sort(dim=-1, descending=True)
        before = ordered.softmax(-1).cumsum(-1).roll(1, dims=-1)
        before[:, 0] = 0
        dropped = torch.zeros_like(before, dtype=torch.bool).scatter(-1, order, before > draw.top_p)
        logits = logits.masked_fill(dropped, -torch.inf)
    probability = (logits / draw.temperature).softmax(-1)
    return draw.stream.choice(probability)


def von_mises_log_density(angle: Tensor, location: Tensor, concentration: Tensor) -> Tensor:
    """ln of exp(κ cos(θ − μ)) / (2π I₀(κ)), per radian."""
    scaled = torch.special.i0e(concentration)
    peak = concentration * (torch.cos(angle - location) - 1)
    return peak - torch.log(scaled) - math.log(_TWO_PI)


def draw_von_mises(location: Tensor, concentration: Tensor, stream: Stream) -> Tensor:
    """Angles in [−π, π): rejection from a wrapped Cauchy (Best and Fisher, 1979), in float64.

    Each round makes twelve proposals per angle and takes the first accepted one. At least two
    thirds are accepted, so a second round is rare.

    Parameters
    ----------
    location, concentration
        Tensors of the same shape; concentrations must not be negative.
    """
    kappa = concentration.double().flatten()
    # The envelope is not used where κ is tiny or huge; clamp it to a harmless value.
    inside = kappa.clamp(_NEARLY_FLAT, _NEARLY_NORMAL)
    tau = 1 + torch.sqrt(1 + 4 * inside**2)
    rho = (tau - torch.sqrt(2 * tau)) / (2 * inside)
    envelope = (1 + rho**2) / (2 * rho)
    cosine = torch.full_like(kappa, torch.nan)
    waiting = torch.arange(len(kappa), device=kappa.device)
    for attempt in itertools.count():
        if not len(waiting):
            break
        r, k = envelope[waiting, None], inside[waiting, None]
        u = stream.proposals(waiting, _PROPOSALS, attempt, kappa)
        z = torch.cos(math.pi * u[0])
        proposal = (1 + r * z) / (r + z)
        margin = k * (r - proposal)
        accepted = torch.log(margin / (1 - u[1])) + 1 - margin >= 0
        first = accepted.int().argmax(-1, keepdim=True)
        cosine[waiting] = proposal.gather(-1, first)[:, 0]
        waiting = waiting[~accepted.any(-1)]
    u = stream.uniform(kappa)
    turn = torch.arccos(cosine.clamp(-1, 1))
    angle = torch.where(u < 0.5, -turn, turn)
    normal = stream.normal(kappa)
    angle = torch.where(kappa < _NEARLY_FLAT, _TWO_PI * u, angle)
    angle = torch.where(kappa > _NEARLY_NORMAL, normal / kappa.clamp_min(1).sqrt(), angle)
    turned = angle.view(location.shape) + location.double() + math.pi
    return (torch.remainder(turned, _TWO_PI) - math.pi).to(location.dtype)


def coordinate_log_density(parameters: Tensor, x: Tensor) -> Tensor:
    """ln p of fractional coordinates ``(...)`` under mixtures ``(..., 3 K)``, per radian."""
    logits, location, concentration = parameters.chunk(3, dim=-1)
    angle = (x[..., None] - 0.5) * _TWO_PI
    each = von_mises_log_density(angle, location, functional.softplus(concentration))
    return torch.logsumexp(logits.log_softmax(-1) + each, dim=-1)


def draw_coordinate(parameters: Tensor, draw: Draw) -> Tensor:
    """Fractional coordinates ``(B,)`` in [0, 1) from mixtures ``(B, 3 K)``."""
    logits, location, concentration = parameters.chunk(3, dim=-1)
    component = draw_category(logits, draw)[:, None]
    angle = draw_von_mises(
        location.gather(-1, component)[:, 0],
        functional.softplus(concentration.gather(-1, component)[:, 0]) / draw.temperature,
        draw.stream,
    )
    return wrap(angle / _TWO_PI + 0.5)


def wrap(x: Tensor) -> Tensor:
    """Fractional coordinates in [0, 1); values that round to 1 become 0."""
    inside = x - x.floor()
    return torch.where(inside < 1, inside, torch.zeros_like(inside))


def lattice_log_density(
    parameters: Tensor, lattice: Tensor, free: Tensor, density: Literal["joint", "per_dimension"]
) -> Tensor:
    """ln p of the free lattice parameters under mixtures ``(B, 13 K)``: ``(B,)``.

    Parameters
    ----------
    lattice, free
        ``(B, 6)``; parameters that are not free are ignored.
    density
        ``joint``: ln Σ_k w_k Π_d N_kd, one component for all parameters; ``per_dimension``:
        Σ_d ln Σ_k w_k N_kd, the published scoring.
    """
    logits, mean, width = _lattice_mixture(parameters)
    weight = logits.log_softmax(-1)
    z = (lattice[:, None] - mean) / width
    each = -0.5 * z**2 - width.log() - 0.5 * math.log(_TWO_PI)
    if density == "joint":
        each = each.masked_fill(~free[:, None], 0.0).sum(-1)
        return torch.logsumexp(weight + each, dim=-1)
    marginal = torch.logsumexp(weight[..., None] + each, dim=1)
    return marginal.masked_fill(~free, 0.0).sum(-1)


def draw_lattice(
    parameters: Tensor, draw: Draw, density: Literal["joint", "per_dimension"]
) -> Tensor:
    """Lattices ``(B, 6)`` sampled from mixtures ``(B, 13 K)``, from the density that is scored.

    ``joint`` draws one component for all six numbers, ``per_dimension`` one for each number; the
    marginal distributions are the same. (The published code draws one but scores six.)
    """
    logits, mean, width = _lattice_mixture(parameters)
    dimensions = 1 if density == "joint" else 6
    repeated = logits.repeat_interleave(dimensions, dim=0)
    component = draw_category(repeated, draw).view(-1, 1, dimensions).expand(-1, 1, 6)
    mean, width = mean.gather(1, component)[:, 0], width.gather(1, component)[:, 0]
    normal = draw.stream.normal(mean)
    return mean + width * math.sqrt(draw.temperature) * normal


def _lattice_mixture(parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Logits ``(B, K)``, means and widths ``(B, K, 6)``."""
    modes = parameters.shape[-1] // 13
    logits, mean, width = torch.tensor_split(parameters, (modes, 7 * modes), dim=-1)
    shape = (len(parameters), modes, 6)
    return logits, mean.view(shape), functional.softplus(width).view(shape) + SMALLEST_WIDTH
