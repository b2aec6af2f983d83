"""A made-up run and its page, built once."""

import pytest
from helpers import synthetic

from crystalformer_rl.config import Config, ReportSettings
from crystalformer_rl.report.page import Report, build

POLICIES = ("base", "sft", "rl-ehull", "rl-fom")
TITLE = 'Run of <b>"today"</b> & $tomorrow'


def make(counts: dict[str, int]) -> Report:
    table = synthetic.structures(counts, shift={"rl-ehull": 0.3})
    return build(
        synthetic.run(
            table,
            config=Config(report=ReportSettings(title=TITLE, best=2)),
            histories={
                "base": [synthetic.losses()],
                "rl-ehull": [synthetic.round_history(2), synthetic.round_history(1)],
                "rl-fom": [synthetic.round_history(1, merit=True)],
            },
            hull=synthetic.hull(),
            dataset=synthetic.dataset(table),
            provenance={
                "pretrain": synthetic.record("pretrain", items=100),
                "sample/base/shard-0000": synthetic.record("sample", items=40),
                "sample/base/shard-0001": synthetic.record("sample", items=40),
            },
        )
    )


@pytest.fixture(scope="session")
def run_of_four() -> Report:
    """Four policies of 12 structures."""
    return make(dict.fromkeys(POLICIES, 12))


@pytest.fixture(scope="session")
def build_again():
    """Build the page of :func:`run_of_four` once more."""
    return lambda: make(dict.fromkeys(POLICIES, 12))
