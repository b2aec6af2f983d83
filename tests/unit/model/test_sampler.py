"""What is drawn has the probability that is reported and scored."""

from collections import Counter
from itertools import product

import numpy as np
import pytest
import torch
from scipy import stats
from uneven import MakePolicy

from crystalformer_rl.crystal import wyckoff
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.model.policy import Policy

ALL_GROUPS = np.arange(1, 231)
HALIDES = np.isin(np.arange(119), [3, 9, 11, 17, 35])


def scores(policy: Policy, tokens: CrystalTokens, **options: object) -> np.ndarray:
    with torch.no_grad():
        return policy.log_prob(tokens, **options).total.numpy()  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["ours", "published", "learned"])
@pytest.mark.parametrize("elements", [None, HALIDES], ids=["all", "masked"])
def test_reported_is_scored_in_all_groups(
    make_policy: MakePolicy, form: str, elements: np.ndarray | None
) -> None:
    changes = {
        "ours": {},
        "published": {"lattice_density": "per_dimension", "coordinate_density": "published"},
        "learned": {"positions": "learned"},
    }[form]
    policy = make_policy(**changes)
    samples = policy.sample(ALL_GROUPS, seed=3, elements=elements)
    scored = scores(policy, samples.tokens, elements=elements)
    np.testing.assert_allclose(samples.log_prob, scored, rtol=0, atol=1e-4)
    if elements is not None:
        assert set(np.unique(samples.tokens.element)) <= {0, 3, 9, 11, 17, 35}


def test_temperature_and_nucleus_change_the_draw_and_not_the_report(policy: Policy) -> None:
    cold = policy.sample(ALL_GROUPS, seed=3, temperature=0.3, top_p=0.8)
    np.testing.assert_allclose(cold.log_prob, scores(policy, cold.tokens), rtol=0, atol=1e-4)
    warm = policy.sample(ALL_GROUPS, seed=3)
    with torch.no_grad():
        per_site = [
            float(policy.log_prob(tokens).element.sum() / tokens.num_sites.sum())
            for tokens in (cold.tokens, warm.tokens)
        ]
    assert per_site[0] > per_site[1] + 0.5


def test_samples_obey_the_symmetry(policy: Policy, crystals: CrystalTokens) -> None:
    np.testing.assert_array_equal(crystals.space_group, ALL_GROUPS)
    for i, group in enumerate(ALL_GROUPS):
        letters = crystals.wyckoff[i, : crystals.num_sites[i]]
        assert (np.diff(letters) >= 0).all()
        assert not crystals.wyckoff[i, len(letters) :].any()
        np.testing.assert_array_equal(crystals.element[i] > 0, crystals.wyckoff[i] > 0)
        for letter, position in zip(letters, crystals.position[i], strict=False):
            np.testing.assert_allclose(
                wyckoff.project(group, letter, position), position, atol=1e-6
            )


def test_same_seed_same_crystals_whatever_the_batch_holds_up(policy: Policy) -> None:
    first, second, other = (policy.sample(ALL_GROUPS, seed=s) for s in (1, 1, 2))
    for name, array in first.tokens.to_arrays().items():
        np.testing.assert_array_equal(array, second.tokens.to_arrays()[name])
    assert not np.array_equal(first.tokens.element, other.tokens.element)


def test_small_batches_are_put_together_in_order(policy: Policy) -> None:
    samples = policy.sample(ALL_GROUPS[:50], seed=1, batch_size=7)
    np.testing.assert_array_equal(samples.tokens.space_group, ALL_GROUPS[:50])
    np.testing.assert_allclose(samples.log_prob, scores(policy, samples.tokens), atol=1e-4)


def test_a_sequence_may_end_without_a_pad(make_policy: MakePolicy) -> None:
    policy = make_policy(max_sites=3)
    samples = policy.sample([1] * 200, seed=0)
    assert (samples.tokens.num_sites == 3).any()
    np.testing.assert_allclose(samples.log_prob, scores(policy, samples.tokens), atol=1e-4)


