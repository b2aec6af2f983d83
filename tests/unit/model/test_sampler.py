"""What is drawn has the probability that is reported and scored."""

import logging

import numpy as np
import pytest
import torch
from helpers.policies import MakePolicy
from helpers.pretend_gpu import Gpu

from crystalformer_rl.config import TEMPERATURES
from crystalformer_rl.crystal import wyckoff
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.model import sampler
from crystalformer_rl.model.constraints import Constraints, unconstrained
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.model.sampler import Samples
from crystalformer_rl.model.transformer import cache_bytes

ALL_GROUPS = np.arange(1, 231)
HALIDES = (3, 9, 11, 17, 35)


def only(*elements: int, sites: int = 21) -> Constraints:
    return Constraints(np.tile(np.isin(np.arange(119), elements), (sites, 1)))


def scores(policy: Policy, tokens: CrystalTokens, **options: object) -> np.ndarray:
    with torch.no_grad():
        return policy.log_prob(tokens, **options).total.cpu().numpy()  # type: ignore[arg-type]


def assert_same(found: Samples, expected: Samples) -> None:
    """The same crystals, up to the rounding of other batches."""
    for name, array in found.tokens.to_arrays().items():
        np.testing.assert_allclose(array, getattr(expected.tokens, name), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.log_prob, expected.log_prob, atol=1e-3)


FORMS: dict[str, dict[str, str]] = {
    "ours": {},
    "published": {"lattice_density": "per_dimension", "coordinate_density": "published"},
    "learned": {"positions": "learned"},
}
ALKALI_THEN_HALOGEN = unconstrained(21)
ALKALI_THEN_HALOGEN.elements[0] = np.isin(np.arange(119), [3, 11, 19])
ALKALI_THEN_HALOGEN.elements[1] = np.isin(np.arange(119), [9, 17, 35])
CONSTRAINTS = {
    "none": None,
    "elements": only(*HALIDES),
    "site_elements": ALKALI_THEN_HALOGEN,
    "required": Constraints(unconstrained(21).elements, required=(11, 17, 8)),
    "max_atoms": Constraints(unconstrained(21).elements, max_atoms=12),
    "required_and_max_atoms": Constraints(only(*HALIDES).elements, required=(11, 17), max_atoms=20),
}
BENT = {"temperature": 0.7, "top_p": 0.9, "first_element_temperature": 2.0}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("asked", CONSTRAINTS)
@pytest.mark.parametrize("options", [{}, BENT], ids=["straight", "bent"])
def test_reported_is_scored_in_all_groups(
    make_policy: MakePolicy, form: str, asked: str, options: dict[str, float]
) -> None:
    policy, constraints = make_policy(**FORMS[form]), CONSTRAINTS[asked]
    samples = policy.sample(ALL_GROUPS, seed=3, constraints=constraints, **options)
    scored = scores(policy, samples.tokens, constraints=constraints)
    np.testing.assert_allclose(samples.log_prob, scored, rtol=0, atol=1e-4)


def test_temperature_and_nucleus_sharpen(policy: Policy) -> None:
    cold = policy.sample(ALL_GROUPS, seed=3, temperature=0.3, top_p=0.8)
    warm = policy.sample(ALL_GROUPS, seed=3)
    with torch.no_grad():
        per_site = [
            float(policy.log_prob(tokens).element.sum() / tokens.num_sites.sum())
            for tokens in (cold.tokens, warm.tokens)
        ]
    assert per_site[0] > per_site[1] + 0.5


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_the_extreme_temperatures_can_be_drawn(policy: Policy, temperature: float) -> None:
    samples = policy.sample([1, 62, 225] * 5, seed=3, temperature=temperature)
    assert np.isfinite(samples.tokens.lattice).all()
    assert np.isfinite(samples.log_prob).all()


def test_first_element_has_a_temperature_of_its_own(make_policy: MakePolicy) -> None:
    """Nearly cold, all others warm: one first element per letter, many second ones."""
    policy = make_policy(max_sites=3)
    template = Constraints(unconstrained(3).elements, letters=(1, 1, 1))
    tokens = policy.sample(
        [1] * 200, seed=0, first_element_temperature=1e-3, constraints=template
    ).tokens
    first, second, _ = (len(set(column)) for column in tokens.element.T)
    assert first == 1
    assert second > 10


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


