"""Speed of training and sampling at the published size, in one run on one machine.

    python benchmarks/model.py                                  # against the plain version
    python benchmarks/model.py --jax PYTHON                     # and the published JAX code
    python benchmarks/model.py --device cuda --batch 1000 --samples 50000

PYTHON has jax, dm-haiku, optax and the package crystalformer. Crystals are random, of space group
1, with the site counts of MP-20 (or 1–7 with --sites short); sampled ones have geometric lengths of
MP-20's mean, as an untrained network has none of its own. The floor counts the multiplications of
the matrices and the attention, and takes the speed of one large matrix product as the peak.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import padded
import torch
from crystals import random_crystals
from numpy.typing import NDArray

from crystalformer_rl.config import ModelSettings
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.training.batches import epoch_batches

PUBLISHED = ModelSettings(
    layers=16,
    heads=16,
    key_size=64,
    width=64,
    embedding=32,
    first_letter_hidden=256,
    max_sites=21,
    dropout=0.1,
)
# Crystals of MP-20's training set by number of sites, from 0.
MP20 = (
    *(0, 142, 2669, 8911, 5143, 2798, 2092, 1119, 833, 680, 507),
    *(232, 389, 64, 125, 74, 97, 28, 127, 43, 172),
)
SHORT = (0, *([1] * 7))
# Most crystals of a step of the plain version, which needs 36 to 48 MB for each on a GPU.
PLAIN = 250


def main() -> None:
    """Print a table of what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--batch", type=int, default=100, help="crystals of a training step")
    parser.add_argument("--steps", type=int, default=10, help="training steps that are timed")
    parser.add_argument("--samples", type=int, default=500, help="crystals that are sampled")
    parser.add_argument("--sites", choices=["mp20", "short"], default="mp20")
    parser.add_argument("--jax", metavar="PYTHON", help="Python with the published code")
    parser.add_argument("--jax-samples", type=int, default=20)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    counts = np.array(MP20 if args.sites == "mp20" else SHORT)
    drawn = np.random.default_rng(0).choice(
        len(counts), size=args.batch * args.steps, p=counts / counts.sum()
    )
    lengths = [drawn[rows] for rows in epoch_batches(drawn, batch_size=args.batch, seed=0)]
    mean = drawn.mean()
    print(f"{PUBLISHED.layers} layers, {Policy(PUBLISHED).num_parameters} parameters; {device},")
    print(f"{args.threads} threads; {args.steps} steps of {args.batch}, {mean:.2f} sites a crystal")
    peak = _peak(device)
    print(f"peak of a matrix product: {peak / 1e9:.0f} GFLOP/s\n")
    print(f"{'':34}{'crystals/s':>12}{'tokens/s':>12}{'x floor':>9}")
    tokens = 5 * mean + 1
    floor = peak / (3 * _operations(PUBLISHED, mean))
    shares = [(1, args.threads)]
    if device.type == "cpu" and args.threads > 1:
        shares.append((args.threads, 1))
    rates = []
    for processes, threads in shares:
        found = _training(
            drawn, batch=args.batch, device=args.device, processes=processes, threads=threads
        )
        rates.append(found["rate"])
        _line(f"training, {processes} x {threads} threads", found["rate"], tokens, floor)
        print(f"    peak memory of a process {found['memory']:.2f} GB")
    ours = max(rates)
    parts = [rows[:PLAIN] for rows in lengths[: max(1, args.steps // 5)]]
    plain = _plain_training(_policy(device), parts, device)
    _line(f"training, padded and plain, by {len(parts[0])}", plain, tokens, floor)
    floor = peak / _operations(PUBLISHED, mean)
    sampled = _sampling(_policy(device), args.samples, mean, device)
    _line("sampling", sampled, tokens, floor)
    plain_sampled = _plain_sampling(_policy(device), min(args.samples, args.jax_samples), device)
    _line("sampling, padded and plain", plain_sampled, tokens, floor)
    print(
        f"\ntraining {ours / plain:.1f} times, sampling {sampled / plain_sampled:.0f} times plain"
    )
    if args.jax:
        # One length for all: what was shuffled for us is padded for it.
        published = _published(args.jax, drawn[: 2 * args.batch].reshape(2, -1), args.jax_samples)
        print(
            f"published JAX code: training {published['training']:.2f}/s, "
            f"sampling {published['sampling']:.3f}/s"
        )
        print(
            f"training {ours / published['training']:.1f} times, "
            f"sampling {sampled / published['sampling']:.0f} times the published code"
        )
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")
    if device.type == "cuda":
        print(f"peak memory of the GPU {torch.cuda.max_memory_allocated() / 1e9:.2f} GB")


def _policy(device: torch.device) -> Policy:
    return Policy(PUBLISHED, seed=1).to(device)


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _steps(
    policy: Policy, losses: list[Callable[[], torch.Tensor]], crystals: int, device: torch.device
) -> float:
    """Crystals per second of optimiser steps, after one that is not timed."""
    policy.train()
    optimiser = torch.optim.Adam(policy.parameters(), lr=1e-4)

    def step(loss: Callable[[], torch.Tensor]) -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            value = loss()
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        optimiser.step()

    for loss in losses if device.type == "cuda" else losses[:1]:
        step(loss)
    return crystals / _seconds(lambda: [step(loss) for loss in losses], device)


def _training(
    sites: NDArray[np.int64], *, batch: int, device: str, processes: int, threads: int
) -> dict[str, float]:
    """What ``training.py`` measures."""
    task = {
        "settings": PUBLISHED.model_dump(mode="json"),
        "sites": sites.tolist(),
        "batch": batch,
        "device": device,
        "threads": threads,
    }
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return _run([sys.executable, *(torchrun if processes > 1 else [])], "training.py", task)


def _plain_training(
    policy: Policy, lengths: list[NDArray[np.int64]], device: torch.device
) -> float:
    losses = []
    for part in lengths:
        tokens = random_crystals(part).pad_to(PUBLISHED.max_sites)
        batch = {
            "group": torch.tensor(tokens.space_group, device=device),
            "letter": torch.tensor(tokens.wyckoff, device=device),
            "element": torch.tensor(tokens.element, device=device),
            "position": torch.tensor(tokens.position, dtype=torch.float32, device=device),
            "lattice": torch.tensor(tokens.lattice, dtype=torch.float32, device=device),
        }
        losses.append(lambda b=batch: -padded.log_prob(policy, b).mean())
    return _steps(policy, losses, sum(map(len, lengths)), device)


def _sampling(policy: Policy, count: int, mean: float, device: torch.device) -> float:
    """Crystals per second; the letter's output says nothing but that the pad has 1 / mean."""
    with torch.no_grad():
        policy.network.out.weight.zero_()
        policy.network.out.bias[0] = -np.log(mean - 1)
    groups = np.ones(count, dtype=np.int64)
    policy.sample(groups[:64], seed=1)
    return count / _seconds(lambda: policy.sample(groups, seed=2), device)


def _plain_sampling(policy: Policy, count: int, device: torch.device) -> float:
    group = torch.ones(count, dtype=torch.long, device=device)
    return count / _seconds(lambda: padded.sample(policy, group, seed=1), device)


def _published(python: str, lengths: NDArray[np.int64], samples: int) -> dict[str, float]:
    task = {
        "settings": PUBLISHED.model_dump(mode="json"),
        "batches": lengths.tolist(),
        "samples": samples,
    }
    return _run([python], "published.py", task)


def _run(python: list[str], script: str, task: dict[str, Any]) -> dict[str, float]:
    """The last line that a script of this folder prints, which is JSON."""
    words = [*python, str(Path(__file__).with_name(script)), json.dumps(task)]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _operations(settings: ModelSettings, sites: float) -> float:
    """Multiplications and additions of one crystal, forward: blocks and causal attention."""
    inner, tokens = settings.heads * settings.key_size, 5 * sites + 1
    matrices = settings.width * (4 * inner + 2 * settings.widening * settings.width)
    attention = inner * (tokens + 1)
    return 2 * settings.layers * tokens * (matrices + attention)


def _peak(device: torch.device) -> float:
    """Operations per second of a large matrix product, in the precision of training."""
    kind = torch.bfloat16 if device.type == "cuda" else torch.float32
    size = 8192 if device.type == "cuda" else 1024
    a = torch.randn(size, size, device=device, dtype=kind)
    for _ in range(3):
        a @ a
    return 10 * 2 * size**3 / _seconds(lambda: [a @ a for _ in range(10)], device)


def _line(name: str, rate: float, tokens: float, floor: float) -> None:
    print(f"{name:34}{rate:12.1f}{rate * tokens:12.0f}{floor / rate:9.1f}")


if __name__ == "__main__":
    main()