def test_frequencies_follow_the_probabilities(make_policy: MakePolicy) -> None:
    """Chi-square over letter, element, letter, element of the rock-salt group and two elements.

    A first letter with a free coordinate is one class; the rest are enumerated.
    """
    policy = make_policy(max_sites=2)
    pair = np.isin(np.arange(119), [11, 17])
    fixed = [p.index for p in wyckoff.positions(225) if not p.free.any()]
    choices = [
        (a, z, b, y)
        for a, z, b in product(fixed, (11, 17), range(28))
        for y in ((0,) if b == 0 else (11, 17))
        if policy.tables.allowed_letters[225, a, b]
    ]
    # Coordinates of the second site are never read before its letter and element are drawn.
    tokens = CrystalTokens(
        space_group=np.full(len(choices), 225),
        wyckoff=np.array([(a, b) for a, _, b, _ in choices]),
        element=np.array([(z, y) for _, z, _, y in choices]),
        position=np.array([[wyckoff.project(225, a, [0, 0, 0]), [0, 0, 0]] for a, *_ in choices]),
        lattice=np.ones((len(choices), 6)),
    )
    with torch.no_grad():
        found = policy.log_prob(tokens, elements=pair)
    expected = (found.wyckoff + found.element).exp().double().numpy()
    count = 10000
    drawn = policy.sample([225] * count, seed=11, elements=pair).tokens
    seen = Counter(zip(*drawn.wyckoff.T[:1], *drawn.element.T[:1], *drawn.wyckoff.T[1:],
                       *drawn.element.T[1:], strict=True))  # fmt: skip
    observed = np.array([seen[choice] for choice in choices])
    enough = expected * count > 8
    table_seen = [*observed[enough], count - observed[enough].sum()]
    table_expected = [*expected[enough] * count, count * (1 - expected[enough].sum())]
    assert enough.sum() > 20
    assert stats.chisquare(table_seen, table_expected).pvalue > 1e-3


@pytest.mark.parametrize("group", [1, 166, 225])
def test_density_is_normalised(make_policy: MakePolicy, group: int) -> None:
    """Mean of q/p over samples of p is 1 for any other normalised density q of the same crystals.

    It would not be if a coordinate, the lattice or a pad were scored otherwise than drawn.
    """
    p, q = make_policy(), make_policy()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in q.parameters():
            parameter.add_(0.01 * torch.randn(parameter.shape, generator=generator))
    samples = p.sample([group] * 1500, seed=2)
    ratio = np.exp(scores(q, samples.tokens) - samples.log_prob)
    error = ratio.std() / np.sqrt(len(ratio))
    assert 0.001 < error < 0.1
    assert abs(ratio.mean() - 1) < 4 * error


@pytest.mark.parametrize("form", ["independent", "published"])
def test_published_coordinate_density_is_not_that_of_the_samples(
    make_policy: MakePolicy, form: str
) -> None:
    """In P2_13 every special position is (x, x, x): one number is drawn, the published form
    scores three, so its ratio of two policies is no ratio of densities.
    """
    p, q = (make_policy(coordinate_density=form) for _ in range(2))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        mixture = q.network.out.bias[: 3 * q.settings.coordinate_modes]
        mixture.add_(0.3 * torch.randn(mixture.shape, generator=generator))
    samples = p.sample([198] * 3000, seed=2)
    ratio = np.exp(scores(q, samples.tokens) - samples.log_prob)
    errors = abs(ratio.mean() - 1) / (ratio.std() / np.sqrt(len(ratio)))
    assert errors < 4 if form == "independent" else errors > 5


@pytest.mark.parametrize(
    ("groups", "options", "message"),
    [
        ([], {}, "at least one"),
        ([225, 0], {}, "space group of crystal 1 is 0: must be 1 to 230"),
        ([1], {"temperature": 0.0}, "temperature must be above 0, got 0.0"),
        ([1], {"top_p": 1.5}, "top_p must be above 0 and at most 1, got 1.5"),
        ([1], {"elements": np.zeros(119, dtype=np.bool_)}, "at least one of 1 to 118"),
    ],
)
def test_bad_requests(policy: Policy, groups: list[int], options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        policy.sample(groups, seed=0, **options)


def test_training_mode_is_left_as_it_was(make_policy: MakePolicy) -> None:
    policy = make_policy(dropout=0.5).train()
    samples = policy.sample([2, 62], seed=0)
    assert policy.network.training
    np.testing.assert_allclose(samples.log_prob, scores(policy.eval(), samples.tokens), atol=1e-4)
