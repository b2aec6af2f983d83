"""The common part of the training stages: arguments, device, interruption, results."""

import argparse
import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from pydantic import BaseModel

from crystalformer_rl.config import RewardSettings, canonical
from crystalformer_rl.files import write_table
from crystalformer_rl.jobs.checkpoints import Checkpoints
from crystalformer_rl.jobs.fingerprint import fingerprint
from crystalformer_rl.jobs.loop import Loop
from crystalformer_rl.jobs.parallel import Parallel
from crystalformer_rl.jobs.progress import progress
from crystalformer_rl.jobs.provenance import Provenance
from crystalformer_rl.jobs.tensorboard import TensorBoard
from crystalformer_rl.seeds import file_digest

COUNTERS = ("epoch", "step", "round")

log = logging.getLogger(__name__)


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of every training stage."""
    parser.add_argument("--settings", required=True, help="the section, as JSON")
    parser.add_argument("--seed", type=int, required=True, help="seed of the run")
    parser.add_argument("--checkpoints", type=Path, required=True, help="folder for checkpoints")
    parser.add_argument(
        "--minutes",
        type=float,
        default=None,
        help="time limit of the job; stops before it with a checkpoint and exit code 75",
    )
    parser.add_argument(
        "--checkpoint-minutes", type=float, default=10, help="minutes between checkpoints"
    )
    parser.add_argument(
        "--tensorboard", type=Path, help="also write TensorBoard files into this folder"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")


class Training:
    """One training stage: its dependencies, device, loop and results.

    Parameters
    ----------
    stage
        Name of the stage.
    args
        Parsed arguments of :func:`add_training_arguments`.
    sections
        The settings it depends on, by name.
    names
        Distinguishes trainings with the same settings and inputs, such as rounds.
    seed
        Derived seed.
    inputs
        Input files.
    reward
        The settings of the reward that the stage loads, if any.
    parallel
        The processes that share the work.
    """

    def __init__(
        self,
        stage: str,
        args: argparse.Namespace,
        *,
        sections: Mapping[str, BaseModel],
        inputs: Mapping[str, Path | list[Path]],
        seed: int,
        parallel: Parallel,
        names: Mapping[str, Any] | None = None,
        reward: RewardSettings | None = None,
    ) -> None:
        self._parallel = parallel
        self.device = self._parallel.device
        cuda = self.device.type == "cuda"
        log.info("device: %s", torch.cuda.get_device_name(self.device) if cuda else "cpu")
        settings: dict[str, Any] = {n: s.model_dump(mode="json") for n, s in sections.items()}
        settings |= names or {}
        self._stage, self._out, self._steps = stage, Path(args.out), 0
        module = f"crystalformer_rl.stages.{stage}"
        self._provenance = Provenance(
            module,
            settings=settings,
            inputs=inputs,
            seed=seed,
            device=self.device.type,
            reward=reward,
        )
        key = {
            "settings": {name: canonical(section) for name, section in sections.items()},
            "names": dict(names or {}),
            "seed": seed,
            "inputs": {name: _digests(paths) for name, paths in inputs.items()},
        }
        code = fingerprint(module, reward=reward)
        store = Checkpoints(args.checkpoints, key=key, code=code)
        self.loop = Loop(
            store,
            checkpoint_minutes=args.checkpoint_minutes,
            limit_minutes=args.minutes,
            parallel=self._parallel,
        )
        wanted = args.tensorboard is not None and self._parallel.first
        self._tensorboard = TensorBoard(args.tensorboard) if wanted else None

    def track(self, steps: Iterable[int]) -> Iterator[int]:
        """The steps, with a progress bar in the first process; counts the steps of this job."""
        for step in progress(steps, label=self._stage) if self._parallel.first else steps:
            yield step
            self._steps += 1

    def record(self, row: Mapping[str, Any]) -> None:
        """Write a new row of the history for TensorBoard, if requested."""
        if self._tensorboard is not None:
            self._tensorboard.add(row)

    def finish(
        self, history: list[dict[str, Any]], *, steps: int, items: int, **counts: float | str
    ) -> None:
        """Write history and provenance next to the policy, and delete all but the last checkpoint.

        Only the first process writes. The workflow deletes the last checkpoint at the end of the
        run (jobs/cleanup.py).

        Parameters
        ----------
        steps, items
            Steps and crystals of all jobs of this training. The provenance counts those of this job
            only, so that its throughput is right after an interruption.
        """
        if not self._parallel.first:
            return
        table = pd.DataFrame(history)
        kinds = {name: "int64" if name in COUNTERS else "float64" for name in table.columns}
        write_table(self._out / "history.parquet", table.astype(kinds))
        counts |= {"steps": steps, "steps_of_this_job": self._steps}
        counts["processes"] = self._parallel.size
        counts["items"] = round(items * self._steps / max(steps, 1))
        self._provenance.write(self._out / "provenance.json", **counts)
        self.loop.finish()


def _digests(paths: Path | list[Path]) -> list[str]:
    return [file_digest(path) for path in (paths if isinstance(paths, list) else [paths])]
