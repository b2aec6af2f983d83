"""Verbs as real processes, and the arguments of a pretraining that takes a second."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from crystalformer_rl.config import ModelSettings, PretrainSettings
from crystalformer_rl.crystal.packed import PackedTokens
from crystalformer_rl.files import write_tensors
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.stages import pretrain
from helpers.cli import run_verb
from helpers.policies import TINY

TIMEOUT = 600


def torchrun(processes: int) -> list[str]:
    """The words before a program that start it in several processes."""
    module = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return [*module, f"--nproc-per-node={processes}"]


TORCHRUN = torchrun(2)


def in_processes(processes: int, program: str, folder: Path, *words: str, kind: str = "cpu") -> str:
    """Run a program of the helpers on ``folder`` in several processes; what they said.

    With ``kind="cuda"`` each has a pretend GPU, and the program is told so by a further word.
    """
    gpu, words = (["-m", "helpers.pretend_gpu"], (*words, kind)) if kind == "cuda" else ([], words)
    helpers = Path(__file__).parent
    paths = os.pathsep.join([str(helpers.parent), *sys.path])
    process = subprocess.Popen(
        [*torchrun(processes), *gpu, str(helpers / program), str(folder), *words],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _, said = process.communicate(timeout=TIMEOUT)
    finally:
        # Torchrun takes its processes with it.
        process.terminate()
        process.wait()
    assert process.returncode == 0, said
    return said


def write_tokens(folder: Path) -> None:
    """What the tokenize stage leaves in ``folder``: 26 crystals to train on and 4 to validate."""
    tokens = Policy(TINY, seed=2).sample(np.repeat([2, 62, 225], 10), seed=3).tokens
    for split, part in (("train", tokens[:26]), ("val", tokens[26:])):
        arrays = PackedTokens.from_tokens(part).to_arrays() | {"row": np.arange(len(part))}
        write_tensors(folder / f"tokens-{split}.safetensors", arrays)


def pretrain_arguments(
    folder: Path, *, out: str, settings: PretrainSettings, model: ModelSettings = TINY
) -> list[str]:
    """Arguments of the verb ``pretrain`` for tokens in ``folder / "tokenize"``."""
    values = {
        "settings": settings.model_dump_json(),
        "model": model.model_dump_json(),
        "tokens": folder / "tokenize",
        "seed": 3,
        "checkpoints": folder / "checkpoints" / out,
        "out": folder / out,
    }
    return [f"--{name}={value}" for name, value in values.items()]


def run_pretrain(args: list[str]) -> None:
    """The stage, in this process."""
    run_verb(pretrain, args)


def start(verb: str, args: list[str], launcher: list[str] | None = None) -> subprocess.Popen[str]:
    """The verb as a process of its own, or as those that ``launcher`` starts."""
    return _start([*(launcher or [sys.executable]), "-m", "crystalformer_rl", verb], args)


def interrupted(
    verb: str,
    args: list[str],
    *,
    by: signal.Signals,
    after: str,
    launcher: list[str] | None = None,
) -> tuple[int, str]:
    """Exit code and log of the same, which a signal meets as soon as the log says ``after``."""
    signalling = str(Path(__file__).with_name("signalling.py"))
    words = [*(launcher or [sys.executable]), signalling, by.name, after, verb]
    return end(_start(words, args))


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code of the process, once it has ended, and its log."""
    try:
        _, said = process.communicate(timeout=TIMEOUT)
    finally:
        process.kill()
    return process.returncode, said


def _start(words: list[str], args: list[str]) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [*words, "--threads=1", *args]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
