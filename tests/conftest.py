"""What holds for every test, and the GPU of those that are marked ``gpu``."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from helpers.pretend_gpu import Gpu

# How long an example takes says more of the machine than of the code.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--gpu",
        choices=("none", "pretend", "real"),
        default="none",
        help="the GPU that the tests see: none, the pretend one, or that of this machine",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Hide the GPUs of this machine: most tests compare numbers of the CPU to the last bit."""
    if config.getoption("gpu") != "real":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    if config.getoption("gpu") == "pretend":
        from helpers import pretend_gpu  # noqa: PLC0415 - changes torch for the whole process

        pretend_gpu.install()


@pytest.fixture
def pretend_gpu(request: pytest.FixtureRequest) -> Iterator["Gpu"]:
    """The pretend GPU, with its counts at 0 and without a limit of its memory."""
    if request.config.getoption("gpu") != "pretend":
        pytest.skip("needs --gpu=pretend")
    from helpers import pretend_gpu  # noqa: PLC0415

    gpu = pretend_gpu.install()
    gpu.counts.clear()
    gpu.peak, gpu.failures = gpu.allocated, 0
    yield gpu
    gpu.limit = float("inf")
