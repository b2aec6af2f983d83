"""Likelihood training of a policy: pretraining on a dataset, and fine-tuning on kept samples."""

import logging
from collections.abc import Callable, Iterable
from typing import Any

from crystalformer_rl.config import OptimiserSettings
from crystalformer_rl.jobs.device import missing_for_compiling
from crystalformer_rl.jobs.loop import Loop
from crystalformer_rl.jobs.parallel import SINGLE, Parallel
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.seeds import derive_seed
from crystalformer_rl.training.batches import Crystals, Indices, epoch_batches
from crystalformer_rl.training.fit_state import FitState
from crystalformer_rl.training.losses import finite

Row = dict[str, Any]
Track = Callable[[Iterable[int]], Iterable[int]]

COMPILED_FROM = 1000
"""Steps from which compilation is worth its time, which is about a minute."""

log = logging.getLogger(__name__)


def fit(
    policy: Policy,
    train: Crystals,
    validation: Crystals,
    *,
    settings: OptimiserSettings,
    seed: int,
    loop: Loop,
    name_of: Callable[[int], str],
    validate_every: int = 1,
    patience: int | None = None,
    parallel: Parallel = SINGLE,
    track: Track = iter,
    record: Callable[[Row], None] | None = None,
) -> list[Row]:
    """Minimise the negative log-likelihood of ``train`` in place; return the history.

    Adam with linear warm-up to a learning rate that is proportional to the batch size and then
    constant or falling (``settings.schedule``), and a clipped gradient norm. Batches contain
    crystals of similar length and change with every epoch. Every step seeds its own dropout, so
    that a resumed training equals an uninterrupted one, bit for bit on a CPU. A step computes as
    many tokens at once as fit into memory and sums the gradients. On a GPU the blocks run in
    bfloat16 autocast, and are compiled for a long training. With ``settings.ema_decay`` the moving
    averages of the weights are validated and kept
    (:class:`crystalformer_rl.training.averages.Averages`).

    Parameters
    ----------
    validation
        Scored without dropout at the start, on schedule and after the last epoch; may be empty.
    name_of
        Name of a training crystal by its index, for messages.
    validate_every
        Epochs between validations.
    patience
        Stop after this number of validations without a better loss, and restore the best weights.
        None: train all epochs and keep the last weights.
    parallel
        The processes that share every batch. All call this function with the same arguments and
        return the same history; the weights of process 0 are broadcast at the start.
    track
        Wraps the range of steps, for example with a progress bar.
    record
        Called with each new row of the history.

    Returns
    -------
    list of dict
        One row per epoch: epoch, step, learning_rate, train_loss and train_PART (mean over the
        epoch's steps), val_loss and val_PART, all in nats per crystal; None where not computed.
        Row 0 is the start: its validation loss or, without a validation set, its training loss.

    Raises
    ------
    ValueError
        If there are no training crystals, if patience is given without validation crystals, or if
        a validation loss is not finite.
    DivergedError
        If a training loss or a gradient is not finite.
    Interrupted
        If the job received a request to stop.
    """
    if len(train) == 0:
        raise ValueError("no crystals to train on: see rejected.parquet of the tokenize stage")
    if patience is not None and len(validation) == 0:
        raise ValueError("patience needs validation crystals, but there are none")
    parallel.broadcast(policy.state_dict().values())
    lengths, size = train.num_sites, settings.batch_size
    per_epoch = -(-len(train) // size)
    state = FitState(
        policy,
        settings=settings,
        seed=seed,
        validate_every=validate_every,
        patience=patience,
        parallel=parallel,
        record=record,
        total=settings.epochs * per_epoch,
    )
    if (checkpoint := loop.resume()) is not None:
        state.restore(checkpoint)
    parallel.check_same_step(state.step)
    if parallel.device.type == "cuda" and state.total - state.step >= COMPILED_FROM:
        _compile(policy)
    if not state.history:
        state.start(train, validation)
    batches: list[Indices] = []
    for step in track(range(state.step, state.total)):
        if state.out_of_patience:
            log.info("early stop: no better validation loss in %d validations", patience)
            break
        epoch, position = divmod(step, per_epoch)
        if not batches or position == 0:
            epoch_seed = derive_seed(seed, "epoch", epoch)
            batches = epoch_batches(lengths, batch_size=size, seed=epoch_seed)
        indices = batches[position]
        share = train[parallel.share(indices)]
        fault = state.advance(share, batch=len(indices), stop=loop.wants_to_stop)
        if fault is not None:
            good = finite(policy, train[indices], room=state.room)
            wrong, right = indices[~good].tolist(), indices[good].tolist()
            names = [f"{name_of(index)} (not finite by itself)" for index in wrong]
            names += map(name_of, right)
            raise loop.diverged(fault, step, names, state.checkpoint())
        if position == per_epoch - 1:
            state.end_epoch(epoch + 1, validation)
        loop.step_done(state.step, state.checkpoint, stop=state.stop)
    state.finish()
    return state.history


def _compile(policy: Policy) -> None:
    """Compile the blocks, or warn that this machine cannot; the training then runs without."""
    if (missing := missing_for_compiling()) is not None:
        log.warning("the network is not compiled, and slower: this machine lacks %s", missing)
        return
    policy.network.compile_blocks()
