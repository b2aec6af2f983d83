"""``sample``: sample crystals from a policy.

examples:
  100 crystals in the rock-salt group, from the shipped policy
    crystalformer-rl sample --policy mp20-small --space-group 225 -n 100
  space groups as frequent as in the training set, written as a folder of CIFs
    crystalformer-rl sample --policy results/default/pretrain -n 500 --out crystals
  all 230 space groups equally often, without radioactive elements and noble gases
    crystalformer-rl sample --policy mp20-small -n 460 --uniform \\
        --exclude-radioactive --exclude-noble-gases
  iron oxides, optionally with cobalt, with at most 10 atoms
    crystalformer-rl sample --policy mp20-small --elements Fe Co O --require Fe O --max-atoms 10
  a cubic perovskite with chosen elements on each site
    crystalformer-rl sample --policy mp20-small --space-group 221 --wyckoff a b c \\
        --site-elements Ca,Sr,Ba Ti,Zr O --out perovskites.extxyz
  more probable crystals, with more variety in the first element
    crystalformer-rl sample --policy mp20-small --space-group 194 --temperature 0.7 --top-p 0.95 \\
        --first-element-temperature 1.5 --out hexagonal.zip
  element substitution in a known structure (see crystalformer-rl chain --help)
    crystalformer-rl chain --policy mp20-small --template NaCl.cif --move elements -n 50
    crystalformer-rl chain --policy mp20-small --template TiO2.cif --steps 200 --width 0.05
  biased by a reward
    crystalformer-rl chain --policy mp20-small --template NaCl.cif --reward ehull \\
        --hull results/default/hull --tau 0.1

Constraints (elements, letters, atoms) are part of the density that ln p refers to. Temperature and
top-p change which crystals are sampled, but not their ln p. docs/howto/sample.md says more.
"""

import argparse
from pathlib import Path

import pandas as pd

