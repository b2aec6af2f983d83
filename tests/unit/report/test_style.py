"""From a matplotlib figure to SVG text."""

import matplotlib as mpl

from crystalformer_rl.report.style import INK, Canvas, canvas, inline, policy_colours


def _canvas() -> Canvas:
    with canvas(columns=2) as drawing:
        for axis in drawing.axes:
            axis.plot([0, 1], [0, 1], marker="o")
            axis.set_title("a title")
    return drawing


def _svg() -> str:
    return _canvas().svg()


def test_the_same_figure_is_the_same_bytes_whatever_the_users_settings() -> None:
    first = _svg()
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.fonttype": "none"}):
        assert _svg() == first
        assert mpl.rcParams["font.size"] == 30


def test_a_figure_is_the_same_pdf_each_time_without_a_date() -> None:
    first = _canvas().pdf()
    assert first.startswith(b"%PDF")
    assert b"CreationDate" not in first
    assert _canvas().pdf() == first


def test_inline_figures_share_no_ids_and_take_the_pages_ink() -> None:
    svg = _svg()
    first, second = inline(svg, "one"), inline(svg, "two")
    assert 'id="one-figure_1"' in first
    assert "one-" not in second
    assert INK not in first
    assert "currentColor" in first
    assert "http://" not in first


def test_only_base_is_grey() -> None:
    colours = policy_colours(["base", "sft", "rl-a"])
    assert len(set(colours.values())) == 3
    assert policy_colours(["sft", "base", "rl-a"]) == colours
