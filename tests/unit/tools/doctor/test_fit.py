"""Requests against nodes: what fits, what does not, and the line to change."""

from dataclasses import replace
from pathlib import Path

import pytest

from crystalformer_rl.tools.doctor.fit import fit, fits
from crystalformer_rl.tools.doctor.plan import Request
from crystalformer_rl.tools.doctor.slurm import nodes

PROFILE = """\
executor: slurm
default-resources:
  slurm_partition: cpu
set-resources:
  rl: &training
    slurm_partition: gpu
    runtime: 1440
  pretrain: *training
"""
NODES, _ = nodes("""\
c1|cpu*|up|idle|32|128000|(null)|1-00:00:00
c2|cpu*|up|mixed|64|256000|(null)|1-00:00:00
g1|gpu|up|idle|16|64000|gpu:a100:2(S:0)|12:00:00
g2|gpu|up|mixed|16|500000|gpu:h200:4(S:0-1)|12:00:00
d1|debug|up|drained|16|64000|gpu:1|30:00
""")
FITS = Request("rl", partition="gpu", minutes=720, mem_mb=64000, cpus=4, gpus=1)


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    path = tmp_path / "config.v8+.yaml"
    path.write_text(PROFILE)
    return path


def test_what_fits(profile: Path) -> None:
    found = fit(FITS, NODES, profile=profile)
    assert (found.topic, found.status) == ("rule rl", "ok")
    assert found.found == "1 GPU, 4 CPUs, 64000 MB, 720 min: fits 2 nodes of partition gpu"


def test_no_partition_is_the_default_one(profile: Path) -> None:
    found = fit(replace(FITS, partition=None, gpus=0), NODES, profile=profile)
    assert found.found.endswith("fits 2 nodes of partition cpu")


@pytest.mark.parametrize(
    ("changes", "words", "change"),
    [
        ({"partition": "gpus"}, "gpus is not on this cluster, which has cpu, gpu, debug", "slurm_"),
        ({"minutes": 1440}, "partition gpu allows 720 min", "runtime: 720, in "),
        ({"mem_mb": 600000}, "no node of partition gpu has 600000 MB", "mem_mb: 500000, in "),
        ({"cpus": 17}, "no node of partition gpu has 17 CPUs", "cpus_per_task: 16, in "),
        ({"gpus": 5}, "no node of partition gpu has 5 GPUs", "gpu: 4, in "),
        (
            {"gpu_model": "v100"},
            "no node of partition gpu has 1 v100 GPUs",
            "gpu_model, of which there is h200, in ",
        ),
        ({"gpu_model": "a100", "mem_mb": 65000}, "no node of partition gpu has ", ", in "),
        ({"partition": "cpu"}, "no node of partition cpu has 1 GPUs", "of which there is none"),
        ({"nodes": 3}, "partition gpu has 2 such nodes", "nodes: 2, in "),
    ],
)
def test_what_does_not(profile: Path, changes: dict[str, object], words: str, change: str) -> None:
    found = fit(replace(FITS, **changes), NODES, profile=profile)
    assert found.status == "problem"
    assert words in found.found
    assert change in found.change
    assert str(profile) in found.change


def test_the_line_is_that_of_the_rule(profile: Path) -> None:
    found = fit(replace(FITS, minutes=1440), NODES, profile=profile)
    assert f"{profile}, line 5: `set-resources: rl:`" in found.change
    found = fit(replace(FITS, rule="hull", minutes=1440), NODES, profile=profile)
    assert f"{profile}: `set-resources: hull:`" in found.change
    found = fit(replace(FITS, partition="cpu"), NODES[2:], profile=profile)
    assert f"{profile}, line 3: `slurm_partition: cpu`" in found.change


def test_a_last_attempt_that_alone_does_not_fit_is_a_warning(profile: Path) -> None:
    first = [FITS, replace(FITS, rule="pretrain", cpus=17)]
    last = [replace(request, mem_mb=600000) for request in first]
    fitting, wrong, again = fits(first, last, NODES, profile=profile)
    assert (fitting.status, wrong.status) == ("ok", "problem")
    assert (again.topic, again.status) == ("rule rl, last attempt", "warning")
    assert "no node of partition gpu has 600000 MB" in again.found
    assert list(fits(first[:1], first[:1], NODES, profile=profile)) == [fitting]


def test_nodes_that_take_no_jobs_now_are_a_warning(profile: Path) -> None:
    found = fit(replace(FITS, partition="debug", minutes=30), NODES, profile=profile)
    assert found.status == "warning"
    assert "d1 is drained: jobs would wait" in found.found
