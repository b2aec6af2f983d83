"""Likelihood training of a policy: pretraining on a dataset, and fine-tuning on kept samples."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from crystalformer_rl.config import OptimiserSettings
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.provenance import derive_seed
from crystalformer_rl.training.batches import Indices, epoch_batches, length_batches
from crystalformer_rl.training.checkpoints import (
    Checkpoint,
    restore_training,
    training_tensors,
    with_prefix,
)
from crystalformer_rl.training.loop import Loop

PARTS = ("wyckoff", "element", "position", "lattice")

Row = dict[str, Any]
Track = Callable[[Iterable[int]], Iterable[int]]

log = logging.getLogger(__name__)


def fit(
    policy: Policy,
    train: CrystalTokens,
    validation: CrystalTokens,
    *,
    settings: OptimiserSettings,
    seed: int,
    loop: Loop,
    ids: Sequence[str | int],
    patience: int | None = None,
    track: Track = iter,
) -> list[Row]:
    """Minimise the negative log-likelihood of ``train`` in place; return the history.

    Adam with linear warm-up to a constant rate and clipped gradient norm (FACTS §3). Batches hold
    crystals of similar length, another set in each epoch. Every step seeds its own dropout, so
    that a continued training equals one that never stopped, bit for bit on a CPU. On a GPU the
    network runs in bfloat16 autocast.

    Parameters
    ----------
    validation
        Scored after each epoch without dropout; may be empty.
    ids
        Names of the training crystals, for messages.
    patience
        Stop after so many epochs without a better validation loss, and return to the best
        weights. None: all epochs, last weights.
    track
        Wraps the range of steps, such as with a progress bar.

    Returns
    -------
    list of dict
        One row per epoch: epoch, step, learning_rate, train_loss and train_PART (mean over the
        epoch's steps), val_loss and val_PART, all in nats per crystal, None where there is none.
        Row 0 is the start: its validation loss, and where there is no validation set the training
        crystals' loss.

    Raises
    ------
    ValueError
        If there is no training crystal, or patience is given without validation crystals.
    DivergedError
        If a loss or a gradient is not finite.
    Interrupted
        If the job was told to stop.
    """
    if len(train) == 0:
        raise ValueError("no crystal to train on: see rejected.parquet of the tokenize stage")
    if patience is not None and len(validation) == 0:
        raise ValueError("patience needs validation crystals; there are none")
    run = _Fit(policy, settings=settings, seed=seed, patience=patience)
    if (checkpoint := loop.resume()) is not None:
        run.restore(checkpoint)
    else:
        run.start(train, validation)
    lengths, size = train.num_sites, settings.batch_size
    per_epoch = -(-len(train) // size)
    batches: list[Indices] = []
    for step in track(range(run.step, settings.epochs * per_epoch)):
        if run.out_of_patience:
            log.info("early stop: no better validation loss in %d epochs", patience)
            break
        epoch, position = divmod(step, per_epoch)
        if not batches or position == 0:
            epoch_seed = derive_seed(seed, "epoch", epoch)
            batches = epoch_batches(lengths, batch_size=size, seed=epoch_seed)
        indices = batches[position]
        if (fault := run.advance(train[indices])) is not None:
            raise loop.diverged(fault, step, [str(ids[i]) for i in indices], run.state())
        if position == per_epoch - 1:
            run.end_epoch(epoch + 1, validation)
        loop.step_done(run.step, run.state)
    if patience is not None:
        policy.load_state_dict(run.best)
    return run.history


def mean_loss(policy: Policy, tokens: CrystalTokens, *, batch_size: int) -> list[float]:
    """Negative log-likelihood by part (wyckoff, element, position, lattice), without dropout.

    Nats per crystal.
    """
    policy.eval()
    sums = torch.zeros(len(PARTS), dtype=torch.float64)
    with torch.no_grad():
        for indices in length_batches(tokens.num_sites, batch_size=batch_size):
            parts = _log_prob_parts(policy, tokens[indices])
            sums -= parts.double().sum(dim=1).cpu()
    losses: list[float] = (sums / len(tokens)).tolist()
    return losses


@dataclass
class _Fit:
    """A training in progress: everything that decides how it goes on."""

    policy: Policy
    settings: OptimiserSettings
    seed: int
    patience: int | None
    step: int = 0
    seen: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0] * len(PARTS))
    history: list[Row] = field(default_factory=list)
    best: dict[str, torch.Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.optimiser = torch.optim.Adam(self.policy.parameters(), lr=self.rate)

    @property
    def rate(self) -> float:
        """Learning rate of the coming step."""
        warm = min(1.0, (self.step + 1) / max(self.settings.warmup_steps, 1))
        return self.settings.learning_rate * warm

    @property
    def epochs_since_best(self) -> int:
        losses = [row["val_loss"] for row in self.history]
        return len(losses) - 1 - losses.index(min(losses))

    @property
    def out_of_patience(self) -> bool:
        return self.patience is not None and self.epochs_since_best >= self.patience

    def state(self) -> Checkpoint:
        tensors = training_tensors(self.policy, self.optimiser)
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        names = ("step", "seen", "sums", "history")
        return Checkpoint(tensors, {name: getattr(self, name) for name in names})

    def restore(self, checkpoint: Checkpoint) -> None:
        restore_training(checkpoint, self.policy, self.optimiser)
        self.best = with_prefix(checkpoint.tensors, "best.")
        for name, value in checkpoint.values.items():
            setattr(self, name, value)

    def start(self, train: CrystalTokens, validation: CrystalTokens) -> None:
        """Row 0 of the history."""
        losses = None if len(validation) else self._loss(train)
        row: Row = {"epoch": 0, "step": 0, "learning_rate": None} | _columns("train", losses)
        self._add(row | _columns("val", self._loss(validation)))

    def advance(self, tokens: CrystalTokens) -> str | None:
        """One optimiser step, or what was not finite; then nothing has changed."""
        self.policy.train()
        torch.manual_seed(derive_seed(self.seed, "dropout", self.step))
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate
        parts = _log_prob_parts(self.policy, tokens)
        loss = -parts.sum() / len(tokens)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.settings.clip_norm)
        if not torch.isfinite(loss + norm):
            return "the gradient" if torch.isfinite(loss) else "the loss"
        self.optimiser.step()
        sums = parts.detach().double().sum(dim=1).tolist()
        self.sums = [total - part for total, part in zip(self.sums, sums, strict=True)]
        self.seen += len(tokens)
        self.step += 1
        return None

    def end_epoch(self, epoch: int, validation: CrystalTokens) -> None:
        rate = self.optimiser.param_groups[0]["lr"]
        losses = [total / self.seen for total in self.sums]
        row: Row = {"epoch": epoch, "step": self.step, "learning_rate": rate}
        row |= _columns("train", losses) | _columns("val", self._loss(validation))
        self.seen, self.sums = 0, [0.0] * len(PARTS)
        self._add(row)

    def _loss(self, tokens: CrystalTokens) -> list[float] | None:
        if len(tokens) == 0:
            return None
        return mean_loss(self.policy, tokens, batch_size=self.settings.batch_size)

    def _add(self, row: Row) -> None:
        self.history.append(row)
        if self.patience is not None and self.epochs_since_best == 0:
            self.best = {name: t.clone() for name, t in self.policy.state_dict().items()}
        shown = {name: row[name] for name in ("train_loss", "val_loss") if row[name] is not None}
        text = ", ".join(f"{name} {value:.4f}" for name, value in shown.items())
        log.info("epoch %d, step %d: %s nats/crystal", row["epoch"], row["step"], text)


def _log_prob_parts(policy: Policy, tokens: CrystalTokens) -> torch.Tensor:
    """(4, B) log-probabilities by part."""
    device = next(policy.parameters()).device
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
        scores = policy.log_prob(tokens)
    return torch.stack([getattr(scores, part) for part in PARTS])


def _columns(split: str, losses: list[float] | None) -> Row:
    if losses is None:
        return {f"{split}_{name}": None for name in ("loss", *PARTS)}
    return {f"{split}_loss": sum(losses)} | {
        f"{split}_{part}": loss for part, loss in zip(PARTS, losses, strict=True)
    }
