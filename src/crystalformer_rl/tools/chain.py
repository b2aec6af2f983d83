"""``chain``: Markov chains from a known structure with fixed Wyckoff letters.

examples:
  element substitution in a known structure: 50 chains of 100 sweeps
    crystalformer-rl chain --policy mp20-small --template NaCl.cif --move elements -n 50
  only alkali halides
    crystalformer-rl chain --policy mp20-small --template NaCl.cif --move elements \\
        --site-elements Li,Na,K,Rb,Cs F,Cl,Br,I
  same elements, other coordinates
    crystalformer-rl chain --policy mp20-small --template TiO2.cif --move positions --width 0.05
  elements and coordinates, at a lower temperature, with oxygen required
    crystalformer-rl chain --policy mp20-small --template TiO2.cif --temperature 0.7 --require O
  biased towards the convex hull by exp(-E_hull / 0.1 eV/atom)
    crystalformer-rl chain --policy mp20-small --template NaCl.cif --steps 20 --reward ehull \\
        --hull results/default/hull --tau 0.1
  biased towards a large band gap x dielectric constant, written as a folder of CIFs
    crystalformer-rl chain --policy mp20-small --template NaCl.cif --steps 20 \\
        --reward figure_of_merit --hull results/default/hull --tau 2 --out found

Without a reward the lattice is sampled at the end from its density given the sites. To sample
crystals from a space group only, see crystalformer-rl sample --help. docs/howto/sample.md says what
the chains converge to.
"""

import argparse
import logging
import math
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from crystalformer_rl.config import TEMPERATURES, ConstraintSettings
from crystalformer_rl.config.reward_base import RewardSettings
from crystalformer_rl.config.rewards import REWARDS
from crystalformer_rl.crystal.decoding import decode
from crystalformer_rl.crystal.structure_files import read_structure
from crystalformer_rl.crystal.tokenizer import tokenize_many
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.crystal.writers import check_out, crystal_table, write_crystals
from crystalformer_rl.crystal.wyckoff import LETTERS
from crystalformer_rl.jobs.device import best_device
from crystalformer_rl.jobs.progress import progress
from crystalformer_rl.jobs.provenance import Provenance
from crystalformer_rl.model import chains
from crystalformer_rl.model.chains import MOVES, RewardBias
from crystalformer_rl.model.constraints import build
from crystalformer_rl.model.distributions import check_within
from crystalformer_rl.model.folder import policy_files, policy_folder
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.rewards import base as rewards
from crystalformer_rl.seeds import derive_seed
from crystalformer_rl.stability.reference import ReferenceHull, hull_files
from crystalformer_rl.stages import options as flags

