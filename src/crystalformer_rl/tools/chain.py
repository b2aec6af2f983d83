"""``chain``: Markov chains from a known structure, letters fixed, a reward if wished.

examples:
  other elements in the structure (element substitution): 50 chains of 100 sweeps
    crystalformer-rl chain --policy mp20-small --template NaCl.cif --move elements -n 50
  only alkali halides
    crystalformer-rl chain --policy mp20-small --template NaCl.cif --move elements \\
        --site-elements Li,Na,K,Rb,Cs F,Cl,Br,I
  the same elements, other coordinates
    crystalformer-rl chain --policy mp20-small --template TiO2.cif --move positions --width 0.05
  both, colder than the policy, with oxygen
    crystalformer-rl chain --policy mp20-small --template TiO2.cif --temperature 0.7 --require O
  towards the convex hull, exp(-E_hull / 0.1 eV/atom)
    crystalformer-rl chain --policy mp20-small --template NaCl.cif --steps 20 --reward ehull \\
        --hull results/default/hull --tau 0.1
  towards a large band gap x dielectric constant, as a folder of CIFs
    crystalformer-rl chain --policy mp20-small --template NaCl.cif --steps 20 \\
        --reward figure_of_merit --hull results/default/hull --tau 2 --out found

Without a reward the lattice is drawn at the end from its density given the sites. To draw crystals
from nothing but a space group: crystalformer-rl sample --help. docs/howto/sample.md says what the
chains converge to.
"""

import argparse
import logging
import math
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure
from pymatgen.io.cif import CifParser

from crystalformer_rl.config import TEMPERATURES, ConstraintSettings
from crystalformer_rl.config.rewards import REWARDS, HullReward
from crystalformer_rl.crystal.decoding import decode
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

# Rewards that work with their default settings. A file of the user's is not one of them.
KINDS = [
    kind
    for kind, settings in REWARDS.items()
    if not any(field.is_required() for field in settings.model_fields.values())
]

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``crystalformer-rl chain``."""
    flags.add_examples(parser, __doc__)
    flags.add_policy(parser)
    start = parser.add_argument_group("where the chains start")
    start.add_argument(
        "--template", type=Path, required=True, help="CIF, POSCAR or other file with a structure"
    )
    start.add_argument(
        "--symprec", type=float, default=0.01, help="its symmetry tolerance, Å (default: 0.01)"
    )
    start.add_argument("-n", "--count", type=int, default=10, help="chains (default: 10)")
    walk = parser.add_argument_group("how they move")
    walk.add_argument("--steps", type=int, default=100, help="sweeps over the sites (default: 100)")
    walk.add_argument(
        "--move", choices=[*MOVES, "both"], default="both", help="what changes (default: both)"
    )
    walk.add_argument(
        "--width", type=float, default=0.1, help="of a step, fractional (default: 0.1)"
    )
    walk.add_argument(
        "--temperature", type=float, default=1.0, help="T of p^(1/T), the target (default: 1)"
    )
    flags.add_elements(parser)
    lead = parser.add_argument_group("what leads them")
    lead.add_argument("--reward", choices=KINDS, help="reward, as for rl (default: none)")
    lead.add_argument("--hull", type=Path, help="folder of the hull stage, for the reward")
    lead.add_argument(
        "--tau", type=float, default=0.1, help="τ of exp(r/τ), in eV(/atom) (default: 0.1)"
    )


def run(args: argparse.Namespace) -> None:
    """Write the last crystal of each chain and the provenance, as ``sample`` does.

    With a reward the table has a column ``reward``.

    Raises
    ------
    ValueError
        If the policy or the template cannot be read, the template has no tokens, or what is asked
        for cannot be done or written.
    """
    asked = flags.constraints(args)
    constraints = ConstraintSettings.model_validate(asked)
    if asked and args.move == "positions":
        raise ValueError(f"--move positions leaves the elements as they are, asked: {asked}")
    for flag, number in (("--count", args.count), ("--steps", args.steps)):
        if number < 1:
            raise ValueError(f"{flag} must be at least 1, got {number}")
    if not 0 < args.symprec < math.inf:
        raise ValueError(f"--symprec must be above 0 and finite, got {args.symprec}")
    check_within("--tau", args.tau, TEMPERATURES)
    needs_hull = args.reward is not None and issubclass(REWARDS[args.reward], HullReward)
    if needs_hull != (args.hull is not None):
        raise ValueError(
            f"--reward {args.reward} needs --hull, the folder of the hull stage"
            if needs_hull
            else "--hull is used only with a --reward that needs one"
        )
    out = Path(args.out)
    check_out(out)
    folder, structure = policy_folder(args.policy), _read(args.template)
    name, device = flags.name_of(args, folder), best_device()
    seed = derive_seed(args.seed, "chain", name)
    hull = hull_files(args.hull) if args.hull else []
    if missing := [path for path in hull if not path.is_file()]:
        raise FileNotFoundError(f"--hull: {missing[0]}: no such file; name a folder of `hull`")
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


def _read(path: Path) -> Structure:
    if not path.is_file():
        raise FileNotFoundError(f"--template {path}: no such file")
    try:
        if path.suffix != ".cif":
            return Structure.from_file(path)
        structures = CifParser(path).parse_structures(primitive=False)
    except Exception as error:
        # pymatgen meets damaged files with errors of a dozen kinds.
        raise ValueError(
            f"--template {path}: cannot be read as a structure: {type(error).__name__}: {error}"
        ) from error
    if len(structures) > 1:
        log.info("%s: the first of %d structures is taken", path, len(structures))
    return structures[0]


def _start(structure: Structure, args: argparse.Namespace, *, max_sites: int) -> CrystalTokens:
    """The template's tokens, once for each chain."""
    tokens, _, rejected = tokenize_many([structure], symprec=args.symprec, max_sites=max_sites - 1)
    for _, why in rejected:
        raise ValueError(
            f"--template {args.template}: no tokens at symprec {args.symprec}: "
            f"{why.reason.replace('_', ' ')} ({why.detail})"
        )
    group, letters = tokens.space_group[0], tokens.wyckoff[0, : tokens.num_sites[0]]
    described = " ".join(LETTERS[letter - 1] for letter in letters)
    log.info("%s: space group %d, letters %s", structure.formula, group, described)
    return tokens[[0] * args.count]


def _reward_bias(args: argparse.Namespace, device: str) -> RewardBias:
    # The reward of a crystal by itself: no discount for repeats in a batch.
    settings = REWARDS[args.reward](**REWARDS[args.reward].single)
    hull = None
    if isinstance(settings, HullReward):
        hull = ReferenceHull.load(args.hull, energies_of=[settings.potential])
    reward = rewards.build(settings, hull=hull, device=device)

    def value(tokens: CrystalTokens) -> NDArray[np.float64]:
        return reward.score([one.structure for one in decode(tokens)]).value

    return RewardBias(value, args.tau)
