"""The chains leave what they move through as the target says it is."""

from itertools import product

import numpy as np
import pytest
import torch
from helpers.policies import MakePolicy, uneven_policy
from helpers.pretend_gpu import Gpu
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from crystalformer_rl.crystal import wyckoff
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.jobs.device import Room, best_device
from crystalformer_rl.model import chains
from crystalformer_rl.model.chains import RewardBias, draw_lattices
from crystalformer_rl.model.constraints import Constraints
from crystalformer_rl.model.policy import Policy

CHAINS = 1200
SITES = 3
CUBIC, CUBIC_LETTERS = 221, [1, 2]
TRIO = (11, 17, 35)


def only(*numbers: int, sites: int = SITES) -> NDArray[np.bool_]:
    return np.tile(np.isin(np.arange(119), numbers), (sites, 1))


def pairs(*elements: tuple[int, int]) -> CrystalTokens:
    """A crystal of two fixed sites for each pair of elements."""
    count = len(elements)
    return CrystalTokens(
        space_group=np.full(count, CUBIC),
        wyckoff=np.tile(CUBIC_LETTERS, (count, 1)),
        element=np.array(elements),
        position=np.tile([[0.0] * 3, [0.5] * 3], (count, 1, 1)),
        lattice=np.full((count, 6), 2.0),
    )


def diagonal(x: NDArray[np.float64]) -> CrystalTokens:
    """Crystals of one site (x, x, x)."""
    return CrystalTokens(
        space_group=np.full(len(x), 198),
        wyckoff=np.ones((len(x), 1)),
        element=np.full((len(x), 1), 11),
        position=np.repeat(x, 3).reshape(-1, 1, 3),
        lattice=np.full((len(x), 6), 2.0),
    )


def columns(z: NDArray[np.float64], height: NDArray[np.float64]) -> CrystalTokens:
    """Crystals of two sites (0, 0, z) and (½, ½, height)."""
    first = np.stack([0 * z, 0 * z, z], axis=1)
    second = np.stack([0 * z + 0.5, 0 * z + 0.5, height], axis=1)
    return CrystalTokens(
        space_group=np.full(len(z), 99),
        wyckoff=np.tile([1, 2], (len(z), 1)),
        element=np.tile([11, 17], (len(z), 1)),
        position=np.stack([first, second], axis=1),
        lattice=np.full((len(z), 6), 2.0),
    )


def many(tokens: CrystalTokens, count: int = CHAINS) -> CrystalTokens:
    return tokens[[0] * count]


def parts(policy: Policy, tokens: CrystalTokens) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """ln p of the sites, and of the lattice given them."""
    with torch.no_grad():
        found = policy.log_prob(tokens)
    sites = found.wyckoff + found.element + found.position
    return sites.double().numpy(), found.lattice.double().numpy()


def with_edges(tokens: CrystalTokens, edges: NDArray[np.float64]) -> CrystalTokens:
    """Each crystal with each edge of a cubic cell: B × n, the edges innermost."""
    repeated = tokens[np.repeat(np.arange(len(tokens)), len(edges))]
    repeated.lattice[:, :3] = np.tile(edges, len(tokens))[:, None]
    return repeated


def middles(bins: NDArray[np.float64], each: int) -> NDArray[np.float64]:
    """``each`` points in every bin."""
    step = (bins[1] - bins[0]) / each
    return np.asarray(bins[0] + step * (np.arange(each * (len(bins) - 1)) + 0.5))


def fits(observed: NDArray[np.int64], target: NDArray[np.float64]) -> bool:
    """Chi-square of independent counts against weights; rare classes are put together."""
    expected = target / target.sum() * observed.sum()
    common = expected > 8
    assert common.sum() > 1
    seen, wanted = [*observed[common]], [*expected[common]]
    if not common.all():
        seen.append(observed[~common].sum())
        wanted.append(expected[~common].sum() + 1e-9)
    return float(stats.chisquare(seen, wanted, sum_check=False).pvalue) > 1e-3


def small_policy(**changes: object) -> Policy:
    """Elements and lattices depend on the sites before, and chains of 20 sweeps forget."""
    return uneven_policy(**{"seed": 3, "layers": 1, "max_sites": SITES, **changes})