@pytest.mark.gpu
def test_same_seed_same_crystals_whatever_the_batch_holds_up(policy: Policy) -> None:
    first, second, other = (policy.sample(ALL_GROUPS, seed=s) for s in (1, 1, 2))
    for name, array in first.tokens.to_arrays().items():
        np.testing.assert_array_equal(array, second.tokens.to_arrays()[name])
    assert not np.array_equal(first.tokens.element, other.tokens.element)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_batches_that_are_joined_are_put_together_in_order(policy: Policy, batch_size: int) -> None:
    groups = ALL_GROUPS[: 20 * batch_size]
    samples = policy.sample(groups, seed=1, batch_size=batch_size)
    np.testing.assert_array_equal(samples.tokens.space_group, groups)
    np.testing.assert_allclose(samples.log_prob, scores(policy, samples.tokens), atol=1e-4)
    again = policy.sample(groups, seed=1, batch_size=batch_size)
    np.testing.assert_array_equal(samples.log_prob, again.log_prob)


def test_a_batch_without_memory_costs_only_what_was_not_finished(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = policy.sample(ALL_GROUPS, seed=1)
    started: list[np.ndarray] = []
    start = sampler._Drawing._start

    def failing(drawing: sampler._Drawing, members: np.ndarray) -> sampler._Batch:
        started.append(members)
        if len(started) == 4:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return start(drawing, members)

    monkeypatch.setattr(sampler._Drawing, "_start", failing)
    found = policy.sample(ALL_GROUPS, seed=1, batch_size=60)
    assert [len(members) for members in started[:4]] == [60, 60, 60, 50]
    again = np.concatenate(started[4:])
    assert max(map(len, started[4:])) == 30
    assert set(started[3]) <= set(again)
    assert len(again) == len(set(again)) < 50 + 60
    assert_same(found, expected)


@pytest.mark.gpu
def test_halving_starts_from_the_crystals_that_are_there(
    policy: Policy, pretend_gpu: Gpu, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        expected, found = pretend_gpu.short_of_memory(
            lambda: policy.sample(ALL_GROUPS, seed=1, batch_size=10_000), share=2 / 3
        )
    assert caplog.records[0].args[0] == len(ALL_GROUPS)
    assert_same(found, expected)


@pytest.mark.gpu
@pytest.mark.parametrize("crystals", [100, 200])
def test_a_batch_follows_the_free_memory(
    policy: Policy, pretend_gpu: Gpu, crystals: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of what the masks leave free is for the cache."""
    sizes: list[int] = []
    monkeypatch.setattr(sampler._Drawing, "run", lambda _, size: sizes.append(size))
    each = cache_bytes(policy.settings)
    pretend_gpu.limit = pretend_gpu.allocated + 2 * crystals * each
    policy.sample(ALL_GROUPS, seed=1)
    assert 0.5 * crystals < sizes[0] <= crystals


@pytest.mark.gpu
def test_a_sequence_may_end_without_a_pad(make_policy: MakePolicy) -> None:
    policy = make_policy(max_sites=3)
    samples = policy.sample([1] * 200, seed=0)
    assert (samples.tokens.num_sites == 3).any()
    np.testing.assert_allclose(samples.log_prob, scores(policy, samples.tokens), atol=1e-4)


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
        ([1], {"temperature": 1e-40}, r"temperature must be 1e-06 to 1e\+06, got 1e-40"),
        ([1], {"temperature": np.inf}, r"temperature must be 1e-06 to 1e\+06, got inf"),
        ([1], {"top_p": 1.5}, "top_p must be above 0 and at most 1, got 1.5"),
        (
            [1],
            {"first_element_temperature": -1.0},
            r"first_element_temperature must be 1e-06 to 1e\+06, got -1.0",
        ),
        ([1], {"constraints": unconstrained(5)}, "are for 5 sites, the model has 21"),
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
