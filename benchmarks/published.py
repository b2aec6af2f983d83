"""Speed of the published JAX code, measured by a Python that has it installed.

    PYTHON benchmarks/published.py TASK

TASK is JSON: settings of the model, site counts of each batch, number of samples. Needs jax,
dm-haiku, optax and the package crystalformer (its v0.4.2). Prints one JSON object. It is called by
``model.py``; nothing of this project is imported here.
"""

import json
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from crystalformer.src.loss import make_loss_fn
from crystalformer.src.sample import sample_crystal
from crystalformer.src.transformer import make_transformer

ATOM_TYPES, LETTERS = 119, 28


def main() -> None:
    """Training steps on given site counts, and samples of space group 1."""
    task = json.loads(sys.argv[1])
    size, sites = task["settings"], task["settings"]["max_sites"]
    key = jax.random.PRNGKey(0)
    parameters, transformer = make_transformer(
        key,
        size["frequencies"],
        size["coordinate_modes"],
        size["lattice_modes"],
        sites,
        size["first_letter_hidden"],
        size["layers"],
        size["heads"],
        size["key_size"],
        size["width"],
        size["embedding"],
        ATOM_TYPES,
        LETTERS,
        size["dropout"],
    )
    loss, _ = make_loss_fn(
        sites,
        ATOM_TYPES,
        LETTERS,
        size["coordinate_modes"],
        size["lattice_modes"],
        transformer,
    )
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-4))
    state = optimiser.init(parameters)

    @jax.jit
    def step(parameters, state, key, batch):
        gradient = jax.grad(lambda p: loss(p, key, *batch, True)[0])(parameters)
        updates, state = optimiser.update(gradient, state, parameters)
        return optax.apply_updates(parameters, updates), state

    batches = [_batch(np.array(lengths), sites) for lengths in task["batches"]]
    parameters, state = jax.block_until_ready(step(parameters, state, key, batches[0]))
    start = time.perf_counter()
    for batch in batches:
        parameters, state = step(parameters, state, key, batch)
    jax.block_until_ready(parameters)
    training = sum(map(len, task["batches"])) / (time.perf_counter() - start)

    def draw(key):
        return sample_crystal(
            key,
            transformer,
            parameters,
            sites,
            task["samples"],
            ATOM_TYPES,
            LETTERS,
            size["coordinate_modes"],
            size["lattice_modes"],
            1,
            None,
            jnp.ones((sites, ATOM_TYPES)),
            1.0,
            1.0,
            1.0,
            jnp.arange(sites),
        )

    if not task["samples"]:
        print(json.dumps({"training": training, "sampling": None}))
        return
    # Compiled ahead, so that the one call that is timed is not one of two.
    compiled = jax.jit(draw).lower(key).compile()
    start = time.perf_counter()
    jax.block_until_ready(compiled(key))
    sampling = task["samples"] / (time.perf_counter() - start)
    print(json.dumps({"training": training, "sampling": sampling}))


def _batch(lengths, sites):
    """Random crystals of space group 1."""
    generator = np.random.default_rng(0)
    real = np.arange(sites) < lengths[:, None]
    count = len(lengths)
    return (
        jnp.ones(count, dtype=int),
        jnp.tile(jnp.array([1.8, 1.8, 1.8, 1.57, 1.57, 1.57]), (count, 1)),
        jnp.array(generator.random((count, sites, 3)) * real[..., None]),
        jnp.array(generator.integers(1, 100, (count, sites)) * real),
        jnp.array(real.astype(int)),
    )


if __name__ == "__main__":
    main()
