"""What the jobs of a rule ask for, by the resources that Snakemake plans."""

import pytest

from crystalformer_rl.tools.doctor.plan import Request, request


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, Request("r")),
        (
            {"slurm_partition": "gpu", "gpu": 1, "runtime": 60, "mem_mb": 8000, "_cores": 2},
            Request("r", partition="gpu", minutes=60, mem_mb=8000, cpus=2, gpus=1),
        ),
        ({"gres": "gpu:1"}, Request("r", gpus=1)),
        ({"gres": "gpu:h200:2"}, Request("r", gpus=2, gpu_model="h200")),
        ({"gres": "shard:2"}, Request("r")),
        (
            {"nodes": 2, "gpu": 8, "tasks": 2, "cpus_per_task": 4, "_cores": 1},
            Request("r", nodes=2, gpus=4, cpus=4),
        ),
        ({"mem_mb": "<TBD>", "slurm_account": "a", "gpu_model": ""}, Request("r", account="a")),
    ],
)
def test_requests_from_resources(resources: dict[str, object], expected: Request) -> None:
    assert request("r", resources) == expected