# Rewards of a crystal by itself that work with their default settings.
KINDS = [
    kind
    for kind, settings in REWARDS.items()
    if settings.single is not None
    and not any(field.is_required() for field in settings.model_fields.values())
]

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``crystalformer-rl chain``."""
    flags.add_examples(parser, __doc__)
    flags.add_policy(parser)
    start = parser.add_argument_group("start")
    start.add_argument(
        "--template",
        type=Path,
        required=True,
        help="file with the start structure: CIF, POSCAR, extended XYZ or another format of "
        "pymatgen",
    )
    start.add_argument(
        "--symprec",
        type=float,
        default=0.01,
        help="symmetry tolerance of the template, Å (default: 0.01)",
    )
    start.add_argument("-n", "--count", type=int, default=10, help="number of chains (default: 10)")
    walk = parser.add_argument_group("moves")
    walk.add_argument("--steps", type=int, default=100, help="sweeps over the sites (default: 100)")
    walk.add_argument(
        "--move",
        choices=[*MOVES, "both"],
        default="both",
        help="what the moves change (default: both)",
    )
    walk.add_argument(
        "--width",
        type=float,
        default=0.1,
        help="width of a position step, fractional (default: 0.1)",
    )
    walk.add_argument(
        "--temperature", type=float, default=1.0, help="T of the target p^(1/T) (default: 1)"
    )
    flags.add_elements(parser)
    lead = parser.add_argument_group("reward")
    lead.add_argument("--reward", choices=KINDS, help="reward of the rl stage (default: none)")
    lead.add_argument("--hull", type=Path, help="folder of the hull stage, for the reward")
    lead.add_argument(
        "--tau",
        type=float,
        default=0.1,
        help="τ of exp(r/τ), in the unit of the reward (default: 0.1)",
    )


def run(args: argparse.Namespace) -> None:
    """Write the last crystal of each chain and the provenance, as ``sample`` does.

    With a reward the table has a column ``reward``.

    Raises
    ------
    ValueError
        If the policy or the template cannot be read, the template cannot be tokenized, or an
        argument is invalid.
    """
    asked = flags.constraints(args)
    constraints = ConstraintSettings.model_validate(asked)
    if asked and args.move == "positions":
        raise ValueError(
            f"--move positions does not change elements, but constraints are given: {asked}"
        )
    for flag, number in (("--count", args.count), ("--steps", args.steps)):
        if number < 1:
            raise ValueError(f"{flag} must be at least 1, got {number}")
    if not 0 < args.symprec < math.inf:
        raise ValueError(f"--symprec must be above 0 and finite, got {args.symprec}")
    check_within("--tau", args.tau, TEMPERATURES)
    needs_hull = args.reward is not None and _settings(args.reward).needs_hull
    if needs_hull != (args.hull is not None):
        raise ValueError(
            f"--reward {args.reward} needs --hull, the folder of the hull stage"
            if needs_hull
            else "--hull is used only with a --reward that needs one"
        )
    out = Path(args.out)
    check_out(out)
    folder, structure = policy_folder(args.policy), _template(args.template)
    name, device = flags.name_of(args, folder), best_device()
    seed = derive_seed(args.seed, "chain", name)
    hull = hull_files(args.hull) if args.hull else []
    if missing := [path for path in hull if not path.is_file()]:
        raise FileNotFoundError(
            f"--hull: {missing[0]}: no such file; give a folder of the hull stage"
        )
    words = ("symprec", "count", "steps", "move", "width", "temperature", "reward", "tau")
    provenance = Provenance(
        __name__,
        settings={word: getattr(args, word) for word in words}
        | {"constraints": constraints.model_dump(mode="json")},
        inputs={
            "policy": policy_files(folder),
            "template": args.template,
            "hull": hull,
        },
        seed=seed,
        device=device,
    )
    policy = Policy.load(folder, device=device)
    max_sites = policy.settings.max_sites
    start = _start(structure, args, max_sites=max_sites)
    lists, sites = len(constraints.site_elements or []), int(start.num_sites[0])
    if lists > sites:
        raise ValueError(f"--site-elements has {lists} lists, the template {sites} sites")
    found = chains.run(
        policy,
        start,
        sweeps=args.steps,
        seed=seed,
        moves=MOVES if args.move == "both" else [args.move],
        width=args.width,
        temperature=args.temperature,
        constraints=build(constraints, max_sites=max_sites),
        reward_bias=_reward_bias(args, device) if args.reward else None,
        track=partial(progress, label="chain"),
    )
    for move, share in found.acceptance.items():
        log.info("moves of %s: %.1f %% accepted", move, 100 * share)
    table = crystal_table(found.tokens, found.log_prob, prefix=f"{name}-chain")
    if found.reward is not None:
        table["reward"] = found.reward
    provenance.write(
        out.with_suffix(".provenance.json"),
        items=len(table),
        undecodable=write_crystals(out, table),
        **{f"accepted_{move}": round(share, 4) for move, share in found.acceptance.items()},
    )


def _template(path: Path) -> Structure:
    try:
        return read_structure(path)
    except (FileNotFoundError, ValueError) as error:
        raise type(error)(f"--template {error}") from error


def _start(structure: Structure, args: argparse.Namespace, *, max_sites: int) -> CrystalTokens:
    """The tokens of the template, repeated for each chain."""
    tokens, _, rejected = tokenize_many([structure], symprec=args.symprec, max_sites=max_sites - 1)
    for _, why in rejected:
        raise ValueError(
            f"--template {args.template}: cannot be tokenized at symprec {args.symprec}: "
            f"{why.reason.replace('_', ' ')} ({why.detail})"
        )
    group, letters = tokens.space_group[0], tokens.wyckoff[0, : tokens.num_sites[0]]
    described = " ".join(LETTERS[letter - 1] for letter in letters)
    # The template may be a supercell.
    crystal = decode(tokens)[0].structure or structure
    log.info("%s: space group %d, letters %s", crystal.formula, group, described)
    return tokens[[0] * args.count]


def _settings(kind: str) -> RewardSettings:
    """The settings under which the reward of a crystal does not depend on other chains."""
    return REWARDS[kind](**REWARDS[kind].single or {})


def _reward_bias(args: argparse.Namespace, device: str) -> RewardBias:
    settings = _settings(args.reward)
    hull = None
    if settings.potential_used is not None and args.hull is not None:
        hull = ReferenceHull.load(args.hull, energies_of=[settings.potential_used])
    reward = rewards.build(settings, rewards.Sources(device=device, hull=hull))

    def value(tokens: CrystalTokens) -> NDArray[np.float64]:
        return reward.score([one.cell for one in decode(tokens)]).value

    return RewardBias(value, args.tau)
