"""Two processes: the second fails by itself while the first waits for it in a collective."""

import torch

from crystalformer_rl.jobs.parallel import join

MESSAGE = "no memory left in this one"

if __name__ == "__main__":
    with join("cpu") as parallel:
        if not parallel.first:
            raise MemoryError(MESSAGE)
        parallel.sum(torch.zeros(1))
