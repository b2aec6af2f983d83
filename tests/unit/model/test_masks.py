"""Constraints are obeyed by whatever is drawn, and what is drawn follows the masked density."""

from collections import Counter
from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
import torch
from helpers.policies import MakePolicy, uneven_policy
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from crystalformer_rl.crystal import wyckoff
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.model.constraints import (
    Constraints,
    following_sites,
    primitive_multiplicities,
    unconstrained,
)
from crystalformer_rl.model.policy import Policy

POLICY = uneven_policy(max_sites=6, layers=1)
EVERYTHING = unconstrained(6).elements


def check_scores(policy: Policy, group: list[int], constraints: Constraints) -> CrystalTokens:
    """Samples, whose reported ln p must be the one that is scored."""
    samples = policy.sample(group, seed=5, constraints=constraints)
    with torch.no_grad():
        scored = policy.log_prob(samples.tokens, constraints=constraints).total
    assert np.isfinite(samples.log_prob).all()
    np.testing.assert_allclose(scored.numpy(), samples.log_prob, rtol=0, atol=1e-4)
    return samples.tokens


def atoms(tokens: CrystalTokens) -> np.ndarray:
    return primitive_multiplicities()[tokens.space_group[:, None], tokens.wyckoff].sum(axis=1)


@given(
    groups=st.lists(st.integers(1, 230), min_size=1, max_size=4),
    required=st.lists(st.integers(1, 118), max_size=4, unique=True),
    max_atoms=st.none() | st.integers(1, 60),
)
@settings(max_examples=40)
def test_required_and_max_atoms_hold(
    groups: list[int], required: list[int], max_atoms: int | None
) -> None:
    constraints = Constraints(EVERYTHING, required=tuple(required), max_atoms=max_atoms)
    if max_atoms is not None:
        room = min(following_sites(group, max_atoms, 6)[0, -1] for group in groups)
        assume(room >= max(1, len(required)))
    tokens = check_scores(POLICY, groups * 10, constraints)
    assert (tokens.num_sites >= 1).all()
    for z in required:
        assert (tokens.element == z).any(axis=1).all()
    if max_atoms is not None:
        assert (atoms(tokens) <= max_atoms).all()


@pytest.mark.parametrize("count", [2, 3, 4])
def test_required_fit_even_where_there_is_just_enough_room(count: int) -> None:
    """The least max_atoms that holds them, in every group that has one."""
    required = tuple(range(11, 11 + count))
    by_limit: dict[int, list[int]] = {}
    for group in range(1, 231):
        room = following_sites(group, 200, 6)[0]
        by_limit.setdefault(int(np.searchsorted(room, count)), []).append(group)
    for limit, groups in by_limit.items():
        constraints = Constraints(EVERYTHING, required=required, max_atoms=limit)
        tokens = check_scores(POLICY, groups * 3, constraints)
        assert all(set(required) <= set(row) for row in tokens.element.tolist())
        assert (atoms(tokens) <= limit).all()
        with pytest.raises(ValueError, match=f"space group {groups[0]}[ :]"):
            Constraints(EVERYTHING, required=required, max_atoms=limit - 1).check(groups[:1])


@st.composite
def templates(draw: st.DrawFn) -> tuple[int, tuple[int, ...]]:
    """A space group and letters that it can have."""
    group = draw(st.integers(1, 230))
    free = wyckoff.has_freedom()[group]
    highest = len(wyckoff.positions(group))
    letters = sorted(draw(st.lists(st.integers(1, highest), min_size=1, max_size=6)))
    kept = [n for i, n in enumerate(letters) if free[n] or n not in letters[:i]]
    return group, tuple(kept)


@pytest.mark.slow
def test_templates_hold_in_all_groups() -> None:
    random = np.random.default_rng(0)
    for group in range(1, 231):
        letter = int(random.integers(1, len(wyckoff.positions(group)) + 1))
        letters = letter, len(wyckoff.positions(group))
        constraints = Constraints(EVERYTHING, letters=letters, required=(8,))
        tokens = check_scores(POLICY, [group], constraints)
        assert tokens.wyckoff.tolist() == [[*letters, 0, 0, 0, 0]]
        assert 8 in tokens.element


@given(asked=templates())
@settings(max_examples=25)
def test_letters_of_a_template_are_certain(asked: tuple[int, tuple[int, ...]]) -> None:
    group, letters = asked
    constraints = Constraints(EVERYTHING, letters=letters)
    tokens = check_scores(POLICY, [group] * 5, constraints)
    assert (tokens.wyckoff == [*letters, *[0] * (6 - len(letters))]).all()
    with torch.no_grad():
        assert not POLICY.log_prob(tokens, constraints=constraints).wyckoff.any()


