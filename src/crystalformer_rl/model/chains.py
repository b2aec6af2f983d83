"""Markov chains from given crystals, space group and Wyckoff letters fixed.

A state is the elements and free coordinates of the sites, in their order. Its target is

    p(sites | g)^(1/T), among the sites with the letters and elements that are allowed,

where p is the policy's density of letters, elements and coordinates, conditioned on the allowed
elements. (The masks of the sampler are renormalised token by token and only approximate this.) The
lattice is then sampled from its conditional density given the sites. With a reward r the lattice is
part of the state, and the target is p(sites | g)^(1/T) p(lattice | sites) exp(r / τ).

Moves are Metropolis steps on one site at a time, from its first to its last:

* elements: another allowed element, uniformly chosen, or (every other time) an exchange with
  another site. Without the exchange no chain could turn AB into BA if both elements are required.
* positions: a von Mises step of the sampled coordinates; dependent coordinates follow.
* lattice (with a reward, once a sweep): a new one from its conditional density. A new element also
  brings a new lattice from that density, because the old one would rarely fit. The density of the
  lattice therefore enters the acceptance ratio only of a move of positions, which keeps the
  lattice.

The published chains (v0.2 of CrystalFormer, v0.3 with a reward) propose the element and coordinates
of a site together and take random steps in the lattice. Here the moves are separate, because a
joint move is accepted only if both parts are good. A policy whose ``coordinate_density`` is
"published" also scores dependent coordinates. Its chains have that score as their target, as the
published chains do; it is not the density of its samples.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, fields, replace
from typing import Final, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystalformer_rl.config import TEMPERATURES
from crystalformer_rl.crystal import lattice, wyckoff
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.jobs.device import Room
from crystalformer_rl.model.constraints import Constraints, unconstrained
from crystalformer_rl.model.distributions import Draw, check_within, draw_lattice
from crystalformer_rl.model.likelihood import encode, lattice_parameters
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.model.streams import SharedStream
from crystalformer_rl.model.substitution import another, enforce, has_all

Move = Literal["elements", "positions"]
MOVES: tuple[Move, ...] = get_args(Move)
WIDTHS = (1e-4, 1.0)
AT_ONCE: Final = {"cpu": 512, "cuda": 2048}
"""Most crystals that are computed together, by type of device; a guess for a GPU."""
_DRAWN = 512
_TWO_PI = 2 * np.pi


@dataclass(frozen=True)
class RewardBias:
    """A reward that biases the chains: the target gains the factor exp(r / τ).

    Attributes
    ----------
    reward
        ``(B,)`` finite r of B crystals; must not depend on the rest of the batch.
    tau
        τ, in the unit of the reward, 1e-6 to 1e6.
    """

    reward: Callable[[CrystalTokens], NDArray[np.float64]]
    tau: float


@dataclass(frozen=True)
class Chains:
    """State of the chains after the last sweep.

    Attributes
    ----------
    tokens
        One crystal per chain, with the sites in the order of the start.
    log_prob
        ``(B,)`` ln p of each under the policy without constraints, as from ``Policy.log_prob``.
    reward
        ``(B,)``, None without a reward.
    acceptance
        Acceptance rate by move. There is no entry for a move that was never proposed (no free
        coordinate, or a single allowed element).
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
    reward_bias: RewardBias | None = None,
    track: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> Chains:
    """Run one chain from each crystal of ``start``.

    Parameters
    ----------
    sweeps
        Passes over the sites, with every move of ``moves`` once per site.
    width
        Standard deviation of a step, fractional, 1e-4 to 1.
    temperature
        T of the target, 1e-6 to 1e6; the lattice is always drawn at 1.
    constraints
        Allowed and required elements; letters and ``max_atoms`` are ignored. If the start does not
        satisfy them, elements are resampled before the first sweep, unless elements do not move.
    track
        Wraps the sweeps, for example with a progress bar.

    Raises
    ------
    ValueError
        If a number is out of range, a crystal has more sites than the model or fewer than there
        are required elements, its letters are impossible, or a reward is not finite.
    """
    _check(start, sweeps=sweeps, moves=moves)
    check_within("width", width, WIDTHS)
    check_within("temperature", temperature, TEMPERATURES)
    if reward_bias is not None:
        check_within("tau", reward_bias.tau, TEMPERATURES)
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
            reward_bias=reward_bias,
        )
        for _ in track(range(sweeps)):
            walkers.sweep()
        return walkers.finish()
    finally:
        policy.train(training)


@dataclass(frozen=True)
class _Scores:
    """Terms of the target, ``(n,)`` each: ln p of the sites, ln p of the lattice given them, r."""

    sites: NDArray[np.float64]
    lattice: NDArray[np.float64]
    reward: NDArray[np.float64]


