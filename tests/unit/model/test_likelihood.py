"""What is allowed, what is counted, and that nothing but the crystal matters."""

import numpy as np
import pytest
import torch
from helpers.policies import MakePolicy, uneven_policy
from hypothesis import given, settings
from hypothesis import strategies as st

from crystalformer_rl.crystal import wyckoff
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.model.constraints import Constraints, unconstrained
from crystalformer_rl.model.likelihood import START, LogProb
from crystalformer_rl.model.policy import Policy

PARTS = ("wyckoff", "element", "position", "lattice")


def crystal(
    group: int, letters: list[int], elements: list[int], *, sites: int = 21
) -> CrystalTokens:
    """A crystal at coordinates 0.1, 0.2, 0.3, projected, in a cell of length 2."""
    position = np.zeros((1, sites, 3))
    for i, letter in enumerate(letters):
        position[0, i] = wyckoff.project(group, letter, [0.1, 0.2, 0.3])
    return CrystalTokens(
        space_group=np.array([group]),
        wyckoff=np.array([letters + [0] * (sites - len(letters))]),
        element=np.array([elements + [0] * (sites - len(elements))]),
        position=position,
        lattice=np.array([[2.0, 2.0, 2.0, 1.5, 1.5, 1.5]]),
    )


def numbers(found: LogProb) -> dict[str, np.ndarray]:
    return {part: getattr(found, part).detach().numpy() for part in PARTS}


def test_allowed_letters_by_the_rules(policy: Policy) -> None:
    table = policy.tables.allowed_letters.numpy()
    for group in (1, 2, 47, 62, 225, 230):
        highest = len(wyckoff.positions(group))
        for following in range(28):
            assert table[group, START, following] == (1 <= following <= highest)
            assert table[group, 0, following] == (following == 0)
            for position in wyckoff.positions(group):
                later = following > position.index or (
                    following == position.index and position.free.any()
                )
                allowed = following == 0 or (later and following <= highest)
                assert table[group, position.index, following] == allowed


def test_drawn_coordinates_are_as_many_as_the_position_has_freedom(policy: Policy) -> None:
    operation = wyckoff.first_operations()
    freedom = np.linalg.matrix_rank(operation[..., :3])
    np.testing.assert_array_equal(policy.tables.drawn.numpy().sum(-1), freedom)


def test_dependent_coordinates_count_in_the_published_form_only(make_policy: MakePolicy) -> None:
    """Position 32f of Fm-3m is (x, x, x): one number is drawn."""
    tokens = crystal(225, [6], [11])
    ours, published = make_policy(), make_policy(coordinate_density="published")
    with torch.no_grad():
        position, more = (p.log_prob(tokens).position for p in (ours, published))
    assert ours.tables.scored[225, 6].tolist() == [True, False, False]
    assert published.tables.scored[225, 6].tolist() == [True, True, True]
    assert float(position) != float(more)


def test_order_of_the_batch_and_padding_do_not_matter(
    policy: Policy, crystals: CrystalTokens
) -> None:
    policy = uneven_policy().double()
    some = crystals[::7]
    order = np.random.default_rng(0).permutation(len(some))
    longer = some.pad_to(30)
    with torch.no_grad():
        straight = numbers(policy.log_prob(some))
        permuted = numbers(policy.log_prob(some[order]))
        padded = numbers(policy.log_prob(longer))
        alone = [numbers(policy.log_prob(some[i])) for i in range(len(some))]
    for part in PARTS:
        np.testing.assert_allclose(permuted[part], straight[part][order], rtol=0, atol=1e-6)
        np.testing.assert_array_equal(padded[part], straight[part])
        single = [one[part][0] for one in alone]
        np.testing.assert_allclose(single, straight[part], rtol=0, atol=1e-6)


def test_what_is_not_allowed_has_probability_zero(policy: Policy) -> None:
    no_sodium = unconstrained(21)
    no_sodium.elements[:, 11] = False
    with torch.no_grad():
        for letters, elements in (
            ([], []),  # the first letter is a pad
            ([10], [11]),  # P-1 has letters to i = 9
            ([2, 1], [11, 17]),  # decreasing
            ([1, 1], [11, 17]),  # 1a has no free coordinate
            ([1, 2], [11, 0]),  # a site without an element
            ([1], [11, 17]),  # an element without a site
        ):
            tokens = crystal(2, [min(x, 9) for x in letters], elements)
            tokens.wyckoff[0, : len(letters)] = letters
            assert float(policy.log_prob(tokens).total) == -np.inf, (letters, elements)
        legal = crystal(2, [1, 9, 9], [11, 17, 17])
        assert np.isfinite(float(policy.log_prob(legal).total))
        assert float(policy.log_prob(legal, constraints=no_sodium).element) == -np.inf
        broken = crystal(2, [1, 9], [11, 17])
        broken.wyckoff[0, 4], broken.element[0, 4] = 9, 17
        assert float(policy.log_prob(broken).wyckoff) == -np.inf


