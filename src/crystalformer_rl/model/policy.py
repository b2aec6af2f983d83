"""The policy: a network, its symmetry tables, and a description of its training data."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import nn

from crystalformer_rl.config import ModelSettings
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.files import atomic, read_json, unreadable_tensors, write_json
from crystalformer_rl.jobs.parallel import SINGLE, Parallel
from crystalformer_rl.model import likelihood, sampler
from crystalformer_rl.model.constraints import Constraints, unconstrained
from crystalformer_rl.model.folder import DESCRIPTION, WEIGHTS
from crystalformer_rl.model.likelihood import LogProb, Tables
from crystalformer_rl.model.sampler import Samples
from crystalformer_rl.model.transformer import GROUPS, Transformer

FORMAT = 2


class Policy(nn.Module):
    """p(crystal | space group), for scoring and sampling; in inference mode (no dropout).

    ``train()`` enables dropout, ``double()`` switches to float64.

    Parameters
    ----------
    settings
        Size of the network and form of its density.
    seed
        Seed of the initial weights; None: they are not set, for those who load others.
    space_group_counts
        ``(231,)`` crystals per space group in the training data, entry 0 unused; none if absent.
    metadata
        Further content of ``model.json``; must be serialisable as JSON.
    """

    def __init__(
        self,
        settings: ModelSettings,
        *,
        seed: int | None = 0,
        space_group_counts: Sequence[int] | NDArray[np.int64] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        counts = np.zeros(GROUPS + 1) if space_group_counts is None else space_group_counts
        self.settings = settings
        self.space_group_counts = np.array(counts, dtype=np.int64)
        if self.space_group_counts.shape != (GROUPS + 1,) or (self.space_group_counts < 0).any():
            raise ValueError(
                f"space_group_counts must be {GROUPS + 1} counts, the first unused, got shape "
                f"{self.space_group_counts.shape}"
            )
        self.metadata = dict(metadata or {})
        self.network = Transformer(settings)
        if seed is not None:
            self.network.initialise(seed)
        self.tables = Tables(settings)
        self.eval()

    @property
    def num_parameters(self) -> int:
        """Trainable numbers."""
        return sum(parameter.numel() for parameter in self.parameters())

    def log_prob(self, tokens: CrystalTokens, *, constraints: Constraints | None = None) -> LogProb:
        """ln p of crystals, see :func:`crystalformer_rl.model.likelihood.log_prob`."""
        return likelihood.log_prob(
            self.network,
            self.tables,
            tokens,
            constraints or unconstrained(self.settings.max_sites),
        )

    def forward(self, tokens: CrystalTokens) -> LogProb:
        """Same as :meth:`log_prob`, for wrappers that call the module."""
        return self.log_prob(tokens)

    def sample(
        self,
        space_groups: NDArray[np.int64] | Sequence[int],
        *,
        seed: int,
        temperature: float = 1.0,
        top_p: float = 1.0,
        first_element_temperature: float | None = None,
        constraints: Constraints | None = None,
        batch_size: int | None = None,
        parallel: Parallel = SINGLE,
    ) -> Samples:
        """One crystal per space group, see :func:`crystalformer_rl.model.sampler.sample`."""
        return sampler.sample(
            self.network,
            self.tables,
            np.asarray(space_groups, dtype=np.int64),
            seed=seed,
            temperature=temperature,
            top_p=top_p,
            first_element_temperature=first_element_temperature,
            constraints=constraints or unconstrained(self.settings.max_sites),
            batch_size=batch_size,
            parallel=parallel,
        )

    def with_coordinate_density(self, density: Literal["independent", "published"]) -> "Policy":
        """A policy with the same weights whose coordinates are scored with another density."""
        changed = Policy(
            self.settings.model_copy(update={"coordinate_density": density}),
            seed=None,
            space_group_counts=self.space_group_counts,
            metadata=self.metadata,
        )
        changed.to(self.network.out.weight)
        changed.network.load_state_dict(self.network.state_dict())
        return changed.train(self.training)

    def save(self, folder: Path, *, precision: torch.dtype = torch.float32) -> None:
        """Write ``model.safetensors`` and ``model.json`` into ``folder``, each atomically.

        ``precision`` is the precision in the file; bfloat16 halves its size and is read back as
        float32.
        """
        weights = {
            name: tensor.detach().to("cpu", precision).contiguous()
            for name, tensor in self.network.state_dict().items()
        }
        with atomic(Path(folder) / WEIGHTS) as temporary:
            safetensors.torch.save_file(weights, temporary)
        write_json(
            Path(folder) / DESCRIPTION,
            {
                "format": FORMAT,
                "settings": self.settings.model_dump(mode="json"),
                "parameters": self.num_parameters,
                "space_group_counts": self.space_group_counts.tolist(),
                "metadata": self.metadata,
            },
        )

    @classmethod
    def load(cls, folder: Path, *, device: str | torch.device = "cpu") -> "Policy":
        """Read what :meth:`save` wrote, ready for inference.

        Raises
        ------
        FileNotFoundError
            If a file is missing.
        ValueError
            If a file is damaged or of another format, or the weights do not match the description;
            the message names the file and the tensor.
        """
        source, weights = Path(folder) / DESCRIPTION, Path(folder) / WEIGHTS
        if not source.is_file():
            raise FileNotFoundError(
                f"{source}: no such file; a policy is {DESCRIPTION} + {WEIGHTS}"
            )
        description = read_json(source)
        if not isinstance(description, dict) or description.get("format") != FORMAT:
            raise ValueError(f"{source}: not the description of a policy of format {FORMAT}")
        try:
            policy = cls(
                ModelSettings.model_validate(description["settings"]),
                seed=None,
                space_group_counts=description["space_group_counts"],
                metadata=description["metadata"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{source}: not the description of a policy: {error!r}") from error
        policy.load_weights(_read_weights(weights), source=str(weights))
        return policy.to(device)

    def load_weights(self, arrays: Mapping[str, NDArray[Any]], *, source: str) -> None:
        """Set the network's weights from named arrays; error messages name ``source``.

        Raises
        ------
        ValueError
            If an array is missing, unknown, of another shape, or contains NaN or infinities.
        """
        state = self.network.state_dict()
        if unknown := sorted(arrays.keys() - state.keys()):
            raise ValueError(f"{source}: the model has no parameter {unknown[0]}")
        for name, tensor in state.items():
            if name not in arrays:
                raise ValueError(f"{source}: parameter {name} is missing")
            array = np.asarray(arrays[name])
            if array.shape != tuple(tensor.shape):
                raise ValueError(
                    f"{source}: parameter {name} has shape {array.shape}, expected "
                    f"{tuple(tensor.shape)}"
                )
            if not np.isfinite(array).all():
                raise ValueError(f"{source}: parameter {name} contains NaN or infinity")
        self.network.load_state_dict({name: torch.tensor(arrays[name]) for name in state})


def _read_weights(path: Path) -> dict[str, NDArray[np.float32]]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        tensors = safetensors.torch.load_file(path)
    except safetensors.SafetensorError as error:
        raise unreadable_tensors(path, error) from error
    return {name: tensor.float().numpy() for name, tensor in tensors.items()}