@pytest.mark.parametrize(
    ("constraints", "changed"),
    [
        (Constraints(EVERYTHING, letters=(1, 2)), {"wyckoff": [1, 3, 0, 0, 0, 0]}),
        (Constraints(EVERYTHING, letters=(1, 2, 9)), {}),
        (Constraints(EVERYTHING, letters=(1,)), {}),
        (Constraints(EVERYTHING, max_atoms=1), {}),
        (Constraints(EVERYTHING, required=(8,)), {}),
        (Constraints(EVERYTHING, required=(11, 8)), {}),
        (Constraints(EVERYTHING, required=(8, 9), max_atoms=2), {}),
    ],
)
def test_a_crystal_that_does_not_obey_has_probability_zero(
    constraints: Constraints, changed: dict[str, list[int]]
) -> None:
    """P-1 with Na on 1a and Cl on 1b, unless changed; never NaN."""
    crystal = CrystalTokens(
        space_group=np.array([2]),
        wyckoff=np.array([changed.get("wyckoff", [1, 2, 0, 0, 0, 0])]),
        element=np.array([[11, 17, 0, 0, 0, 0]]),
        position=np.zeros((1, 6, 3)),
        lattice=np.ones((1, 6)),
    )
    with torch.no_grad():
        assert np.isfinite(float(POLICY.log_prob(crystal).total))
        assert float(POLICY.log_prob(crystal, constraints=constraints).total) == -np.inf


ENUMERATED = {
    "one_site": (1, (), {}),
    "max_atoms": (4, (8, 11, 17), {"max_atoms": 4}),
    "required": (4, (8, 11, 17), {"max_atoms": 4, "required": (11, 17)}),
    "one_required": (4, (8, 11, 17), {"max_atoms": 5, "required": (8,)}),
    "template": (4, (8, 11, 17), {"letters": (1, 2, 4)}),
    "template_required": (4, (8, 11, 17), {"letters": (1, 2, 4), "required": (8,)}),
}


@pytest.mark.parametrize("case", ENUMERATED)
def test_frequencies_follow_the_probabilities(make_policy: MakePolicy, case: str) -> None:
    """All letters and elements that Pm-3m can have; positions without freedom if there are two."""
    sites, elements, changes = ENUMERATED[case]
    policy, mask = make_policy(max_sites=sites, layers=1), unconstrained(sites).elements
    if elements:
        mask[:, ~np.isin(np.arange(119), elements)] = False
    constraints = Constraints(mask, **changes)  # type: ignore[arg-type]
    outcomes = list(enumerate_outcomes(sites, elements or tuple(range(1, 119))))
    fixed = np.array([np.zeros(3), *(p.operation[:, 3] for p in wyckoff.positions(221))])
    letters, numbers = (np.array(part) for part in zip(*outcomes, strict=True))
    everything = CrystalTokens(
        space_group=np.full(len(outcomes), 221),
        wyckoff=letters,
        element=numbers,
        position=fixed[letters],
        lattice=np.ones((len(outcomes), 6)),
    )
    with torch.no_grad():
        found = policy.double().log_prob(everything, constraints=constraints)
    expected = (found.wyckoff + found.element).exp().numpy()
    assert expected.sum() == pytest.approx(1, abs=1e-6)

    count = 20000
    drawn = (
        policy.float()
        .sample([221] * count, seed=11, constraints=constraints, batch_size=4000)
        .tokens
    )
    seen = Counter(
        (tuple(w), tuple(z))
        for w, z in zip(drawn.wyckoff.tolist(), drawn.element.tolist(), strict=True)
    )
    assert set(seen) <= set(outcomes)
    observed = np.array([seen[outcome] for outcome in outcomes])
    often = expected * count > 8
    assert often.sum() > 5
    assert (
        stats.chisquare(
            [*observed[often], observed[~often].sum() + 1e-9],
            [*expected[often] * count, expected[~often].sum() * count + 1e-9],
            sum_check=False,
        ).pvalue
        > 1e-3
    )


def enumerate_outcomes(
    sites: int, elements: tuple[int, ...]
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Letters and elements of Pm-3m, padded: one site anywhere, or several without freedom."""
    free = wyckoff.has_freedom()[221]
    letters = [p.index for p in wyckoff.positions(221) if sites == 1 or not free[p.index]]
    for chosen in product(*[(0, letter) for letter in letters]):
        used = tuple(letter for letter in chosen if letter)
        if 1 <= len(used) <= sites:
            pad = (0,) * (sites - len(used))
            for numbers in product(elements, repeat=len(used)):
                yield used + pad, numbers + pad
