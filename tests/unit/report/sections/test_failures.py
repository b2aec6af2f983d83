"""The ledger of failures."""

from helpers import synthetic

from crystalformer_rl.report.sections.failures import draw, failures


def test_ledger_counts_every_failure_and_joins_like_reasons() -> None:
    frame = synthetic.structures({"base": 4}).assign(
        decoded=[False, False, True, True],
        failure=["decode: volume 0.1 too small", "decode: volume 2e-3 too small", None, None],
        relax_status=[None, None, "not_converged", "converged"],
        valid_charge=[False, False, False, True],
        valid_distance=True,
        valid_volume=True,
        valid_density=True,
    )
    ledger = failures(frame).to_dict("list")
    assert ledger["stage"] == ["decode", "validity", "relax"]
    assert ledger["reason"] == [
        "volume … too small", "charge check", "out of steps, evaluated as it is"
    ]  # fmt: skip
    assert ledger["count"] == [2, 1, 1]
    assert ledger["sampled"] == [4, 4, 4]
    bars = draw(failures(frame), {"base": "#000000"}).axes[0].patches
    assert [bar.get_width() for bar in bars] == [0.5, 0.25, 0.25]


def test_ledger_of_a_perfect_run_is_empty() -> None:
    frame = synthetic.structures({"base": 2}).assign(
        decoded=True, failure=None, relax_status="converged",
        valid_charge=True, valid_distance=True, valid_volume=True, valid_density=True,
    )  # fmt: skip
    assert failures(frame).empty
