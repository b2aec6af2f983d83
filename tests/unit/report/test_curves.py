"""What the page knows of the curves in a figure."""

import re

import numpy as np
import pytest

from crystalformer_rl.report.curves import curves
from crystalformer_rl.report.style import Canvas, canvas, inline, percent_axis

X = np.array([0.0, 1.0, 2.0, 4.0])


def _panels(drawing: Canvas) -> list[dict]:
    found = curves(drawing, "name")
    assert found is not None
    return found["panels"]


def test_a_curve_is_a_named_line_from_left_to_right() -> None:
    with canvas() as drawing:
        axis = drawing.axes[0]
        axis.plot(X, X, label="shown")
        axis.plot(X, 2 * X, label="_not in the legend")
        axis.plot(X, 3 * X)
        axis.step([0, 1, 1, 2], [0, 1, 2, 3], where="post", label="two values at once")
        axis.plot([1, 1], [0, 2], label="upwards")
        axis.plot([1], [1], "o", label="a point")
        axis.axhline(1, label="a limit")
    names = [curve["name"] for curve in _panels(drawing)[0]["curves"]]
    assert names == ["shown", "not in the legend", "two values at once"]


def test_a_figure_without_curves_has_nothing_to_read() -> None:
    with canvas(columns=2) as drawing:
        drawing.axes[0].bar([1, 2], [3, 4], label="bars")
        drawing.axes[1].plot(X, X + 1, label="curve")
        drawing.axes[1].set_yscale("log")
    assert curves(drawing, "name") is None


def test_values_are_those_drawn_and_gaps_are_left_out() -> None:
    with canvas() as drawing:
        axis = drawing.axes[0]
        axis.plot(X, [0.123456789, np.nan, -2, 1e-7], label=r"$E_\mathrm{hull}$", color="#d55e00")
        axis.step(X + 100000, X, where="post", label="held")
        percent_axis(axis)
    found = curves(drawing, "name")
    assert found is not None
    (panel,) = found["panels"]
    first, held = panel["curves"]
    assert first["name"] == "E_hull"
    assert first["colour"] == "#d55e00"
    assert first["y"] == (0.12346, -2, 1e-7)
    assert found["x"] == [[0, 2, 4], [100000, 100001, 100002, 100004]]
    assert [first["x"], held["x"]] == [0, 1]
    assert [first["held"], held["held"]] == [False, True]
    assert panel["percent"]


def test_limits_and_box_lead_to_the_points_of_the_picture() -> None:
    """The browser computes where a value is; it must be where matplotlib drew it."""
    y = [3.0, 1.0, 2.0, 5.0]
    with canvas(columns=2, rows=2) as drawing:
        for axis in drawing.axes[:3]:
            axis.plot(X, y, label="curve")
        drawing.axes[2].set_ylabel("a label moves the panel")
        drawing.hide_after(3)
    svg = inline(drawing.svg(), "name")
    panels = _panels(drawing)
    assert len(panels) == 3
    for panel in panels:
        group = svg[svg.index(f'<g id="{panel["id"]}">') :]
        line = re.search(
            r'<path d="([^"]*)" clip-path="[^"]*" style="[^"]*stroke-width: 1.6', group
        )
        assert line is not None
        drawn = np.array(re.findall(r"[\d.]+", line[1]), float).reshape(-1, 2)
        left, top, right, bottom = panel["box"]
        (x0, x1), (y0, y1) = panel["x"], panel["y"]
        expected = np.column_stack(
            [
                left + (X - x0) / (x1 - x0) * (right - left),
                bottom - (np.array(y) - y0) / (y1 - y0) * (bottom - top),
            ]
        )
        assert drawn == pytest.approx(expected, abs=0.02)
