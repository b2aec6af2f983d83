"""Densities against scipy and numerical integrals, draws against the densities."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from crystalformer_rl.model import distributions
from crystalformer_rl.model.distributions import Draw
from crystalformer_rl.model.streams import CrystalStreams, SharedStream, Stream

SIGNIFICANT = 1e-3


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


STREAMS: dict[str, Callable[[int], Stream]] = {
    "shared": lambda _: SharedStream(generator()),
    "of crystals": lambda count: CrystalStreams.of_crystals(0, torch.arange(count)),
}
both = pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
Streams = Callable[[int], Stream]


def random_parameters(size: int, *, seed: int = 0) -> torch.Tensor:
    return 2 * torch.randn(1, size, dtype=torch.float64, generator=generator(seed))


@both
@pytest.mark.parametrize("concentration", [0.0, 1e-7, 1e-5, 0.3, 2.0, 50.0, 1e4, 1e7])
def test_von_mises_draws_follow_scipy(concentration: float, stream: Streams) -> None:
    location = 1.2
    count = 20000
    angles = distributions.draw_von_mises(
        torch.full((count,), location, dtype=torch.float64),
        torch.full((count,), concentration, dtype=torch.float64),
        stream(count),
    ).numpy()
    assert angles.min() >= -np.pi
    assert angles.max() < np.pi
    centred = (angles - location + np.pi) % (2 * np.pi) - np.pi
    if concentration == 0:
        expected = stats.uniform(-np.pi, 2 * np.pi).cdf
    else:
        expected = stats.vonmises(concentration).cdf
    assert stats.kstest(centred, expected).pvalue > SIGNIFICANT


def test_von_mises_density_is_scipys() -> None:
    angle = torch.linspace(-3, 3, 7, dtype=torch.float64)[:, None]
    concentration = torch.tensor([1e-9, 0.5, 3.0, 400.0], dtype=torch.float64)
    found = distributions.von_mises_log_density(
        angle, torch.tensor(0.4, dtype=torch.float64), concentration
    )
    expected = stats.vonmises.logpdf(angle.numpy(), concentration.numpy(), loc=0.4)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-8, atol=1e-8)


def test_coordinate_density_integrates_to_one_per_radian() -> None:
    parameters = random_parameters(12)

    def density(x: float) -> float:
        point = torch.tensor([x], dtype=torch.float64)
        return float(distributions.coordinate_log_density(parameters, point).exp())

    total, _ = integrate.quad(density, 0, 1, limit=200)
    assert total * 2 * np.pi == pytest.approx(1, abs=1e-6)


@both
def test_coordinate_draws_follow_the_density(stream: Streams) -> None:
    parameters = random_parameters(12)
    edges = np.linspace(0, 1, 41)
    fine = torch.linspace(0, 1, 4001, dtype=torch.float64)
    log_density = distributions.coordinate_log_density(parameters.expand(len(fine), -1), fine)
    density = 2 * np.pi * log_density.exp().numpy()
    cdf = integrate.cumulative_trapezoid(density, fine.numpy(), initial=0)
    expected = np.diff(np.interp(edges, fine.numpy(), cdf))
    draws = distributions.draw_coordinate(parameters.expand(20000, -1), Draw(stream(20000))).numpy()
    assert draws.min() >= 0
    assert draws.max() < 1
    observed, _ = np.histogram(draws, edges)
    scaled = expected / expected.sum() * len(draws)
    enough = scaled > 5
    assert (
        stats.chisquare(
            [*observed[enough], observed[~enough].sum() + 1e-9],
            [*scaled[enough], scaled[~enough].sum() + 1e-9],
        ).pvalue
        > SIGNIFICANT
    )


def test_lattice_densities_are_the_two_formulas() -> None:
    parameters = random_parameters(26)
    point = torch.randn(1, 6, dtype=torch.float64, generator=generator(1))
    free = torch.tensor([[True, False, True, True, False, False]])
    logits, mean, width = parameters.tensor_split((2, 14), dim=-1)
    weight = logits.softmax(-1)[0].numpy()
    width = torch.nn.functional.softplus(width) + 1e-3
    normal = stats.norm(mean.view(2, 6).numpy(), width.view(2, 6).numpy()).pdf(point.numpy())
    free_normal = normal[:, free[0].numpy()]
    expected = {
        "joint": np.log((weight * free_normal.prod(1)).sum()),
        "per_dimension": np.log((weight[:, None] * free_normal).sum(0)).sum(),
    }
    for density, value in expected.items():
        found = distributions.lattice_log_density(parameters, point, free, density)  # type: ignore[arg-type]
        assert float(found) == pytest.approx(value, abs=1e-10)


@both
@pytest.mark.parametrize("density", ["joint", "per_dimension"])
def test_lattice_draws_follow_the_density(density: str, stream: Streams) -> None:
    """Each number follows its mixture; together they follow one component only if joint."""
    parameters = torch.zeros(1, 26, dtype=torch.float64)
    parameters[0, 2:8], parameters[0, 8:14] = -5.0, 5.0
    draws = distributions.draw_lattice(
        parameters.expand(4000, -1),
        Draw(stream(4000)),
        density,  # type: ignore[arg-type]
    ).numpy()
    width = np.log(2) + distributions.SMALLEST_WIDTH
    for column in draws.T:
        assert (
            stats.kstest(
                column, lambda x: (stats.norm(-5, width).cdf(x) + stats.norm(5, width).cdf(x)) / 2
            ).pvalue
            > SIGNIFICANT
        )
    agree = ((draws > 0) == (draws[:, :1] > 0)).all(axis=1).mean()
    assert agree == 1 if density == "joint" else agree < 0.1


@both
def test_nucleus_keeps_the_choice_that_passes_p(stream: Streams) -> None:
    logits = torch.tensor([0.1, 0.5, 0.4]).log().expand(2000, -1)
    for top_p, kept in ((0.3, {1}), (0.6, {1, 2}), (1.0, {0, 1, 2})):
        drawn = distributions.draw_category(logits, Draw(stream(2000), top_p=top_p))
        assert set(drawn.tolist()) == kept


@both
def test_temperature_sharpens(stream: Streams) -> None:
    logits = torch.tensor([0.2, 0.8]).log().expand(4000, -1)
    drawn = distributions.draw_category(logits, Draw(stream(4000), temperature=0.5))
    expected = 0.8**2 / (0.2**2 + 0.8**2)
    assert stats.binomtest(int(drawn.sum()), 4000, expected).pvalue > SIGNIFICANT
    parameters = torch.zeros(4000, 13, dtype=torch.float64)
    cold, hot = (
        distributions.draw_lattice(parameters, Draw(stream(4000), temperature=t), "joint").std()
        for t in (0.25, 1.0)
    )
    assert float(hot / cold) == pytest.approx(2, rel=1e-6)
    flat = torch.zeros(4000, 3, dtype=torch.float64)
    cold_x, hot_x = (
        distributions.draw_coordinate(flat, Draw(stream(4000), temperature=t)).std()
        for t in (0.1, 1.0)
    )
    assert cold_x < hot_x


@pytest.mark.parametrize("value", [-1e-20, 0.0, 0.25, 1.0, 1 - 1e-9, -0.25, 2.5])
def test_wrap_stays_below_one(value: float) -> None:
    for dtype in (torch.float32, torch.float64):
        wrapped = distributions.wrap(torch.tensor([value], dtype=dtype))
        assert 0 <= float(wrapped) < 1
