"""State of a likelihood training: everything that determines its next step."""

import logging
import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch

from crystalformer_rl.config import OptimiserSettings
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.jobs.checkpoints import (
    Checkpoint,
    restore_training,
    training_tensors,
    with_prefix,
)
from crystalformer_rl.jobs.parallel import Parallel
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.seeds import derive_seed
from crystalformer_rl.training.averages import Averages
from crystalformer_rl.training.batches import Crystals, parts_within
from crystalformer_rl.training.losses import PARTS, log_prob_parts, mean_loss
from crystalformer_rl.training.rates import half_cosine, warm_up
from crystalformer_rl.training.room import padded_tokens, tokens_of, training_room

RATE_BATCH = 100
"""Batch size to which the learning rate of the settings refers."""

log = logging.getLogger(__name__)


@dataclass
class FitState:
    """Weights, optimiser, averages and history of :func:`crystalformer_rl.training.fit.fit`.

    Attributes
    ----------
    step
        Steps made.
    total
        Steps of the whole training, for the schedule of the learning rate.
    seen, sums
        Crystals of this epoch so far, and the sum of their losses by part.
    stop
        Whether any process wants to stop after this step; None with a single process.
    history
        See ``fit``.
    best
        The weights of the best validation, kept if patience may restore them.
    """

    policy: Policy
    settings: OptimiserSettings
    seed: int
    validate_every: int
    patience: int | None
    parallel: Parallel
    record: Callable[[dict[str, Any]], None] | None
    total: int
    step: int = 0
    seen: int = 0
    stop: bool | None = None
    sums: list[float] = field(default_factory=lambda: [0.0] * len(PARTS))
    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, torch.Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.optimiser = torch.optim.Adam(self.policy.parameters(), lr=self.rate)
        self.room = training_room(self.policy)
        decay = self.settings.ema_decay
        self.averages = None if decay is None else Averages(self.policy, decay=decay)

    @property
    def rate(self) -> float:
        """Learning rate of the next step."""
        settings = self.settings
        warmup = settings.warmup_steps
        factor = warm_up(self.step, warmup)
        if settings.schedule == "cosine" and self.step >= warmup:
            done = (self.step - warmup) / max(self.total - warmup, 1)
            factor = half_cosine(done)
        return settings.learning_rate * settings.batch_size / RATE_BATCH * factor

    @property
    def validations_since_best(self) -> int:
        losses = [row["val_loss"] for row in self.history if row["val_loss"] is not None]
        return len(losses) - 1 - losses.index(min(losses))

    @property
    def out_of_patience(self) -> bool:
        return self.patience is not None and self.validations_since_best >= self.patience

    def checkpoint(self) -> Checkpoint:
        """Everything that :meth:`restore` needs to continue exactly."""
        tensors = training_tensors(self.policy, self.optimiser)
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        if self.averages is not None:
            tensors |= {f"average.{name}": t for name, t in self.averages.tensors.items()}
        names = ("step", "seen", "sums", "history")
        return Checkpoint(tensors, {name: getattr(self, name) for name in names})

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint of the same settings."""
        restore_training(checkpoint, self.policy, self.optimiser)
        self.best = with_prefix(checkpoint.tensors, "best.")
        if self.averages is not None:
            self.averages.load(with_prefix(checkpoint.tensors, "average."))
        for name, value in checkpoint.values.items():
            setattr(self, name, value)

    def start(self, train: Crystals, validation: Crystals) -> None:
        """Add row 0 of the history."""
        losses = None if len(validation) else self._loss(train)
        row = {"epoch": 0, "step": 0, "learning_rate": None} | _columns("train", losses)
        self._add(row | _columns("val", self._loss(validation)))

    def advance(self, share: CrystalTokens, *, batch: int, stop: Callable[[], bool]) -> str | None:
        """Make one optimiser step, or return what was not finite (then nothing has changed).

        Parameters
        ----------
        share
            This process's crystals of the batch.
        batch
            Crystals of all processes.
        stop
            Returns whether this process wants to stop.
        """
        self.policy.train()
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate
        size = padded_tokens(share)
        sums = self.room.attempt(
            lambda most: self.gradient(share, batch=batch, most=most), size=size
        )
        self.room.fitted(size)
        weights = list(self.policy.parameters())
        flag = sums.new_full((1,), float(stop()))
        totals = self.parallel.sum_gradients(weights, torch.cat([sums, flag]))
        clipped = torch.nn.utils.clip_grad_norm_(weights, self.settings.clip_norm)
        *losses, stops, norm = torch.cat([totals, clipped[None].to(totals)]).tolist()
        if not math.isfinite(sum(losses)):
            return "the loss"
        if not math.isfinite(norm):
            return "the gradient"
        self.optimiser.step()
        self.step += 1
        if self.averages is not None:
            self.averages.update(self.step)
        self.sums = [total + loss for total, loss in zip(self.sums, losses, strict=True)]
        self.seen += batch
        self.stop = None if self.parallel.size == 1 else stops > 0
        return None

    def gradient(self, share: CrystalTokens, *, batch: int, most: int) -> torch.Tensor:
        """Set the gradients from at most ``most`` tokens at once; return the loss summed by part.

        The sum of the gradients of parts is the gradient of the whole. The parts only differ in
        their dropout.
        """
        others = () if self.parallel.first else (self.parallel.rank,)
        torch.manual_seed(derive_seed(self.seed, "dropout", self.step, *others))
        self.optimiser.zero_grad(set_to_none=True)
        sums = torch.zeros(len(PARTS), dtype=torch.float64, device=self.parallel.device)
        for rows in parts_within(tokens_of(share), most=most):
            parts = log_prob_parts(self.policy, share if len(rows) == len(share) else share[rows])
            (-parts.sum() / batch).backward()  # type: ignore[no-untyped-call]
            sums = sums - parts.detach().double().sum(dim=1)
        return sums

    def end_epoch(self, epoch: int, validation: Crystals) -> None:
        """Add the next row of the history."""
        rate = self.optimiser.param_groups[0]["lr"]
        losses = [total / self.seen for total in self.sums]
        due = epoch % self.validate_every == 0 or epoch == self.settings.epochs
        row = {"epoch": epoch, "step": self.step, "learning_rate": rate}
        row |= _columns("train", losses)
        row |= _columns("val", self._loss(validation) if due else None)
        self.seen, self.sums = 0, [0.0] * len(PARTS)
        self._add(row)

    def finish(self) -> None:
        """Load the weights to keep into the policy."""
        if self.patience is not None:
            self.policy.load_state_dict(self.best)
        elif self.averages is not None:
            self.averages.apply()

    def _validated_weights(self) -> AbstractContextManager[None]:
        return nullcontext() if self.averages is None else self.averages.applied()

    def _loss(self, crystals: Crystals) -> list[float] | None:
        if len(crystals) == 0:
            return None
        size = self.settings.batch_size
        with self._validated_weights():
            return mean_loss(
                self.policy, crystals, batch_size=size, room=self.room, parallel=self.parallel
            )

    def _add(self, row: dict[str, Any]) -> None:
        self.history.append(row)
        validated = row["val_loss"] is not None
        if validated and self.patience is not None and self.validations_since_best == 0:
            with self._validated_weights():
                self.best = {name: t.clone() for name, t in self.policy.state_dict().items()}
        if self.record is not None:
            self.record(row)
        if self.parallel.first:
            shown = [name for name in ("train_loss", "val_loss") if row[name] is not None]
            text = ", ".join(f"{name} {row[name]:.4f}" for name in shown)
            log.info("epoch %d, step %d: %s nats/crystal", row["epoch"], row["step"], text)


def _columns(split: str, losses: list[float] | None) -> dict[str, Any]:
    if losses is None:
        return {f"{split}_{name}": None for name in ("loss", *PARTS)}
    return {f"{split}_loss": sum(losses)} | {
        f"{split}_{part}": loss for part, loss in zip(PARTS, losses, strict=True)
    }
