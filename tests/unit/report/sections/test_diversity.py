"""Distinct kinds and both tolerances."""

from helpers import synthetic

from crystalformer_rl.evaluation.diversity import TrainingSet
from crystalformer_rl.report.sections import diversity


def test_diversity_is_that_of_the_summary() -> None:
    table = synthetic.structures({"base": 60, "sft": 40})
    training = TrainingSet(10, {225: 9, 1: 1}, {"225 ab": 10}, {"Na": 5, "Cl": 5})
    run = synthetic.run(table, training=training)
    kinds = diversity.diversity_table(run.policies)
    assert len(kinds) == 2 * len(diversity.KINDS)
    row = kinds[(kinds.policy == "sft") & (kinds.kind == "space_groups")].iloc[0]
    decoded = table[(table.policy == "sft") & table.decoded]
    assert (row.crystals, row.distinct) == (len(decoded), decoded.space_group.nunique())
    assert (row.covered, row.of) == (1, 2)
    assert kinds[kinds.kind == "formulas"]["of"].isna().all()
