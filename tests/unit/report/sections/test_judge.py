"""Stability by the judge."""

from helpers import synthetic

from crystalformer_rl.config import Config, JudgeSettings
from crystalformer_rl.report.sections import judge


def test_both_potentials_are_compared() -> None:
    table = synthetic.structures({"base": 4}).assign(
        stable=[True, True, False, False],
        e_above_hull=[0.0, 0.0, 0.3, 0.3],
        judge_stable=[True, False, True, False],
        judge_e_above_hull=[0.0, 0.3, 0.0, 0.3],
        judge_stable_initial=[False, False, True, True],
        judge_e_above_hull_initial=[0.2, 0.4, 0.0, 0.05],
        judge_status="converged",
        judge_hull_status="ok",
        judge_supported=[False, True, True, True],
        sun_judge=[True, False, False, False],
    )
    config = Config(judge=JudgeSettings(potential="sevennet"))
    section = judge.section(synthetic.run(table, config=config))
    assert section is not None
    assert "stable as generated, SevenNet" in section.body
    assert "starting from the structures that CHGNet had relaxed" in section.body
    assert "S.U.N., SevenNet" in section.body
    assert "S.U.N., supported, SevenNet" in section.body
    assert "0/4 = 0.0\u202f% [0.0, 49.0]" in section.body
    points = section.figures["potentials"].axes[0].lines[-1]
    assert points.get_xdata().tolist() == [0.0, 0.0, 0.3, 0.3]
    assert points.get_ydata().tolist() == [0.0, 0.3, 0.0, 0.3]
    assert "2/4 = 50.0\u202f% [15.0, 85.0]" in section.body


def test_without_a_judge_there_is_no_section() -> None:
    assert judge.section(synthetic.run(synthetic.structures({"base": 4}))) is None
