"""Curves lie where their measurement says, each in its band; a measurement of another kind is refused."""

import numpy as np
import pytest

from pellucid.core.measurement import Measurement
from pellucid.core.record import Provenance
from pellucid.core.resampling import Interval, wilson
from pellucid.errors import InvalidInput
from pellucid.measure.calibration import CalibrationError
from pellucid.plot.axes import Frame
from pellucid.plot.curves import SIZE, reliability, risk_coverage
from pellucid.plot.degradation import robustness
from pellucid.plot.faith import faithfulness
from pellucid.plot.scene import Area, Dot, Line, Text

AROUND = Interval(0.01, 0.05)


def bins():
    held = {
        "confidence": np.array([0.55, 0.75, 0.95]), "accuracy": np.array([0.5, 0.8, 0.9]), "count": np.array([10, 20, 40]),
        "low": np.array([0.3, 0.6, 0.8]), "high": np.array([0.7, 0.9, 0.97]),
    }  # fmt: skip
    other = {key: value * 0 + 1 for key, value in held.items()}
    method = CalibrationError(binning="equal-width")
    return Measurement(
        "calibration_error", 0.03, AROUND, "calibrated", {"equal_width": held, "equal_mass": other}, Provenance(method)
    )


def test_reliability_draws_each_bin_of_the_binning_asked_for():
    picture = reliability(bins())
    frame = Frame.of(SIZE, (0.3, 1.0), (0.3, 1.0))
    dots = [(m.x, m.y) for m in picture.marks if isinstance(m, Dot)]
    assert np.allclose(dots, [frame.point(c, a) for c, a in [(0.55, 0.5), (0.75, 0.8), (0.95, 0.9)]])
    whiskers = [m.points for m in picture.marks if isinstance(m, Line) and m.colour == "accent"]
    assert whiskers[0] == [frame.point(0.55, 0.3), frame.point(0.55, 0.7)]
    assert picture.table.rows[2] == ("0.950", "0.900", "0.800", "0.970", 40)
    assert "Calibration error 3.0\u202f%" in picture.description


def test_risk_coverage_has_the_wilson_band_of_each_rate():
    wrong = np.array([0, 0, 1, 0, 1.0])
    k = np.arange(1, 6)
    found = Measurement("selective_risk", 0.2, AROUND, "", {"coverage": k / 5, "risk": np.cumsum(wrong) / k})
    picture = risk_coverage(found)
    expected = [wilson(int(e), int(n)) for e, n in zip(np.cumsum(wrong), k, strict=True)]
    assert picture.table.rows[-1] == ("1.00", "0.400", f"{expected[-1].low:.3f}", f"{expected[-1].high:.3f}")
    assert any(isinstance(m, Area) for m in picture.marks)


def test_faithfulness_draws_the_explanation_over_the_random_band():
    share = np.linspace(0, 1, 5)
    own, chance = np.array([4, 1, 0.5, 0.2, 0.0]), np.array([4, 3, 2, 1, 0.0])
    detail = {
        "fractions": share,
        "curve": own,
        "random_curve": chance,
        "random_low": chance - 0.1,
        "random_high": chance + 0.1,
    }
    picture = faithfulness(Measurement("deletion", 0.4, Interval(0.3, 0.5), "better than random", detail))
    (curve,) = [m for m in picture.marks if isinstance(m, Line) and m.colour == "accent"]
    heights = np.array([y for _, y in curve.points])
    assert np.allclose(np.diff(heights) / np.diff(own), np.diff(heights)[0] / np.diff(own)[0])  # straight in the score
    assert picture.table.columns[0] == "share hidden"
    assert "earlier than with random rankings by 0.40" in picture.description
    insertion = faithfulness(Measurement("insertion", 0.4, Interval(0.3, 0.5), "", {**detail, "curve": own[::-1]}))
    assert insertion.title.startswith("Insertion")


def test_randomization_ends_with_its_interval():
    detail = {"similarities": np.array([0.4, 0.02]), "layers": ["output", "hidden"], "limit": 0.5}
    picture = faithfulness(Measurement("parameter_randomization", 0.02, Interval(-0.05, 0.09), "changes", detail))
    assert [row[0] for row in picture.table.rows] == ["none", "output", "hidden"]
    assert len([m for m in picture.marks if isinstance(m, Dot)]) == 3


def test_robustness_lets_the_worst_stand_out_and_labels_every_curve():
    part = lambda drop: {"drop": np.array(drop), "low": np.array(drop) - 0.02, "high": np.array(drop) + 0.02}  # noqa: E731
    detail = {
        "corruptions": {"noise": part([0.01, 0.02]), "<b>blur": part([0.1, 0.3])}, "severities": np.array([1, 2]),
        "clean": 0.95, "quality": "accuracy", "worst": "<b>blur",
    }  # fmt: skip
    picture = robustness(Measurement("corruption_robustness", 0.1, AROUND, "fragile", detail))
    labels = {m.text: m for m in picture.marks if isinstance(m, Text)}
    assert labels["<b>blur"].bold
    assert not labels["noise"].bold
    assert labels["<b>blur"].y > labels["noise"].y  # lower accuracy is lower on the page
    assert "<b>" not in picture.svg()
    assert picture.table.rows[-1] == ("<b>blur", 2, "0.300", "0.280", "0.320")


@pytest.mark.parametrize("draw", [reliability, risk_coverage, faithfulness, robustness])
def test_another_kind_of_measurement_is_refused(draw):
    with pytest.raises(InvalidInput, match="holds no"):
        draw(Measurement("leakage", 0.1, None, "", {"explanation": "x"}))
