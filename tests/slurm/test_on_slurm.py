"""The smoke pipeline on a cluster, and jobs, nodes and a driver that come to grief on it.

One file, so that one worker has the cluster: `pytest --dist loadfile`.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from operator import methodcaller
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.copies import Copy
from helpers.salts import write_salts
from helpers.slurm.cluster import DEADLINE, NODES, Cluster, Job, Unavailable, cluster, wait_until
from helpers.slurm.driver import CONFIG, processes, run, started

from crystalformer_rl.files import read_json, read_table, read_tensors

pytestmark = pytest.mark.slow

PROFILE = "workflow/profiles/slurm/config.v8+.yaml"
CPU_RULES = {"dataset", "hull", "tokenize", "known", "assess", "evaluate", "report"}
SAMPLES = [f"results/smoke/sample/base/shard-{number:04d}.parquet" for number in (0, 1)]
PRETRAIN = "results/smoke/pretrain"
# Long enough to be met in the middle.
SLOW = ("relax={max_force: 0.0001, max_steps: 60}",)
CRYSTALS = 20
SHARDS = [f"results/smoke/relax/base/shard-{number:04d}.parquet" for number in (0, 1)]
# Crystals whose energies by the judge no one knows yet.
JUDGED = ("judge={potential: sevennet}", "dataset={sources: {all: salts.parquet}, limit: 400}")
JUDGE_HULL = "results/smoke/judge/hull/hull.parquet"
JUDGE_ENERGIES = "results/smoke/judge/energies/shard-0000"
RULES = [f"rule_relax_wildcards_base_{number:04d}" for number in (0, 1)]

# Minutes that a job has, by how it is to end. Its start may take half of them on a busy machine.
LIMITS = {"FAILED": 6, "TIMEOUT": 3}

Limited = dict[str, "Future[Copy]"]


def rule_of(comment: str) -> str:
    return comment.removeprefix("rule_").partition("_wildcards_")[0]


def for_two_nodes(profile: str) -> str:
    """The lines of the profile that are given as a comment, for nodes with one GPU each."""
    before, start, after = profile.partition("    # nodes: 2\n")
    block, end, rest = after.partition("  sft:")
    lines = re.sub("^    # ", "    ", start + block, flags=re.MULTILINE)
    return before + lines.replace("node: 4", "node: 1").replace("gpu:4", "gpu:1") + end + rest


def test_a_second_cluster_is_refused(slurm: Cluster, tmp_path: Path) -> None:
    with (
        pytest.raises(Unavailable, match="another test run has its cluster here"),
        cluster(tmp_path),
    ):
        pass
    assert "UP" in slurm.control("ping")


def test_gpu_rules_get_one_gpu_and_others_none(finished: Copy, slurm: Cluster) -> None:
    jobs = slurm.jobs(finished.folder)
    rules = {rule_of(job.rule) for job in jobs}
    assert rules >= CPU_RULES | {"energies", "pretrain", "sft", "rl", "sample", "relax"}
    given = slurm.devices()
    for job in jobs:
        assert job.state == "COMPLETED", job
        on_cpu = rule_of(job.rule) in CPU_RULES
        assert job.gpus == (0 if on_cpu else 1), job
        # One device, the first that its node has: "0".
        assert given[job.id] == {"none" if on_cpu else "0"}, job


def test_logs_lie_where_the_docs_say(finished: Copy, slurm: Cluster) -> None:
    logs = finished.folder / "logs"
    for name in ("pretrain", "rl-ehull/round-2", "sample/sft/shard-0000", "relax/base/shard-0000"):
        assert (logs / f"smoke/{name}.log").stat().st_size > 0
    for job in slurm.jobs(finished.folder):
        rule, _, wildcards = job.rule.partition("_wildcards_")
        assert job.log == logs.resolve() / "slurm" / rule / wildcards / f"{job.id}.log"
        assert "100%" in job.log.read_text(encoding="utf-8")
    assert list(finished.folder.rglob("*.part")) == []


def test_a_second_call_has_nothing_to_do(finished: Copy) -> None:
    assert "Nothing to be done" in run(finished)


def doctor(copy: Copy, profile: str) -> "subprocess.CompletedProcess[str]":
    words = ["-m", "crystalformer_rl", "doctor", "--profile", profile, "--json"]
    return subprocess.run(
        [sys.executable, *words], cwd=copy.folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(("by_squeue", "problems"), [(True, set()), (False, {"accounting"})])
def test_doctor_finds_what_the_cluster_lacks(
    finished: Copy, tmp_path: Path, by_squeue: bool, problems: set[str]
) -> None:
    text = (finished.folder / PROFILE).read_text()
    profile = tmp_path / "config.yaml"
    profile.write_text(text.replace("# slurm-status", "slurm-status") if by_squeue else text)
    done = doctor(finished, str(profile))
    findings = json.loads(done.stdout)["findings"]
    assert {f["topic"] for f in findings if f["status"] == "problem"} == problems
    assert done.returncode == bool(problems)
    assert {"partition gpu", "rule relax", "rule assess", "rule evaluate"} <= {
        f["topic"] for f in findings if f["status"] == "ok"
    }


@pytest.mark.usefixtures("limited")
def test_shards_as_job_arrays(finished: Copy, slurm: Cluster, tmp_path: Path) -> None:
    copy = finished.duplicate(tmp_path / "clone")
    said = run(copy, *SAMPLES, "--forcerun=sample", "--slurm-array-jobs=sample,relax")
    assert re.search(r"Submitted array job .* individual task IDs are 1-2", said)
    jobs = slurm.jobs(copy.folder)
    assert [(job.state, job.gpus, job.array) for job in jobs] == [("COMPLETED", 1, True)] * 2
    for shard in SAMPLES:
        pd.testing.assert_frame_equal(
            read_table(copy.folder / shard), read_table(finished.folder / shard), check_exact=True
        )


def test_pretraining_on_two_nodes(finished: Copy, slurm: Cluster, tmp_path: Path) -> None:
    short = ("pretrain={epochs: 2}",)  # rounding grows with every step
    alone, copy = (finished.duplicate(tmp_path / name) for name in ("alone", "clone"))
    alone.snakemake(f"{PRETRAIN}/model.safetensors", *CONFIG, "--config", *short)
    copy.edit(PROFILE, for_two_nodes)
    run(copy, f"{PRETRAIN}/model.safetensors", settings=short)
    (job,) = slurm.jobs(copy.folder)
    assert (job.state, job.gpus, job.nodes) == ("COMPLETED", 2, len(NODES))
    one, two = (place.folder / PRETRAIN for place in (alone, copy))
    assert read_json(two / "provenance.json")["counts"]["processes"] == len(NODES)
    pd.testing.assert_frame_equal(
        read_table(two / "history.parquet"), read_table(one / "history.parquet"), rtol=1e-5
    )
    weights, expected = (read_tensors(place / "model.safetensors") for place in (two, one))
    assert weights.keys() == expected.keys()
    for name, values in expected.items():
        # By norm: Adam divides by the gradient's own size, so that an element whose gradient is
        # zero but for rounding moves by a learning rate in either direction.
        assert np.linalg.norm(weights[name] - values) <= 1e-3 * np.linalg.norm(values), name


def journalled(copy: Copy, number: int) -> int:
    """How many groups of crystals are in the journal of a shard."""
    name = f"results/smoke/checkpoints/relax/base/shard-{number:04d}.journal"
    path = copy.folder / name
    return path.read_bytes().count(b"\n") if path.exists() else 0


def newest(slurm: Cluster, copy: Copy, rule: str) -> Job | None:
    """The job that was submitted last for a rule and its wildcards."""
    jobs = [job for job in slurm.jobs(copy.folder) if job.rule == rule]
    return jobs[-1] if jobs else None


def running(slurm: Cluster, copy: Copy, rule: str) -> Job:
    """The same, which must run."""
    job = newest(slurm, copy, rule)
    assert job is not None
    assert job.state == "RUNNING", job
    return job


@pytest.fixture(scope="module")
def undisturbed(finished: Copy, tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """The slow relaxations without a cluster and without an interruption."""
    copy = finished.duplicate(tmp_path_factory.mktemp("undisturbed") / "clone")
    copy.snakemake(*SHARDS, "--forcerun=relax", *CONFIG, "--config", *SLOW)
    return copy


def assert_same_shards(copy: Copy, other: Copy) -> None:
    for target in SHARDS:
        pd.testing.assert_frame_equal(
            read_table(copy.folder / target), read_table(other.folder / target), check_exact=True
        )
        path = Path(target).with_suffix(".provenance.json")
        steps = [read_json(place.folder / path)["counts"]["steps"] for place in (copy, other)]
        assert steps[0] == steps[1]


def found_in_journal(job: Job) -> int:
    """With how many crystals of its shard the job began."""
    said = re.findall(rf"(\d+) of {CRYSTALS} crystals are in journal", job.log.read_text())
    (found,) = said
    return int(found)


@pytest.fixture(scope="module")
def limited(
    finished: Copy, slurm: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Limited]:
    """Two pretrainings whose jobs have minutes, beside the tests that come after."""
    with ThreadPoolExecutor() as pool:
        yield {
            state: pool.submit(
                pretrain_with_a_limit,
                finished.duplicate(tmp_path_factory.mktemp(state) / "clone"),
                slurm,
                state,
            )
            for state in LIMITS
        }


def pretrain_with_a_limit(copy: Copy, slurm: Cluster, state: str) -> Copy:
    """Hold the first process still, as a slow machine would, so that it does not end in time.

    To end as FAILED it wakes after half of its time: a step as long as that it cannot make again,
    and so it stops by itself. To end as TIMEOUT it does not wake before SLURM ends it.
    """
    limit = LIMITS[state]
    copy.edit(
        "workflow/rules/common.smk",
        methodcaller("replace", "str(SETTINGS.jobs.checkpoint_minutes)", '"0.005"'),
    )
    for before, after in (
        ("runtime: 1440", f"runtime: {limit}"),
        ("gpu, gpu: 1}", "gpu}"),  # the other tests need them
    ):
        copy.edit(PROFILE, methodcaller("replace", before, after))
    checkpoints = copy.folder / "results/smoke/checkpoints/pretrain"
    with started(copy, f"{PRETRAIN}/model.safetensors", "--forcerun=pretrain") as driver:
        driver.wait_until(
            "a checkpoint is written", lambda: list(checkpoints.rglob("*.safetensors"))
        )
        (process,) = processes(copy, "pretrain")
        os.kill(process, signal.SIGSTOP)
        job = running(slurm, copy, "rule_pretrain")
        if state == "FAILED":
            enough = job.seconds + 60 * limit / 2
            driver.wait_until("time goes by", lambda: slurm.job(job.id).seconds >= enough)
            os.kill(process, signal.SIGCONT)
        driver.end()
    return copy


@pytest.mark.usefixtures("limited")
def test_killed_and_requeued_jobs_continue_after_drained_nodes_return(
    finished: Copy, undisturbed: Copy, slurm: Cluster, tmp_path: Path
) -> None:
    """In one run, to save time: jobs wait for drained nodes, a second driver is refused meanwhile
    and doctor names the first, one job is killed, the other is requeued."""
    copy = finished.duplicate(tmp_path / "clone")
    killed, requeued = RULES
    slurm.update_nodes(State="DRAIN", Reason="test")
    with started(copy, *SHARDS, "--forcerun=relax", settings=SLOW) as driver:

        def waiting(rule: str) -> bool:
            job = newest(slurm, copy, rule)
            return job is not None and job.state == "PENDING" and job.reason != "None"

        driver.wait_until("both jobs wait for a node", lambda: all(map(waiting, RULES)))
        refused = run(copy, *SHARDS, settings=SLOW, check=False)
        assert "cannot be locked" in refused
        (run_id,) = re.findall(r"SLURM run ID: (\S+)", driver.said)
        assert f"scancel --name={run_id}" in doctor(copy, "slurm").stdout
        assert all(map(waiting, RULES))
        slurm.update_nodes(State="RESUME")

        driver.wait_until("a group is relaxed", lambda: journalled(copy, 0) >= 1)
        slurm.cancel("--signal=KILL", running(slurm, copy, killed).id)
        driver.wait_until("a group is relaxed", lambda: journalled(copy, 1) >= 1)
        slurm.control("requeue", running(slurm, copy, requeued).id)
        assert "2 of 2 steps" in driver.end()

    jobs = slurm.jobs(copy.folder)
    first, second = (job for job in jobs if job.rule == killed)
    assert (first.state, second.state) == ("CANCELLED", "COMPLETED")
    done = [
        set(re.findall(r"INFO (\S+) \w+ after", job.log.read_text())) for job in (first, second)
    ]
    # Only the group that was in progress is relaxed again.
    assert len(done[0] & done[1]) == len(done[0]) - found_in_journal(second)
    assert found_in_journal(second) >= 1
    assert found_in_journal(second) + len(done[1]) == CRYSTALS
    (job,) = (job for job in jobs if job.rule == requeued)
    assert (job.state, job.restarts) == ("COMPLETED", 1)
    assert found_in_journal(job) >= 1
    assert_same_shards(copy, undisturbed)


def cached(copy: Copy, shard: int) -> list[str]:
    """The crystals of a shard whose energies are in the cache; of two shards."""
    journals = (copy.folder / "results/smoke/cache/judge/energies").glob("*.journal")
    own = [path.read_bytes() for path in journals if int(path.stem, 16) % 2 == shard]
    return re.findall(r'"item": "(\w+)"', b"\n".join(own).decode())


def test_a_killed_shard_of_energies_continues(
    finished: Copy, slurm: Cluster, tmp_path: Path
) -> None:
    copy = finished.duplicate(tmp_path / "clone")
    rule = "rule_judge_energies_wildcards_0000"
    write_salts(copy.folder / "salts.parquet", 1200)
    with started(copy, JUDGE_HULL, settings=JUDGED) as driver:
        driver.wait_until("two energies are computed", lambda: len(cached(copy, 0)) >= 2)
        slurm.cancel("--signal=KILL", running(slurm, copy, rule).id)
        assert "4 of 4 steps" in driver.end()
    first, second = (job for job in slurm.jobs(copy.folder) if job.rule == rule)
    assert (first.state, second.state) == ("CANCELLED", "COMPLETED")
    (told,) = re.findall(r"(\d+) of (\d+) energies are in cache", second.log.read_text())
    found, needed = map(int, told)
    assert 2 <= found < needed
    counts = read_json(copy.folder / f"{JUDGE_ENERGIES}.provenance.json")["counts"]
    assert (counts["from_cache"], counts["items"]) == (found, needed - found)
    # None was computed twice, none is missing.
    assert len(cached(copy, 0)) == len(set(cached(copy, 0))) == needed
    crystals = read_table(copy.folder / "results/smoke/dataset/structures.parquet")
    assert set(read_table(copy.folder / JUDGE_HULL)["id"]) == set(crystals["id"])


@pytest.mark.usefixtures("limited")
def test_a_killed_driver_is_started_again(
    finished: Copy, undisturbed: Copy, slurm: Cluster, tmp_path: Path
) -> None:
    """One of the jobs it leaves is cancelled, as the docs advise; the other finishes by itself."""
    copy = finished.duplicate(tmp_path / "clone")
    with started(copy, *SHARDS, "--forcerun=relax", settings=SLOW) as driver:
        driver.wait_until("a group is relaxed", lambda: journalled(copy, 0) >= 1)
        driver.kill()
        (run_id,) = re.findall(r"SLURM run ID: (\S+)", driver.said)
    orphans = [running(slurm, copy, rule).id for rule in RULES]
    slurm.cancel(f"--name={run_id}", orphans[0])
    for orphan, state in zip(orphans, ("CANCELLED", "COMPLETED"), strict=True):
        wait_until(
            f"job {orphan} is {state}",
            lambda orphan=orphan, state=state: slurm.job(orphan).state == state,
            seconds=2 * DEADLINE,
        )
    refused = run(copy, *SHARDS, settings=SLOW, check=False)
    assert "cannot be locked" in refused
    assert "--unlock" in refused
    run(copy, "--unlock")
    assert "2 of 2 steps" in run(copy, *SHARDS, settings=SLOW)
    again = [newest(slurm, copy, rule) for rule in RULES]
    found = [found_in_journal(job) for job in again if job is not None]
    assert found[0] >= 1
    # Nobody noted that it had finished.
    assert found[1] == CRYSTALS
    assert_same_shards(copy, undisturbed)
    assert not (copy.folder / "results/smoke/checkpoints").exists()


@pytest.mark.parametrize("state", LIMITS)
def test_a_time_limit_is_not_the_end_of_a_training(
    finished: Copy, slurm: Cluster, limited: Limited, state: str
) -> None:
    copy = limited[state].result()
    # On a busy machine another job may meet its limit too.
    first, *others = (job for job in slurm.jobs(copy.folder) if job.rule == "rule_pretrain")
    assert (first.state, others[-1].state) == (state, "COMPLETED")
    stopped = "the time limit is near; run again to continue" in first.log.read_text()
    assert stopped == (state == "FAILED")
    for job in others:
        assert "continuing from checkpoint" in job.log.read_text()
    for name in ("model.safetensors", "history.parquet"):
        files = [place.folder / PRETRAIN / name for place in (copy, finished)]
        assert files[0].read_bytes() == files[1].read_bytes(), name
