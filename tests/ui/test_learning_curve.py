"""The learning curve and an answer's sources as HTML: escaped, inside their frame, plain about what is not there."""

from __future__ import annotations

import re
from pathlib import Path

from studio.contract.curve import CurvePoint, CurveReport
from studio.jobs.curves import Foretold, foretell
from studio.jobs.job_folders import Standing
from studio.jobs.why import Explanation, TrainingPair, WhyLook
from studio.ui.components.learning_curve import learning_curve
from studio.ui.components.why import why_html


def told(*points: CurvePoint) -> Foretold:
    """What points say."""
    return foretell(Path("/nowhere"), CurveReport(points=points))


def point(labels: int, score: float) -> CurvePoint:
    """A point by accuracy."""
    return CurvePoint(labels=labels, state="done", loss=1.0, metric="accuracy", score=score)


def test_points_line_and_band_lie_in_the_frame() -> None:
    made = learning_curve(told(*(point(n, 0.95 - n**-0.5) for n in (100, 200, 300, 400))))
    assert made.count("<circle") == 4 and 'class="band"' in made and "800 labels" in made
    numbers = [float(one) for pair in re.findall(r'points="([^"]+)"', made) for one in re.split("[ ,]", pair)]
    assert all(0 <= number <= 720 for number in numbers)
    assert "%" in made and "Accuracy over labels" in made


def test_two_points_have_no_line_and_none_no_picture() -> None:
    made = learning_curve(told(point(100, 0.5), point(200, 0.6)))
    assert made.count("<circle") == 2 and "polyline" not in made
    assert learning_curve(told()) == ""


def pair(row: int, score: float = 0.5, prompt: str = "Where?") -> TrainingPair:
    """A training pair."""
    return TrainingPair(row, "train", f"id{row}", prompt, "<b>There</b>", score)


def test_sources_are_escaped_and_what_both_lists_have_is_marked() -> None:
    both = Explanation("There", (pair(1), pair(2, prompt="<script>x</script>")), (pair(2),), 40, 30, "30 of 40 <i>")
    made = why_html(WhyLook(Standing("done", 1.0), both))
    assert "<script>" not in made and "<b>" not in made and "<i>x" not in made and "&lt;i&gt;" in made
    assert made.count("in both") == 2 and "train row 1" in made


def test_progress_is_shown_beside_what_was_found() -> None:
    nearest = Explanation("There", (pair(1),), None, 40, 0, "")
    made = why_html(WhyLook(Standing("running", 0.4, "Comparing gradients: 4 of 10"), nearest))
    assert "progressbar" in made and "4 of 10" in made and "By gradient" not in made
    assert "broke" in why_html(WhyLook(Standing("failed", words="It broke")))
    assert why_html(WhyLook(Standing("none"))) == ""