@pytest.fixture(scope="module")
def small() -> Policy:
    return small_policy()


def place_of(tokens: CrystalTokens) -> NDArray[np.int64]:
    """Place of the pair of elements in ``product(TRIO, TRIO)``."""
    first, second = (np.searchsorted(TRIO, tokens.element[:, site]) for site in range(2))
    return np.asarray(3 * first + second)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_elements_follow_the_policy(small: Policy, temperature: float) -> None:
    states = pairs(*product(TRIO, TRIO))
    start = many(states)
    found = chains.run(
        small,
        start,
        sweeps=15,
        seed=1,
        moves=["elements"],
        temperature=temperature,
        constraints=Constraints(only(*TRIO)),
    )
    assert (start.element == TRIO[0]).all()
    target = np.exp(parts(small, states)[0] / temperature)
    assert fits(np.bincount(place_of(found.tokens), minlength=9), target)
    assert set(found.acceptance) == {"elements"}
    assert 0.1 < found.acceptance["elements"] < 1


@pytest.mark.parametrize("density", ["joint", "per_dimension"])
@pytest.mark.parametrize("max_sites", [2, 3], ids=["read at the last site", "read at the pad"])
def test_lattice_is_drawn_from_its_conditional_density(density: str, max_sites: int) -> None:
    policy = small_policy(lattice_density=density, max_sites=max_sites)
    one = pairs((11, 17))
    room = Room(CHAINS, unit="crystals")
    edge = draw_lattices(policy, many(one), torch.Generator().manual_seed(3), room=room)[:, 0]
    bins = np.linspace(edge.min() - 1, edge.max() + 1, 20)
    weight = np.exp(parts(policy, with_edges(one, middles(bins, 20)))[1])
    assert fits(np.histogram(edge, bins)[0], weight.reshape(19, 20).sum(axis=1))


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.slow
def test_reward_bends_elements_and_lattice(small: Policy, temperature: float) -> None:
    """Chi-square over pairs of elements and bins of the lattice, together."""
    states = pairs(*product(TRIO, TRIO))

    def reward(tokens: CrystalTokens) -> NDArray[np.float64]:
        wanted = 0.02 * (tokens.element[:, 0] - tokens.element[:, 1])
        return np.asarray(0.3 * np.tanh(tokens.lattice[:, 0] - wanted) + wanted)

    found = chains.run(
        small,
        many(states),
        sweeps=20,
        seed=2,
        moves=["elements"],
        temperature=temperature,
        constraints=Constraints(only(*TRIO)),
        reward_bias=RewardBias(reward, tau=0.25),
    )
    edge = found.tokens.lattice[:, 0]
    bins = np.linspace(edge.min() - 2, edge.max() + 2, 8)
    grid = with_edges(states, middles(bins, 30))
    sites, lattice = parts(small, grid)
    unguided = np.exp(sites / temperature + lattice)
    target = unguided * np.exp(reward(grid) / 0.25)
    observed = np.bincount(7 * place_of(found.tokens) + np.digitize(edge, bins) - 1, minlength=63)
    assert fits(observed, target.reshape(63, 30).sum(axis=1))
    assert not fits(observed, unguided.reshape(63, 30).sum(axis=1))
    assert found.reward is not None
    np.testing.assert_array_equal(found.reward, reward(found.tokens))


@pytest.mark.parametrize("density", ["independent", "published"])
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_dependent_coordinates_follow_the_drawn_one(density: str, temperature: float) -> None:
    policy = small_policy(coordinate_density=density)
    found = chains.run(
        policy,
        many(diagonal(np.array([0.5]))),
        sweeps=20,
        seed=4,
        moves=["positions"],
        width=0.2,
        temperature=temperature,
    )
    x = found.tokens.position[:, 0, 0]
    assert (found.tokens.position[:, 0] == x[:, None]).all()
    bins = np.linspace(0, 1, 21)
    weight = np.exp(parts(policy, diagonal(middles(bins, 10)))[0] / temperature)
    assert fits(np.histogram(x, bins)[0], weight.reshape(20, 10).sum(axis=1))