from crystalformer_rl.config import SampleSettings
from crystalformer_rl.crystal.writers import check_out, crystal_table, write_crystals
from crystalformer_rl.jobs.device import best_device
from crystalformer_rl.jobs.parallel import SINGLE, Parallel, join
from crystalformer_rl.jobs.provenance import Provenance
from crystalformer_rl.model.constraints import build
from crystalformer_rl.model.folder import policy_files, policy_folder
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.model.prompts import prompt_probabilities, sample_space_groups
from crystalformer_rl.seeds import derive_seed
from crystalformer_rl.stages import options as flags


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``crystalformer-rl sample``."""
    flags.add_examples(parser, __doc__)
    flags.add_policy(parser)
    prompts = parser.add_argument_group("number and space groups")
    prompts.add_argument("-n", "--count", type=int, help="number of crystals (default: 200)")
    prompts.add_argument(
        "--space-group", nargs="+", metavar="G", help="space groups, 1 to 230 (default: all)"
    )
    prompts.add_argument(
        "--uniform",
        action="store_true",
        help="sample all groups equally often (default: as often as in the training set)",
    )
    obeyed = flags.add_elements(parser)
    obeyed.add_argument(
        "--wyckoff",
        nargs="+",
        metavar="LETTER",
        help="exactly these Wyckoff letters, one per site, in order",
    )
    obeyed.add_argument(
        "--max-atoms", type=int, help="maximum number of atoms in the primitive cell"
    )
    drawing = parser.add_argument_group("sampling")
    drawing.add_argument("--temperature", type=float, help="softmax temperature (default: 1)")
    drawing.add_argument(
        "--top-p", type=float, help="nucleus of letters, elements and components (default: 1)"
    )
    drawing.add_argument(
        "--first-element-temperature",
        type=float,
        help="temperature of the first site's element (default: --temperature)",
    )
    workflow = parser.add_argument_group("for the workflow")
    workflow.add_argument(
        "--settings", help="the sample section, as JSON; the other options override it"
    )
    workflow.add_argument(
        "--shard",
        type=int,
        help="number of the shard, from 0; samples shard_size crystals instead of count",
    )


def run(args: argparse.Namespace) -> None:
    """Write the crystals and their provenance, see :mod:`crystalformer_rl.crystal.writers`.

    Processes started by torchrun share the crystals, one process per GPU.

    Raises
    ------
    ValueError
        If the policy cannot be read or an argument is invalid.
    """
    with join(best_device()) as parallel, parallel.failing_together():
        _sample(args, parallel)


def _sample(args: argparse.Namespace, parallel: Parallel) -> None:
    settings = _settings(args)
    if args.shard is not None and args.shard < 0:
        raise ValueError(f"--shard must be 0 or more, got {args.shard}")
    if args.shard is not None and args.count is not None:
        raise ValueError("--count and --shard cannot be combined: a shard has shard_size crystals")
    out = Path(args.out)
    check_out(out)
    folder = policy_folder(args.policy)
    name, shard = flags.name_of(args, folder), args.shard or 0
    provenance = Provenance(
        __name__,
        settings=settings.model_dump(mode="json"),
        inputs={"policy": policy_files(folder)},
        seed=derive_seed(args.seed, "sample", name, shard),
        device=parallel.device.type,
    )
    policy = Policy.load(folder, device=parallel.device)
    if settings.by_histogram and not policy.space_group_counts.any():
        raise ValueError(
            f"{folder}: this policy has no histogram of space groups: give --space-group or "
            "--uniform, or import the policy again with import-checkpoint --space-groups mp20-small"
        )
    count = settings.count if args.shard is None else settings.shard_size
    table = draw(
        policy, settings, count=count, name=name, shard=shard, seed=args.seed, parallel=parallel
    )
    if parallel.first:
        undecodable = write_crystals(out, table)
        provenance.write(
            out.with_suffix(".provenance.json"),
            items=len(table),
            undecodable=undecodable,
            processes=parallel.size,
        )


def draw(
    policy: Policy,
    settings: SampleSettings,
    *,
    count: int,
    name: str,
    shard: int = 0,
    seed: int,
    parallel: Parallel = SINGLE,
) -> pd.DataFrame:
    """Sample ``count`` crystals: a row each, as :func:`crystal_table` makes them.

    Parameters
    ----------
    name, shard
        Parts of the ids and of the seed.
    seed
        Seed of the run.
    parallel
        The processes that share the work; each gets the whole table.

    Raises
    ------
    ValueError
        If no crystal can satisfy the constraints, or the policy has no histogram of space groups
        and the settings need one.
    """
    constraints = build(settings.constraints, max_sites=policy.settings.max_sites)
    prompts = prompt_probabilities(
        policy.space_group_counts,
        settings.space_groups,
        settings.space_group_weights,
        constraints=constraints,
    )
    derived = derive_seed(seed, "sample", name, shard)
    samples = policy.sample(
        sample_space_groups(prompts, count, seed=derived),
        seed=derived,
        temperature=settings.temperature,
        top_p=settings.top_p,
        first_element_temperature=settings.first_element_temperature,
        constraints=constraints,
        parallel=parallel,
    )
    return crystal_table(samples.tokens, samples.log_prob, prefix=f"{name}-{shard:04d}")


def _settings(args: argparse.Namespace) -> SampleSettings:
    """The section of ``--settings``, overridden by the other options."""
    section = SampleSettings.model_validate_json(args.settings or "{}")
    start = section.model_dump(exclude_unset=True)
    asked = flags.given(
        count=args.count,
        space_groups=args.space_group and [_space_group(word) for word in args.space_group],
        space_group_weights="uniform" if args.uniform else None,
        temperature=args.temperature,
        top_p=args.top_p,
        first_element_temperature=args.first_element_temperature,
    )
    constraints = start.get("constraints", {}) | flags.constraints(args)
    constraints |= flags.given(wyckoff=args.wyckoff, max_atoms=args.max_atoms)
    return SampleSettings.model_validate(start | asked | {"constraints": constraints})


def _space_group(word: str) -> int:
    if not word.isdecimal() or not 1 <= int(word) <= 230:
        raise ValueError(f"--space-group {word}: give the number of a space group, 1 to 230")
    return int(word)
