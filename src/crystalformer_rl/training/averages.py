"""Moving averages of weights, which generalise better than the last weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch


class Averages:
    """Exponential moving averages of a model's weights, in float32.

    After step t: d · average + (1 − d) · weights with d = min(decay, (1 + t)/(10 + t)). The growing
    decay removes the influence of the random start, so that no bias correction is needed.

    Parameters
    ----------
    model
        The model whose weights are averaged.
    decay
        The largest d.

    Attributes
    ----------
    tensors
        The averages by name of the weight.
    """

    def __init__(self, model: torch.nn.Module, *, decay: float) -> None:
        self._weights = dict(model.named_parameters())
        self._decay = decay
        self.tensors = {
            name: weight.detach().to(torch.float32, copy=True)
            for name, weight in self._weights.items()
        }

    def update(self, step: int) -> None:
        """Update the averages after step number ``step``, counted from 1."""
        share = 1 - min(self._decay, (1 + step) / (10 + step))
        weights = [weight.detach().float() for weight in self._weights.values()]
        torch._foreach_lerp_(list(self.tensors.values()), weights, share)

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Restore :attr:`tensors` of another object."""
        for name, average in self.tensors.items():
            average.copy_(tensors[name])

    def apply(self) -> None:
        """Set the weights of the model to the averages."""
        self._set(self.tensors)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside the block the model has the averages as its weights."""
        kept = {name: weight.detach().clone() for name, weight in self._weights.items()}
        self.apply()
        try:
            yield
        finally:
            self._set(kept)

    @torch.no_grad()
    def _set(self, tensors: Mapping[str, torch.Tensor]) -> None:
        for name, weight in self._weights.items():
            weight.copy_(tensors[name])