def test_coordinates_of_two_sites(small: Policy) -> None:
    """The second site's density depends on the first: chi-square over both."""
    found = chains.run(
        small,
        many(columns(np.zeros(1), np.zeros(1))),
        sweeps=20,
        seed=5,
        moves=["positions"],
        width=0.2,
    )
    bins = np.linspace(0, 1, 7)
    z, height = (grid.ravel() for grid in np.meshgrid(*[middles(bins, 8)] * 2, indexing="ij"))
    weight = np.exp(parts(small, columns(z, height))[0]).reshape(6, 8, 6, 8).sum(axis=(1, 3))
    seen = np.histogram2d(*found.tokens.position[:, :2, 2].T, [bins, bins])[0]
    assert fits(seen.ravel().astype(np.int64), weight.ravel())


@pytest.mark.slow
def test_reward_on_coordinates_and_lattice(small: Policy) -> None:
    """Positions keep the lattice they have: its density is in the ratio.

    The reward asks for long edges, which are seldom drawn, so that a lattice stays for a while.
    """

    def reward(tokens: CrystalTokens) -> NDArray[np.float64]:
        phase = 2 * np.pi * tokens.position[:, 0, 0]
        return np.asarray(0.2 * np.sin(phase) + np.tanh(tokens.lattice[:, 0] - 1))

    found = chains.run(
        small,
        many(diagonal(np.array([0.3]))),
        sweeps=40,
        seed=6,
        moves=["positions"],
        width=0.2,
        reward_bias=RewardBias(reward, tau=0.4),
    )
    x, edge = found.tokens.position[:, 0, 0], found.tokens.lattice[:, 0]
    bins, edges = np.linspace(0, 1, 9), np.linspace(edge.min() - 3, edge.max() + 3, 7)
    grid = with_edges(diagonal(middles(bins, 6)), middles(edges, 15))
    sites, lattice = parts(small, grid)
    weight = np.exp(sites + lattice + reward(grid) / 0.4).reshape(8, 6, 6, 15).sum(axis=(1, 3))
    seen = np.histogram2d(x, edge, [bins, edges])[0]
    assert fits(seen.ravel().astype(np.int64), weight.ravel())
    assert set(found.acceptance) == {"positions", "lattice"}


def test_required_elements_change_places(small: Policy) -> None:
    """No single substitution leads from (Na, Cl) to (Cl, Na)."""
    both = pairs((11, 17), (17, 11))
    found = chains.run(
        small,
        many(both),
        sweeps=15,
        seed=7,
        moves=["elements"],
        constraints=Constraints(only(*TRIO), required=(11, 17)),
    )
    first = found.tokens.element[:, 0]
    assert set(found.tokens.element[:, :2].sum(axis=1)) == {28}
    seen = np.array([(first == 11).sum(), (first == 17).sum()])
    assert fits(seen, np.exp(parts(small, both)[0]))


@settings(max_examples=15)
@given(
    seed=st.integers(0, 1000),
    allowed=st.sets(st.integers(1, 118), min_size=2, max_size=6),
    moves=st.sampled_from([["elements"], ["positions"], ["elements", "positions"]]),
)
def test_a_chain_changes_only_what_it_may(
    crystals: CrystalTokens, policy: Policy, seed: int, allowed: set[int], moves: list[chains.Move]
) -> None:
    start = crystals[crystals.num_sites >= 2][seed % 20 :: 20]
    required = tuple(sorted(allowed)[:2])
    found = chains.run(
        policy,
        start,
        sweeps=1,
        seed=seed,
        moves=moves,
        constraints=Constraints(only(*allowed, sites=21), required=required),
    )
    end = found.tokens
    np.testing.assert_array_equal(end.space_group, start.space_group)
    np.testing.assert_array_equal(end.wyckoff, start.wyckoff)
    if "elements" in moves:
        assert set(np.unique(end.element)) <= {0, *allowed}
        assert all((end.element == z).any(axis=1).all() for z in required)
    else:
        np.testing.assert_array_equal(end.element, start.element)
    if "positions" not in moves:
        np.testing.assert_array_equal(end.position, start.position)
    for i, group in enumerate(end.space_group):
        for letter, position in zip(end.wyckoff[i], end.position[i], strict=True):
            if letter:
                on_site = wyckoff.project(group, letter, position)
                np.testing.assert_allclose(on_site, position, atol=1e-6)
    with torch.no_grad():
        scored = policy.log_prob(end).total.numpy()
    np.testing.assert_allclose(found.log_prob, scored, rtol=0, atol=1e-3)


