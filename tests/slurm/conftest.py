"""The cluster, and a copy of the repository in which the smoke pipeline has run on it."""

from collections.abc import Iterator

import pytest
from helpers.copies import Copy
from helpers.slurm.cluster import Cluster, Unavailable, cluster
from helpers.slurm.driver import prepared, run


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    try:
        with cluster(tmp_path_factory.mktemp("slurm")) as found:
            yield found
    except Unavailable as reason:
        pytest.skip(f"no SLURM: {reason}")


@pytest.fixture(scope="session")
def finished(slurm: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """A copy in which the smoke pipeline has run, every job of it on the cluster."""
    copy = prepared(tmp_path_factory.mktemp("finished") / "clone")
    assert "Done. The report: results/smoke/report/index.html" in run(copy)
    return copy
