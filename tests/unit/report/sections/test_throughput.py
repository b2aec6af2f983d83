"""Throughput and memory of the stages."""

import numpy as np
from helpers import synthetic

from crystalformer_rl.report.sections.throughput import draw, section, throughput_table

JOBS = {
    "relax/base/shard-0000": synthetic.record("relax", items=30, steps=900, steps_of_this_job=9)
    | {"wall_s": 10.0, "cpu_s": 20.0, "peak_memory_mib": 500.0, "gpu_memory_mib": 90.0},
    "relax/rl-a/shard-0000": synthetic.record("relax", items=10)
    | {"wall_s": 30.0, "cpu_s": 20.0, "peak_memory_mib": 700.0, "gpu_memory_mib": 80.0},
    "judge/relax/base/shard-0000": synthetic.record("relax", items=5),
    "energies/shard-0000": synthetic.record("energies", items=0),
    "report": synthetic.record("report", figures=3),
    "dataset": synthetic.record("dataset", items=100) | {"started": "2025-12-31T00:00:00Z"},
    "rl-a/round-1": synthetic.record("rl", items=150, steps=100, steps_of_this_job=25)
    | {"wall_s": 50.0},
}


def test_rates_and_memory_are_those_of_all_jobs_of_a_stage() -> None:
    found = throughput_table(JOBS).set_index("stage")
    row = found.loc["relax"]
    assert (row["jobs"], row["items"], row["wall_s"], row["cpu_s"]) == (2, 40, 40, 40)
    assert (row["items_per_s"], row["items_per_core_s"]) == (1, 1)
    assert (row["memory_mib"], row["gpu_memory_mib"]) == (700, 90)


def test_a_stage_for_the_judge_is_another_and_the_first_to_start_is_first() -> None:
    assert throughput_table(JOBS)["stage"].tolist() == [
        "dataset", "relax", "judge relax", "energies", "report", "rl",
    ]  # fmt: skip


def test_items_of_a_resumed_training_are_those_of_its_last_job_already() -> None:
    assert throughput_table(JOBS).set_index("stage").loc["rl", "items_per_s"] == 150 / 50


def test_what_was_not_recorded_is_missing_and_not_zero() -> None:
    found = throughput_table(JOBS).set_index("stage")
    assert np.isnan(found.loc["report", ["items", "items_per_s", "gpu_memory_mib"]].tolist()).all()
    assert np.isnan(found.loc["dataset", "items_per_core_s"])
    texts = [text.get_text() for text in draw(throughput_table(JOBS)).axes[0].texts]
    assert texts == ["nothing to do", "no count"]


def test_the_section_has_the_figure_and_its_numbers() -> None:
    found = section(synthetic.run(synthetic.structures({"base": 3}), provenance=JOBS))
    assert found is not None
    assert "throughput" in found.figures
    assert len(found.tables["throughput"]) == 6
    assert section(synthetic.run(synthetic.structures({"base": 3}))) is None