@given(
    allowed=st.sets(st.integers(1, 118), min_size=1, max_size=20),
    group=st.sampled_from([1, 62, 225]),
)
@settings(max_examples=10)
def test_probabilities_of_elements_sum_to_one_over_the_allowed(
    allowed: set[int], group: int
) -> None:
    policy = uneven_policy()
    mask = np.zeros((21, 119), dtype=np.bool_)
    mask[:, list(allowed)] = True
    constraints = Constraints(mask)
    tokens = CrystalTokens.concatenate([crystal(group, [1], [z]) for z in sorted(allowed)])
    with torch.no_grad():
        total = policy.log_prob(tokens, constraints=constraints).element.exp().sum()
        everything = policy.log_prob(tokens).element
        masked = policy.log_prob(tokens, constraints=constraints).element
    assert float(total) == pytest.approx(1, abs=1e-5)
    shift = (masked - everything).numpy()
    np.testing.assert_allclose(shift, shift[0], atol=1e-4)


def test_elements_by_site(policy: Policy) -> None:
    mask = np.zeros((21, 119), dtype=np.bool_)
    mask[:, 17] = True
    mask[0] = False
    mask[0, 11] = True
    constraints = Constraints(mask)
    with torch.no_grad():
        found = policy.log_prob(crystal(2, [1, 9], [11, 17]), constraints=constraints).element
        swapped = policy.log_prob(crystal(2, [1, 9], [17, 11]), constraints=constraints).element
    assert float(found) == pytest.approx(0, abs=1e-6)
    assert float(swapped) == -np.inf


def test_gradient_is_finite(policy: Policy, crystals: CrystalTokens) -> None:
    policy = uneven_policy()
    loss = -policy.log_prob(crystals).total.mean()
    loss.backward()
    for name, parameter in policy.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_dropout_only_in_training(crystals: CrystalTokens) -> None:
    policy = uneven_policy(dropout=0.5)
    some = crystals[:8]
    with torch.no_grad():
        first, second = policy.log_prob(some).total, policy.log_prob(some).total
        noisy = policy.train().log_prob(some).total
    assert torch.equal(first, second)
    assert not torch.allclose(first, noisy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"space_group": np.array([231])}, "space group of crystal 0 is 231: must be 1 to 230"),
        ({"element": np.full((1, 21), 119)}, "element of crystal 0 is 119: must be 0 to 118"),
        ({"wyckoff": np.full((1, 21), 28)}, "wyckoff of crystal 0 is 28: must be 0 to 27"),
    ],
)
def test_values_that_do_not_exist(policy: Policy, change: dict, message: str) -> None:
    tokens = CrystalTokens(**(crystal(1, [1], [11]).to_arrays() | change))
    with pytest.raises(ValueError, match=message):
        policy.log_prob(tokens)


def test_too_many_sites(policy: Policy) -> None:
    with pytest.raises(ValueError, match="crystal 0 has 22 sites; the model takes 21"):
        policy.log_prob(crystal(1, [1] * 22, [11] * 22, sites=22))


def test_autocast_reaches_the_blocks_only(
    crystals: CrystalTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is put in and what is read out is float32: only the blocks compute in bfloat16."""
    policy = uneven_policy()
    inside, outside, read = set(), set(), policy.network.read
    for block in policy.network.blocks:
        block.mlp_in.register_forward_hook(lambda _, __, out: inside.add(out.dtype))
    for layer in (policy.network.first_letter_out, *policy.network.coordinate_in):
        layer.register_forward_hook(lambda _, __, out: outside.add(out.dtype))

    def noted(h: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        out = read(h, start, stop)
        outside.update((h.dtype, out.dtype))
        return out

    monkeypatch.setattr(policy.network, "read", noted)
    with torch.no_grad():
        plain = policy.log_prob(crystals).total
        inside.clear()
        with torch.autocast("cpu", torch.bfloat16):
            rounded = policy.log_prob(crystals).total
    assert inside == {torch.bfloat16}
    assert outside == {rounded.dtype} == {torch.float32}
    assert not torch.equal(plain, rounded)
    assert float(rounded.mean()) == pytest.approx(float(plain.mean()), rel=0.01)


def test_double_stays_double_under_autocast(crystals: CrystalTokens) -> None:
    policy = uneven_policy().double()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert policy.log_prob(crystals[:4]).total.dtype == torch.float64