class _Walkers:
    """All chains: their crystals and the scores of these."""

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
        reward_bias: RewardBias | None,
    ) -> None:
        max_sites = policy.settings.max_sites
        self.policy, self.moves, self.reward_bias = policy, moves, reward_bias
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
        self.room = Room(AT_ONCE[device.type], unit="crystals at once")
        # Indexing copies, so the chains do not modify the start.
        self.tokens = start[np.arange(len(start))].pad_to(max_sites)
        self.num_sites = self.tokens.num_sites
        groups, letters = self.tokens.space_group[:, None], self.tokens.wyckoff
        self.operation = wyckoff.first_operations()[groups, letters]
        self.drawn = policy.tables.drawn.cpu().numpy()[groups, letters]
        if "elements" in moves:
            enforce(self.tokens, self.constraints, self.random)
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
        """Make each move once per site, then move the lattice."""
        for site in range(int(self.num_sites.max())):
            if "elements" in self.moves:
                self._move_elements(site)
            if "positions" in self.moves:
                self._move_positions(site)
        if self.reward_bias is not None:
            self._decide("lattice", np.arange(len(self.tokens)), self.tokens, new_lattice=True)
        self.room.fitted(len(self.tokens))

    def finish(self) -> Chains:
        """The final crystals; without a reward the lattice is sampled only here."""
        if self.reward_bias is None:
            self.tokens = self._with_lattice(self.tokens)
            self.scores = self._score(self.tokens)
        return Chains(
            tokens=self.tokens,
            log_prob=self.scores.sites + self.scores.lattice,
            reward=None if self.reward_bias is None else self.scores.reward,
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
        self._decide("elements", rows, proposal, new_lattice=self.reward_bias is not None)

    def _move_positions(self, site: int) -> None:
        drawn = self.drawn[:, site]
        rows = np.flatnonzero(drawn.any(axis=1))
        angle = self.random.vonmises(0.0, self.concentration, (len(rows), 3))
        position, operation = self.tokens.position[rows], self.operation[rows, site]
        moved = position[:, site] + drawn[rows] * angle / _TWO_PI
        # Dependent coordinates follow from the sampled ones, which the operation does not change.
        on_site = np.einsum("bij,bj->bi", operation[:, :, :3], moved) + operation[:, :, 3]
        position[:, site] = wyckoff.wrap(on_site)
        proposal = replace(self.tokens[rows], position=position)
        self._decide("positions", rows, proposal, new_lattice=False)

    def _decide(
        self, move: str, rows: NDArray[np.int64], proposal: CrystalTokens, *, new_lattice: bool
    ) -> None:
        """Metropolis step: accept or reject one crystal of ``proposal`` per chain of ``rows``."""
        if not len(rows):
            return
        if new_lattice:
            proposal = self._with_lattice(proposal)
        new = self._score(proposal)
        gain = (new.sites - self.scores.sites[rows]) / self.temperature
        if self.reward_bias is not None:
            gain += (new.reward - self.scores.reward[rows]) / self.reward_bias.tau
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
        drawn = draw_lattices(self.policy, tokens, self.generator, room=self.room)
        return replace(tokens, lattice=drawn)

    @torch.inference_mode()
    def _score(self, tokens: CrystalTokens) -> _Scores:
        def log_probs(batch: CrystalTokens) -> Tensor:
            found = self.policy.log_prob(batch)
            sites = found.wyckoff + found.element + found.position
            return torch.stack([sites, found.lattice], dim=1)

        sites, cells = _computed(log_probs, tokens, self.room).double().cpu().numpy().T
        reward = np.zeros(len(tokens))
        if self.reward_bias is not None:
            reward = np.array(self.reward_bias.reward(tokens), dtype=np.float64)
            if reward.shape != (len(tokens),) or not np.isfinite(reward).all():
                raise ValueError(
                    f"a reward must be {len(tokens)} finite numbers, one per crystal, got {reward}"
                )
        return _Scores(sites=sites.copy(), lattice=cells.copy(), reward=reward)


def _check(start: CrystalTokens, *, sweeps: int, moves: Collection[str]) -> None:
    if not len(start):
        raise ValueError("give at least one crystal to start from")
    if sweeps < 1:
        raise ValueError(f"sweeps must be at least 1, got {sweeps}")
    if not moves or not set(moves) <= set(MOVES):
        raise ValueError(f"moves must be one or more of {', '.join(MOVES)}, got {moves}")


def _computed(
    compute: Callable[[CrystalTokens], Tensor], tokens: CrystalTokens, room: Room
) -> Tensor:
    """``compute`` of all crystals, ``(B, …)``, as many at once as fit into memory."""

    def work(most: int) -> Tensor:
        starts = range(0, len(tokens), most)
        return torch.cat([compute(tokens[first : first + most]) for first in starts])

    return room.attempt(work, size=len(tokens))


@torch.inference_mode()
def draw_lattices(
    policy: Policy, tokens: CrystalTokens, generator: torch.Generator, *, room: Room
) -> NDArray[np.float64]:
    """Sample lattices ``(B, 6)`` given the sites; the lattices of ``tokens`` are ignored.

    They are drawn 512 at a time, so that the random numbers do not depend on the room.

    Parameters
    ----------
    generator
        Random generator on the device of the policy.
    room
        Crystals that are computed at once.
    """
    network, draw = policy.network, Draw(SharedStream(generator))

    def mixtures(batch: CrystalTokens) -> Tensor:
        crystals, h = encode(network, policy.tables, batch, int(batch.num_sites.max()))
        return lattice_parameters(network, crystals, h)

    parts = torch.split(_computed(mixtures, tokens, room), _DRAWN)
    drawn = torch.cat([draw_lattice(part, draw, policy.settings.lattice_density) for part in parts])
    return lattice.constrain(tokens.space_group, drawn.double().cpu().numpy())
