"""Tokens of 1.3 million crystals: what start-up and batches cost in time and memory.

    python benchmarks/tokens_at_scale.py --out FOLDER

makes a synthetic tokens file of the size of Alexandria in FOLDER (unless it is there), and measures
with it what ``pretrain`` does: open the file, count the sites, take the batches of an epoch.
Anonymous memory is what the process keeps for itself; pages of the mapped file belong to the
system's cache, which takes them back when memory is short.
"""

import argparse
import multiprocessing
import os
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from crystalformer_rl.crystal.packed import PackedTokens
from crystalformer_rl.files import map_tensors, write_tensors
from crystalformer_rl.seeds import file_digest
from crystalformer_rl.training.batches import epoch_batches

CRYSTALS = 1_300_000
MOST_SITES, SHARE = 20, 6 / 19
"""Sites are 1 + binomial(19, 6/19): 1 to 20, 7 on average."""
EPOCHS = (*[(100, 2000)] * 3, *[(8000, None)] * 5)
"""Size of the batches, and how many of the epoch to take (None: all)."""


def make(path: Path, crystals: int) -> None:
    """Write random crystals with letters, elements and space groups that exist somewhere."""
    random = np.random.default_rng(0)
    sites = 1 + random.binomial(MOST_SITES - 1, SHARE, crystals)
    total = int(sites.sum())
    packed = PackedTokens(
        space_group=random.integers(1, 231, crystals, dtype=np.uint8),
        offset=np.concatenate([[0], np.cumsum(sites)]),
        wyckoff=random.integers(1, 28, total, dtype=np.uint8),
        element=random.integers(1, 119, total, dtype=np.uint8),
        position=random.random((total, 3)),
        lattice=random.random((crystals, 6)) + 1,
    )
    write_tensors(path, packed.to_arrays() | {"row": np.arange(crystals)})


def memory() -> tuple[float, float]:
    """Anonymous memory and mapped pages of files, MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    sizes = dict(line.split(":", 1) for line in lines)
    anonymous, files = (int(sizes[name].split()[0]) / 1024 for name in ("RssAnon", "RssFile"))
    return anonymous, files


def report(rows: Iterable[tuple[str, int]]) -> None:
    """A line of the table per step: its time, and memory after it."""
    print(f"{'':44}{'seconds':>9}{'anonymous':>12}{'of files':>11}  (MiB)")
    before = time.perf_counter()
    for label, items in rows:
        seconds = time.perf_counter() - before
        anonymous, files = memory()
        speed = f"  {items / seconds:,.0f} crystals/s" if items else ""
        print(f"{label:44}{seconds:9.3f}{anonymous:12.1f}{files:11.1f}{speed}")
        before = time.perf_counter()


def steps(path: Path) -> Iterable[tuple[str, int]]:
    """Do what is measured, bit by bit."""
    yield "process with its imports", 0
    file_digest(path)
    yield "sha256 of the file, for its provenance", 0
    tokens = PackedTokens.from_arrays(map_tensors(path))
    yield "open", 0
    lengths = tokens.num_sites
    yield f"count the sites of {len(tokens):,} crystals", 0
    batches = epoch_batches(lengths, batch_size=100, seed=0)
    yield "order of an epoch", 0
    tokens[batches[0]]
    yield "first batch of 100", 0
    for epoch, (size, most) in enumerate(EPOCHS, 1):
        batches = epoch_batches(lengths, batch_size=size, seed=epoch)[:most]
        for batch in batches:
            tokens[batch]
        yield f"epoch {epoch}: {len(batches)} batches of {size}", sum(map(len, batches))


def main() -> None:
    """Make the file if need be, then measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the synthetic file")
    parser.add_argument("--crystals", type=int, default=CRYSTALS)
    arguments = parser.parse_args()
    path = arguments.out / f"tokens-{arguments.crystals}.safetensors"
    if not path.exists():  # in a process of its own, whose memory does not count
        maker = multiprocessing.get_context("spawn").Process(
            target=make, args=(path, arguments.crystals)
        )
        maker.start()
        maker.join()
    print(f"{path}: {path.stat().st_size / 2**20:.0f} MiB, {os.cpu_count()} cores")
    report(steps(path))


if __name__ == "__main__":
    main()
