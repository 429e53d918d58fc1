"""The loss chart: right for no point, one point, broken points and very many."""

from __future__ import annotations

import math
import re

import pytest

from studio.ui.components.curve import curve
from tests.ui.conftest import read, tags

NAN, INF = float("nan"), float("inf")


def points_of(html: str, name: str) -> list[tuple[float, float]]:
    """The points of a line, in pixels."""
    (line,) = [tag for tag in tags(html, "polyline") if tag["class"] == name]
    return [tuple(map(float, pair.split(","))) for pair in str(line["points"]).split()]  # type: ignore[misc]


def numbers_of(html: str) -> list[float]:
    """Every number that stands in a coordinate."""
    return [float(found) for found in re.findall(r' (?:x|y|x1|x2|y1|y2|cx|cy)="([^"]*)"', html)]


@pytest.mark.parametrize("train", [[], [(1, NAN)], [(1, INF), (2, -INF), (3, NAN)]])
def test_without_a_finite_point_there_is_no_chart(train: list) -> None:
    assert curve(train, [], 10) == ""


def test_points_that_are_no_numbers_are_left_out() -> None:
    html = curve([(1, 3.0), (2, NAN), (3, INF), (4, 1.0)], [(2, NAN)], 4)
    assert len(points_of(html, "train")) == 2
    assert "nan" not in html.lower() and "inf" not in html.lower()


@pytest.mark.parametrize("loss", [3.2, 0.0, 1e-9, 1e12])
def test_one_point_is_a_chart_with_its_value(loss: float) -> None:
    html = curve([(1, loss)], [], 100)
    read(html)
    assert all(math.isfinite(number) for number in numbers_of(html))
    assert f"train {loss:.3f}" in html


def test_ten_thousand_points_stay_a_light_picture_that_ends_at_the_end() -> None:
    html = curve([(step, 5 * 0.999**step) for step in range(10_000)], [], 10_000)
    points = points_of(html, "train")
    assert 200 < len(points) <= 300 and len(html) < 20_000
    assert points == sorted(points)
    assert "step 9999" in str(tags(html, "svg")[0]["aria-label"])


def test_everything_lies_inside_the_picture() -> None:
    html = curve([(0, 5.0), (50, 2.5), (100, 0.0)], [(0, 4.9), (100, 0.1)], 100)
    width, height = map(float, str(tags(html, "svg")[0]["viewbox"]).split()[2:])
    for name in ("train", "validation"):
        assert all(0 <= x <= width and 0 <= y <= height for x, y in points_of(html, name))


def test_a_higher_loss_stands_higher_and_a_later_step_further_right() -> None:
    (x1, y1), (x2, y2) = points_of(curve([(1, 2.0), (5, 1.0)], [], 10), "train")
    assert x1 < x2 and y1 < y2


def test_a_chart_ends_where_the_run_ends_or_where_the_points_do() -> None:
    half = points_of(curve([(0, 1.0), (50, 1.0)], [], 100), "train")[-1][0]
    full = points_of(curve([(0, 1.0), (50, 1.0)], [], 0), "train")[-1][0]
    assert half < full


def test_the_end_labels_do_not_touch() -> None:
    html = curve([(1, 1.0), (2, 1.0)], [(1, 1.0), (2, 1.0)], 2)
    end = points_of(html, "train")[-1][0]
    heights = [float(tag["y"] or 0) for tag in tags(html, "text") if float(tag["x"] or 0) > end + 1]
    assert len(heights) == 2 and abs(heights[0] - heights[1]) >= 15


def test_validation_points_are_marked_and_said_in_words() -> None:
    html = curve([], [(10, 2.0), (20, 1.5)], 20)
    assert len(tags(html, "circle")) == 2
    assert "validation loss 1.500 at step 20" in str(tags(html, "svg")[0]["aria-label"])
    read(html)
