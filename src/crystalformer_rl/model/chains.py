"""Markov chains from given crystals, space group and Wyckoff letters fixed.

A state is the elements and free coordinates of the sites, in their order. Its target is

    p(sites | g)^(1/T), among the sites with the letters and elements that are allowed,

where p is the policy's own density of letters, elements and coordinates: that of the allowed
elements given that they are allowed, which a mask in the sampler, renormalised token by token,
only approximates. The lattice is then drawn from its conditional density given the sites. With a
reward r the lattice belongs to the state, and the target is p(sites | g)^(1/T) p(lattice | sites)
exp(r / τ).

Moves are Metropolis steps on one site at a time, from its first to its last:

* elements: another allowed element, all alike, or (every other time) that of another site. Without
  the exchange no chain could turn AB into BA where both elements are required.
* positions: a von Mises step of the coordinates that are drawn, the others follow.
* lattice (with a reward, once a sweep): a new one from its conditional density. A new element
  brings a new lattice too, drawn likewise, for the old one would seldom fit; so the lattice's
  density is in no ratio but that of a move of positions, which keeps the lattice.

The published chains (v0.2 of CrystalFormer, v0.3 with a reward) propose element and coordinates of
a site together, and step in the lattice at random. Here the moves are apart, because a joint one is
accepted only where both are good. A policy whose ``coordinate_density`` is "published" also scores
coordinates that follow from the drawn ones; its chains have that score as their target, as the
published ones do, which is not the density that its samples have.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, fields, replace
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from crystalformer_rl.config import TEMPERATURES
from crystalformer_rl.crystal import lattice, wyckoff
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.model.constraints import Constraints, unconstrained
from crystalformer_rl.model.distributions import Draw, check_within, draw_lattice
from crystalformer_rl.model.likelihood import encode, lattice_parameters
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.model.substitution import another, has_all, make_obey

Move = Literal["elements", "positions"]
MOVES: tuple[Move, ...] = get_args(Move)
WIDTHS = (1e-4, 1.0)
_BATCH = 512
_TWO_PI = 2 * np.pi


@dataclass(frozen=True)
class Guidance:
    """A reward to follow: the target gains the factor exp(r / τ).

    Attributes
    ----------
    reward
        ``(B,)`` finite r of B crystals; of each alone, whatever else is in the batch.
    tau
        τ, in the unit of the reward, 1e-6 to 1e6.
    """

    reward: Callable[[CrystalTokens], NDArray[np.float64]]
    tau: float


@dataclass(frozen=True)
class Chains:
    """Where the chains are after their last sweep.

    Attributes
    ----------
    tokens
        A crystal per chain, its sites in the order of the start.
    log_prob
        ``(B,)`` ln p of each under the policy without constraints, as ``Policy.log_prob`` has it.
    reward
        ``(B,)``, None without a reward.
    acceptance
        Accepted share of the proposals, by move. Where nothing was proposed (no free coordinate,
        a single element allowed) there is no entry.
    """

    tokens: CrystalTokens
    log_prob: NDArray[np.float64]
    reward: NDArray[np.float64] | None
    acceptance: dict[str, float]


def run(
    policy: Policy,
    start: CrystalTokens,
    *,
    sweeps: int,
    seed: int,
    moves: Collection[Move] = MOVES,
    width: float = 0.1,
    temperature: float = 1.0,
    constraints: Constraints | None = None,
    guidance: Guidance | None = None,
    track: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> Chains:
    """One chain from each crystal of ``start``.

    Parameters
    ----------
    sweeps
        Rounds over the sites, every move of ``moves`` once per site.
    width
        Standard deviation of a step, fractional, 1e-4 to 1.
    temperature
        T of the target, 1e-6 to 1e6; the lattice is always drawn at 1.
    constraints
        Allowed and required elements; letters and ``max_atoms`` have no say here. Where the start
        does not obey, elements are drawn anew before the first sweep. Without the move of elements
        nothing is done.
    track
        Passes the sweeps through, for a progress bar.

    Raises
    ------
    ValueError
        If a number is out of range, a crystal has more sites than the model or fewer than there
        are required elements, its letters are impossible, or a reward is not finite.
    """
    _check(start, sweeps=sweeps, moves=moves)
    check_within("width", width, WIDTHS)
    check_within("temperature", temperature, TEMPERATURES)
    if guidance is not None:
        check_within("tau", guidance.tau, TEMPERATURES)
    training = policy.training
    policy.eval()
    try:
        walkers = _Walkers(
            policy,
            start,
            moves=moves,
            seed=seed,
            width=width,
            temperature=temperature,
            constraints=constraints,
            guidance=guidance,
        )
        for _ in track(range(sweeps)):
            walkers.sweep()
        return walkers.finish()
    finally:
        policy.train(training)


@dataclass(frozen=True)
class _Scores:
    """What decides, ``(n,)`` each: ln p of the sites, of the lattice given them, and r."""

    sites: NDArray[np.float64]
    lattice: NDArray[np.float64]
    reward: NDArray[np.float64]


class _Walkers:
    """The chains side by side: their crystals, and the scores of these."""

    def __init__(
        self,
        policy: Policy,
        start: CrystalTokens,
        *,
        moves: Collection[Move],
        seed: int,
        width: float,
        temperature: float,
        constraints: Constraints | None,
        guidance: Guidance | None,
    ) -> None:
        max_sites = policy.settings.max_sites
        self.policy, self.moves, self.guidance = policy, moves, guidance
        self.constraints = unconstrained(max_sites) if constraints is None else constraints
        if self.constraints.max_sites != max_sites:
            raise ValueError(
                f"the constraints are for {self.constraints.max_sites} sites, the model has "
                f"{max_sites}"
            )
        self.concentration, self.temperature = (_TWO_PI * width) ** -2, temperature
        self.random = np.random.default_rng(seed)
        device = policy.network.out.weight.device
        self.generator = torch.Generator(device=device).manual_seed(seed)
        # Indexing copies: the chains move in arrays of their own.
        self.tokens = start[np.arange(len(start))].pad_to(max_sites)
        self.num_sites = self.tokens.num_sites
        groups, letters = self.tokens.space_group[:, None], self.tokens.wyckoff
        self.operation = wyckoff.first_operations()[groups, letters]
        self.drawn = policy.tables.drawn.cpu().numpy()[groups, letters]
        if "elements" in moves:
            make_obey(self.tokens, self.constraints, self.random)
        self.proposed: Counter[str] = Counter()
        self.accepted: Counter[str] = Counter()
        self.scores = self._score(self.tokens)
        if (impossible := ~np.isfinite(self.scores.sites)).any():
            row = int(np.flatnonzero(impossible)[0])
            raise ValueError(
                f"crystal {row} of the start has probability 0: space group "
                f"{self.tokens.space_group[row]}, letters {letters[row, : self.num_sites[row]]}"
            )

    def sweep(self) -> None:
        """Each move once per site, then the lattice."""
        for site in range(int(self.num_sites.max())):
            if "elements" in self.moves:
                self._move_elements(site)
            if "positions" in self.moves:
                self._move_positions(site)
        if self.guidance is not None:
            self._decide("lattice", np.arange(len(self.tokens)), self.tokens, new_lattice=True)

    def finish(self) -> Chains:
        """The crystals; without a reward the lattice is drawn only now."""
        if self.guidance is None:
            self.tokens = self._with_lattice(self.tokens)
            self.scores = self._score(self.tokens)
        return Chains(
            tokens=self.tokens,
            log_prob=self.scores.sites + self.scores.lattice,
            reward=None if self.guidance is None else self.scores.reward,
            acceptance={name: self.accepted[name] / n for name, n in self.proposed.items()},
        )

    def _move_elements(self, site: int) -> None:
        rows = np.flatnonzero(self.num_sites > site)
        element, count = self.tokens.element[rows], self.num_sites[rows]
        here, allowed = np.arange(len(rows)), self.constraints.elements
        before = element[:, site].copy()
        exchange = (self.random.random(len(rows)) < 0.5) & (count > 1)
        other = (site + 1 + self.random.integers(np.maximum(count - 1, 1))) % count
        new = another(np.flatnonzero(allowed[site]), before, self.random)
        element[:, site] = np.where(exchange, element[here, other], new)
        element[here, other] = np.where(exchange, before, element[here, other])
        possible = element[:, site] != before
        possible &= allowed[site, element[:, site]] & allowed[other, element[here, other]]
        possible &= has_all(element, self.constraints.required)
        rows = rows[possible]
        proposal = replace(self.tokens[rows], element=element[possible])
        self._decide("elements", rows, proposal, new_lattice=self.guidance is not None)

    def _move_positions(self, site: int) -> None:
        drawn = self.drawn[:, site]
        rows = np.flatnonzero(drawn.any(axis=1))
        angle = self.random.vonmises(0.0, self.concentration, (len(rows), 3))
        position, operation = self.tokens.position[rows], self.operation[rows, site]
        moved = position[:, site] + drawn[rows] * angle / _TWO_PI
        # The dependent coordinates follow from the drawn ones, which the operation leaves alone.
        on_site = np.einsum("bij,bj->bi", operation[:, :, :3], moved) + operation[:, :, 3]
        position[:, site] = wyckoff.wrap(on_site)
        proposal = replace(self.tokens[rows], position=position)
        self._decide("positions", rows, proposal, new_lattice=False)

    def _decide(
        self, move: str, rows: NDArray[np.int64], proposal: CrystalTokens, *, new_lattice: bool
    ) -> None:
        """Metropolis: a crystal of ``proposal`` for each chain of ``rows``, or not."""
        if not len(rows):
            return
        if new_lattice:
            proposal = self._with_lattice(proposal)
        new = self._score(proposal)
        gain = (new.sites - self.scores.sites[rows]) / self.temperature
        if self.guidance is not None:
            gain += (new.reward - self.scores.reward[rows]) / self.guidance.tau
            if not new_lattice:
                gain += new.lattice - self.scores.lattice[rows]
        accepted = gain > -self.random.standard_exponential(len(rows))
        self.proposed[move] += len(rows)
        self.accepted[move] += int(accepted.sum())
        kept = rows[accepted]
        for field in fields(_Scores):
            getattr(self.scores, field.name)[kept] = getattr(new, field.name)[accepted]
        for name, array in self.tokens.to_arrays().items():
            array[kept] = getattr(proposal, name)[accepted]

    def _with_lattice(self, tokens: CrystalTokens) -> CrystalTokens:
        drawn = [draw_lattices(self.policy, part, self.generator) for part in _parts(tokens)]
        return replace(tokens, lattice=np.concatenate(drawn))

    @torch.inference_mode()
    def _score(self, tokens: CrystalTokens) -> _Scores:
        found = [self.policy.log_prob(part) for part in _parts(tokens)]
        sites = torch.cat([one.wyckoff + one.element + one.position for one in found])
        reward = np.zeros(len(tokens))
        if self.guidance is not None:
            reward = np.array(self.guidance.reward(tokens), dtype=np.float64)
            if reward.shape != (len(tokens),) or not np.isfinite(reward).all():
                raise ValueError(
                    f"a reward must be {len(tokens)} finite numbers, one per crystal, got {reward}"
                )
        return _Scores(
            sites=sites.double().cpu().numpy(),
            lattice=torch.cat([one.lattice for one in found]).double().cpu().numpy(),
            reward=reward,
        )


def _check(start: CrystalTokens, *, sweeps: int, moves: Collection[str]) -> None:
    if not len(start):
        raise ValueError("give at least one crystal to start from")
    if sweeps < 1:
        raise ValueError(f"sweeps must be at least 1, got {sweeps}")
    if not moves or not set(moves) <= set(MOVES):
        raise ValueError(f"moves must be one or more of {', '.join(MOVES)}, got {moves}")


def _parts(tokens: CrystalTokens) -> Iterable[CrystalTokens]:
    """Batches that bound the memory of the network."""
    return (tokens[first : first + _BATCH] for first in range(0, len(tokens), _BATCH))


@torch.inference_mode()
def draw_lattices(
    policy: Policy, tokens: CrystalTokens, generator: torch.Generator
) -> NDArray[np.float64]:
    """Lattices ``(B, 6)`` from their density given the sites, whatever ``tokens`` have.

    Parameters
    ----------
    generator
        On the device of the policy.
    """
    network = policy.network
    crystals, h = encode(network, policy.tables, tokens, int(tokens.num_sites.max()))
    mixture = lattice_parameters(network, crystals, h)
    drawn = draw_lattice(mixture, Draw(generator), policy.settings.lattice_density)
    return lattice.constrain(tokens.space_group, drawn.double().cpu().numpy())
