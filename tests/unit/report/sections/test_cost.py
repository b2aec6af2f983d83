"""What a S.U.N. structure costs."""

from helpers import synthetic

from crystalformer_rl.report.run import Run
from crystalformer_rl.report.sections.cost import cost_table, draw, section


def _run(*, found: int) -> Run:
    table = synthetic.structures({"base": 10, "rl-a": 10}).assign(supported=True)
    sun = [place < found for place in range(10)] * 2
    jobs = {
        "pretrain": synthetic.record("pretrain"),
        "rl-a/round-1": synthetic.record("rl"),
        "rl-a/round-2": synthetic.record("rl"),
        "sample/rl-a/shard-0000": synthetic.record("sample", items=10),
        "relax/rl-a/shard-0000": synthetic.record("relax", items=5, steps=70),
        "relax/rl-a/shard-0001": synthetic.record("relax", items=5, steps=30),
        "relax/rl-ab/shard-0000": synthetic.record("relax", items=5, steps=1000),
        "judge/relax/rl-a/shard-0000": synthetic.record("relax", items=5, steps=99),
    }
    return synthetic.run(table.assign(sun=sun), provenance=jobs)


def test_the_jobs_of_a_policy_are_added_up_and_no_others() -> None:
    found = cost_table(_run(found=4)).set_index("policy")
    of_branch = found.loc["rl-a"]
    assert of_branch["training"] == 2 * 12.3
    assert of_branch["relaxation"] == 2 * 12.3
    assert of_branch["judge"] == 12.3
    assert of_branch["evaluations"] == 10 + 100
    assert of_branch["found"] == 4
    assert found.loc["base", "training"] == 12.3


def test_a_policy_that_found_nothing_has_no_cost_per_structure() -> None:
    drawn = draw(cost_table(_run(found=0)))
    assert {text.get_text() for text in drawn.axes[0].texts} == {"none found"}
    shown = section(_run(found=0))
    assert shown is not None
    assert "inf" not in shown.body


def test_without_provenance_there_is_no_section() -> None:
    assert section(synthetic.run(synthetic.structures({"base": 3}))) is None
