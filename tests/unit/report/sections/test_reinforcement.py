"""The course of branches with and without a reward."""

from itertools import pairwise

from helpers import synthetic

from crystalformer_rl.config import Config
from crystalformer_rl.config.rewards import REWARDS
from crystalformer_rl.report.sections.reinforcement import LABELS, draw_details, section
from crystalformer_rl.report.sections.summary import statement

SFT = [synthetic.sft_history(number, epochs=3) for number in (1, 2)]
PPO = [synthetic.round_history(1)]


def test_iterated_sft_has_its_own_curves_and_none_in_the_overview() -> None:
    table = synthetic.structures({"base": 2})
    both = section(synthetic.run(table, histories={"rl-a": PPO, "rl-b": SFT}))
    assert set(both.figures) == {"rl-overview", "details-rl-a", "details-rl-b"}
    drawn = draw_details(both.tables["history-rl-b"], "black", {})
    shown = [axis.get_title("left").replace("\n", " ") for axis in drawn.axes if axis.get_visible()]
    quantities = ("learning_rate", "train_loss", "low_fraction", "kept_fraction")
    assert shown == [LABELS.get(name, name) for name in quantities]
    assert both.tables["history-rl-b"]["round"].tolist() == [1] * 4 + [2] * 4
    alone = section(synthetic.run(table, histories={"rl-b": SFT}))
    assert set(alone.figures) == {"details-rl-b"}


def test_titles_of_panels_do_not_touch() -> None:
    history = PPO[0].assign(known_compositions_mean=1.0, unsupported_fraction=0.5, ratio_max=1.0)
    titles = {"known_compositions_mean": "mean number of known compositions"}
    drawn = draw_details(history, "black", titles)
    drawn.figure.draw_without_rendering()
    for row in drawn.rows:
        shown = [axis for axis in row if axis.get_visible()]
        boxes = [axis._left_title.get_window_extent() for axis in shown]
        assert all(one.x1 < other.x0 for one, other in pairwise(boxes))


def test_the_statement_says_how_each_branch_was_taught() -> None:
    rl = {"a": {}, "b": {"algorithm": "sft", "rounds": 3, "sft": {"max_e_above_hull": 0.05}}}
    config = Config.model_validate({"rl": rl})
    text = statement(synthetic.run(synthetic.structures({"base": 2}), config=config))
    assert f"<b>rl-a</b> was rewarded by {REWARDS['ehull'].title}" in text
    assert (
        "<b>rl-b</b> was fine-tuned in 3 rounds on its own relaxed samples of at most 0.05" in text
    )
