"""The host's share of a single point with CHGNet: milliseconds of one core per crystal.

    python benchmarks/host.py [--samples 128] [--repetitions 15]

It screens samples of mp20-small and builds their graphs in batches of 96 atoms, as a potential does
before the network computes. The smallest and the median of the repetitions are printed.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.crystal.decoding import decode
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.model.prompts import prompt_probabilities, sample_space_groups
from crystalformer_rl.potentials.base import screen
from crystalformer_rl.potentials.batching import ATOMS_ON_CPU, BatchSize
from crystalformer_rl.potentials.chgnet import Chgnet
from crystalformer_rl.potentials.chgnet_graph import graph_of

POLICY = Path(__file__).parents[1] / "resources" / "pretrained" / "mp20-small"
CUTOFF, SHORT_CUTOFF = 6.0, 3.0  # Å, those of CHGNet 0.3.0


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--samples", type=int, default=128)
    parser.add_argument("--repetitions", type=int, default=15)
    args = parser.parse_args()
    torch.set_num_threads(1)
    potential = Chgnet()
    cells = samples(args.samples, potential)
    screening, graphs = [], []
    for _ in range(args.repetitions):
        start = time.process_time()
        for cell in cells:
            screen(potential, cell)
        middle = time.process_time()
        for batch in batches(cells):
            graph_of(batch, cutoff=CUTOFF, short_cutoff=SHORT_CUTOFF, device=torch.device("cpu"))
        screening.append(middle - start)
        graphs.append(time.process_time() - middle)
    atoms = np.mean([len(cell) for cell in cells])
    print(f"{len(cells)} crystals of {atoms:.1f} atoms, ms per crystal: smallest, median")
    for name, seconds in (("screening", screening), ("graph", graphs)):
        each = 1000 * np.array(seconds) / len(cells)
        print(f"{name:9}  {each.min():.3f}  {np.median(each):.3f}")


def samples(count: int, potential: Chgnet) -> list[Cell]:
    """Samples of the policy that pass the screen."""
    policy = Policy.load(POLICY)
    prompts = prompt_probabilities(policy.space_group_counts, None, "training")
    tokens = policy.sample(sample_space_groups(prompts, 2 * count, seed=0), seed=0).tokens
    cells = [one.cell for one in decode(tokens)]
    kept = [cell for cell in cells if cell is not None and screen(potential, cell) is None]
    return kept[:count]


def batches(cells: Sequence[Cell]) -> Iterator[Sequence[Cell]]:
    """The batches in which a potential evaluates the crystals on a CPU."""
    size = BatchSize(ATOMS_ON_CPU, grows=False)
    while cells:
        yield (batch := size.take(cells))
        cells = cells[len(batch) :]


if __name__ == "__main__":
    main()
