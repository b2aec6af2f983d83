"""One fault of every kind; ``helpers/faults/run.py`` makes hundreds.

docs/explanation/reliability.md describes the kinds.
"""

from collections import Counter
from collections.abc import Iterator

import pytest
from helpers.faults.client import End
from helpers.faults.jobs import JOBS, Job
from helpers.faults.kinds import DefectError, compare, disk_full, kinds, whole_or_absent
from helpers.faults.run import Fault, plan, suffer
from helpers.faults.workshop import Workshop

# One worker builds the pipeline, and disturbs it.
pytestmark = pytest.mark.slow

SEED = 1
DONE = End(code=0, said="", seconds=0.0, hung=False, left=0)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """The pipeline, which has run once."""
    made = Workshop(tmp_path_factory.mktemp("faults") / "workshop")
    yield made
    made.close()


@pytest.mark.parametrize("fault", plan(len(kinds(small=True)), seed=SEED, small=True), ids=str)
def test_started_again_a_job_gives_what_it_gives_undisturbed(
    workshop: Workshop, fault: Fault
) -> None:
    if fault.kind is disk_full and not workshop.small:
        pytest.skip("mounting a filesystem that can be filled is not permitted here")
    verdict = suffer(workshop, fault)
    assert verdict.defect is None, verdict


def test_the_plan_is_the_seed_s_and_reaches_every_stage_with_every_kind() -> None:
    faults = plan(200, seed=0, small=True)
    assert list(map(str, faults)) == list(map(str, plan(200, seed=0, small=True)))
    assert list(map(str, faults)) != list(map(str, plan(200, seed=1, small=True)))
    assert set(Counter(fault.kind for fault in faults).values()) <= {13, 14}
    assert {fault.job.verb for fault in faults} == {
        "dataset", "tokenize", "energies", "hull", "pretrain", "sft", "rl", "sample", "relax",
        "assess", "known", "evaluate", "report",
    }  # fmt: skip


@pytest.mark.parametrize("job", [JOBS[0], JOBS[-1]], ids=lambda job: job.name)
def test_half_a_result_is_seen(workshop: Workshop, job: Job) -> None:
    first, *_, last = (workshop.folder / path for path in job.outputs)
    whole = first.read_bytes()
    first.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DefectError, match="half a result"):
        whole_or_absent(workshop, job, DONE)
    first.unlink()
    with pytest.raises(DefectError, match="there is a provenance and no"):
        whole_or_absent(workshop, job, DONE)
    with pytest.raises(DefectError, match="started again it gave another"):
        compare(workshop, job, DONE)
    first.write_bytes(whole)
    compare(workshop, job, DONE)
    last.unlink()
    whole_or_absent(workshop, job, DONE)
    workshop.restore(job)
