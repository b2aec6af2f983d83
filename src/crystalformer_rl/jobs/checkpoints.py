"""Checkpoints of a training: one self-verifying file each, without pickle.

A checkpoint is a safetensors file of tensors, with the plain values as JSON in its header. Its name
contains its number and the sha256 of its bytes, so that it is created by one rename and damage is
detected. Checkpoints of other settings or inputs are in separate folders.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from crystalformer_rl.files import atomic

KEPT = 3

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """Everything a training needs to continue.

    Attributes
    ----------
    tensors
        Weights and optimiser state by name; on the CPU when read from disk.
    values
        Counters, sums and history rows, serialisable as JSON. Floats are restored exactly.
    """

    tensors: Mapping[str, torch.Tensor]
    values: Mapping[str, Any]


class Checkpoints:
    """The numbered checkpoints of one training.

    Parameters
    ----------
    folder
        Folder of this training only.
    key
        Everything the training depends on (settings, seed, digests of inputs), serialisable as
        JSON. Only checkpoints with the same key are used.
    code
        Fingerprint of the code. It is not part of the key, so that a change of code does not
        discard days of training; a warning is logged if other code wrote the checkpoint.
    """

    def __init__(self, folder: Path, *, key: Mapping[str, Any], code: str = "") -> None:
        text = json.dumps(key, sort_keys=True)
        self._root = Path(folder)
        self._folder = self._root / hashlib.sha256(text.encode()).hexdigest()[:16]
        self._code = code

    def save(self, number: int, checkpoint: Checkpoint) -> Path:
        """Write a checkpoint, delete all but the newest three, and return its path.

        The largest ``number`` is the newest. Checkpoints with larger numbers are deleted too: they
        are damaged, and the training has continued from an earlier one.
        """
        data = safetensors.torch.save(
            {name: tensor.detach().contiguous() for name, tensor in checkpoint.tensors.items()},
            metadata={"values": json.dumps(checkpoint.values), "code": self._code},
        )
        path = self._folder / f"{number:09d}-{hashlib.sha256(data).hexdigest()}.safetensors"
        with atomic(path) as temporary:
            temporary.write_bytes(data)
        older = [other for other in self.paths() if other < path]
        newer = [other for other in self.paths() if other > path]
        for other in (*older[: 1 - KEPT], *newer):
            other.unlink(missing_ok=True)
        return path

    def newest(self) -> Checkpoint | None:
        """The newest undamaged checkpoint, or None; damaged ones are logged."""
        self._mention_others()
        for path in reversed(self.paths()):
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest() != path.stem.partition("-")[2]:
                log.warning("checkpoint %s is damaged (sha256 differs): using an older one", path)
                continue
            metadata = _metadata(data)
            if metadata["code"] != self._code:
                log.warning("checkpoint %s was written by another version of the code", path)
            log.info("continuing from checkpoint %s", path)
            return Checkpoint(safetensors.torch.load(data), json.loads(metadata["values"]))
        return None

    def paths(self) -> list[Path]:
        """The checkpoints of this key, oldest first."""
        return sorted(self._folder.glob("*-*.safetensors"))

    def keep_newest(self) -> None:
        """Delete all others, including those of other settings; call this after the training."""
        for folder in self._root.glob("*/"):
            if folder != self._folder:
                shutil.rmtree(folder)
        for old in self.paths()[:-1]:
            old.unlink()

    def _mention_others(self) -> None:
        for path in sorted(self._root.glob("*/*-*.safetensors")):
            if path.parent != self._folder:
                log.warning("ignoring checkpoint %s: made under other settings or inputs", path)


def _metadata(data: bytes) -> dict[str, str]:
    """Header metadata of a safetensors file (8 bytes of length, then JSON)."""
    length = int.from_bytes(data[:8], "little")
    metadata: dict[str, str] = json.loads(data[8 : 8 + length])["__metadata__"]
    return metadata


def training_tensors(
    model: torch.nn.Module, optimiser: torch.optim.Optimizer
) -> dict[str, torch.Tensor]:
    """Weights as ``model.NAME`` and the optimiser's state as ``optimiser.INDEX.NAME``."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": tensor for name, tensor in state.items()}
    return tensors


def restore_training(
    checkpoint: Checkpoint, model: torch.nn.Module, optimiser: torch.optim.Optimizer
) -> None:
    """Restore what :func:`training_tensors` returned; learning rates are not included."""
    model.load_state_dict(with_prefix(checkpoint.tensors, "model."))
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in with_prefix(checkpoint.tensors, "optimiser.").items():
        index, _, entry = name.partition(".")
        state.setdefault(int(index), {})[entry] = tensor
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})


def with_prefix(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The tensors whose name starts with ``prefix``, without it."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