def test_same_seed_same_chains(policy: Policy, crystals: CrystalTokens) -> None:
    first, again, other = (
        chains.run(policy, crystals[:20], sweeps=2, seed=seed) for seed in (1, 1, 2)
    )
    for name, array in first.tokens.to_arrays().items():
        np.testing.assert_array_equal(array, again.tokens.to_arrays()[name])
    np.testing.assert_array_equal(first.log_prob, again.log_prob)
    assert not np.array_equal(first.tokens.lattice, other.tokens.lattice)


@pytest.mark.gpu
def test_chains_that_do_not_fit_are_computed_in_parts(
    make_policy: MakePolicy, crystals: CrystalTokens, pretend_gpu: Gpu
) -> None:
    policy = make_policy().to(best_device())
    bias = RewardBias(lambda tokens: -tokens.lattice[:, 0], tau=1.0)
    expected, found = pretend_gpu.short_of_memory(
        lambda: chains.run(policy, crystals, sweeps=1, seed=0, reward_bias=bias)
    )
    for name, array in expected.tokens.to_arrays().items():
        np.testing.assert_allclose(found.tokens.to_arrays()[name], array, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.log_prob, expected.log_prob, atol=1e-3)


def test_training_mode_is_left_as_it_was(make_policy: MakePolicy, crystals: CrystalTokens) -> None:
    policy = make_policy(dropout=0.5).train()
    chains.run(policy, crystals[:2], sweeps=1, seed=0)
    assert policy.network.training


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sweeps": 0}, "sweeps must be at least 1, got 0"),
        ({"width": 0.0}, "width must be 0.0001 to 1, got 0.0"),
        ({"temperature": 1e-40}, r"temperature must be 1e-06 to 1e\+06, got 1e-40"),
        ({"temperature": np.nan}, r"temperature must be 1e-06 to 1e\+06, got nan"),
        ({"moves": []}, "moves must be one or more of elements, positions"),
        ({"moves": ["lattice"]}, "moves must be one or more of elements, positions"),
        (
            {"reward_bias": RewardBias(lambda tokens: np.zeros(len(tokens)), tau=0.0)},
            r"tau must be 1e-06 to 1e\+06, got 0.0",
        ),
        (
            {"reward_bias": RewardBias(lambda tokens: np.full(len(tokens), np.nan), tau=1.0)},
            "a reward must be 1 finite numbers",
        ),
        (
            {"constraints": Constraints(only(*TRIO, sites=3))},
            "the constraints are for 3 sites, the model has 21",
        ),
        (
            {"constraints": Constraints(only(*TRIO, sites=21), required=TRIO)},
            "crystal 0 has 2 sites, but 3 elements are required",
        ),
    ],
)
def test_bad_requests(policy: Policy, options: dict, message: str) -> None:
    given: dict = {"sweeps": 1} | options
    with pytest.raises(ValueError, match=message):
        chains.run(policy, pairs((11, 17)), seed=0, **given)


@pytest.mark.parametrize(("width", "temperature"), [(1e-4, 1e-6), (1.0, 1e6)])
def test_the_extremes_can_be_walked(
    policy: Policy, crystals: CrystalTokens, width: float, temperature: float
) -> None:
    found = chains.run(
        policy, crystals[::20], sweeps=2, seed=0, width=width, temperature=temperature
    )
    assert np.isfinite(found.log_prob).all()


def test_nothing_to_start_from(policy: Policy) -> None:
    with pytest.raises(ValueError, match="at least one crystal"):
        chains.run(policy, CrystalTokens.empty(21), sweeps=1, seed=0)


def test_a_start_that_cannot_be(policy: Policy) -> None:
    start = pairs((11, 17))
    start.wyckoff[:] = [[1, 1]]
    with pytest.raises(ValueError, match=r"crystal 0 of the start has probability 0.*221.*\[1 1\]"):
        chains.run(policy, start, sweeps=1, seed=0)
