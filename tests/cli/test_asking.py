"""What `explain` is asked in text, and how its answer is worded."""

import keras
import numpy as np
import pytest

import pellucid as pl
from pellucid.cli import asking
from pellucid.core.target import Margin, Unit
from pellucid.errors import InvalidInput, InvalidOption, UnknownName
from pellucid.explain.base import Explanation
from pellucid.explain.gradients.local import Gradient


def test_a_method_with_options():
    found = asking.method("integrated-gradients", ["tolerance=0.01", "baseline=0.5"])
    assert (type(found).__name__, found.tolerance, found.baseline) == ("IntegratedGradients", 0.01, 0.5)
    assert asking.method("IntegratedGradients", ["tolerance=1e-3"]).tolerance == 0.001


def test_a_method_inside_a_method():
    found = asking.method("SmoothGrad", ["method=GradientInput"])
    assert type(found.method).__name__ == "GradientInput"


def test_a_baseline_is_given_only_where_there_is_one_and_none_was_said():
    data = {"baseline": 3.0, "background": [[1.0]]}
    assert asking.method("IntegratedGradients", [], data).baseline == 3.0
    assert asking.method("IntegratedGradients", ["baseline=1"], data).baseline == 1
    assert asking.method("ExpectedGradients", [], data).background == [[1.0]]
    assert asking.method("Gradient", [], data) == Gradient()


@pytest.mark.parametrize(
    "name, options, error, told",
    [
        ("IntegratedGradient", [], UnknownName, "IntegratedGradients"),
        ("Gap", [], InvalidOption, "verb 'measure'"),
        ("IntegratedGradients", ["tolerence=1"], UnknownName, "did you mean 'tolerance'"),
        ("IntegratedGradients", ["tolerance"], InvalidOption, "NAME=VALUE"),
        ("IntegratedGradients", ["tolerance=big"], InvalidOption, "tolerance"),
        ("Conductance", [], InvalidOption, "needs layer: add --option layer="),
    ],
)
def test_wrong_methods_and_options(name, options, error, told):
    with pytest.raises(error) as problem:
        asking.method(name, options)
    assert told in str(problem.value)


def test_rows():
    assert asking.rows("0,5", 6) == [0, 5]
    assert asking.rows("2-4, 1", 6) == [2, 3, 4, 1]


@pytest.mark.parametrize("text", ["6", "a", "0,,1", "-1", "", "0-9", "4-2"])
def test_rows_that_are_not_there(text):
    with pytest.raises(InvalidInput, match="--rows"):
        asking.rows(text, 6)


def test_outputs():
    names = ("no", "yes")
    assert [asking.output(text, names) for text in ("predicted", "label", "yes", "0")] == ["predicted", "label", 1, 0]
    assert asking.output("yes:no", names) == Margin(1, 0)
    assert asking.output("conv2d_1[*,*,3]", names) == Unit("conv2d_1", (None, None, 3))
    assert asking.output("block/dense[2]", names) == Unit("block/dense", (2,))
    with pytest.raises(UnknownName, match="did you mean 'yes'"):
        asking.output("yess", names)


def explanation(values, inputs, **more):
    one = np.array([1.5])
    return Explanation(
        values=values, inputs=inputs, output=one, classes=np.array([1]), converged=np.array([True]),
        evaluations=np.array([16]), selector=np.ones((1, 2)), **more,
    )  # fmt: skip


def test_the_largest_parts_come_first_with_their_names_and_errors():
    found = explanation(
        np.array([[0.1, -3.0, 2.0]]), np.array([[7.0, 8.0, 9.0]]), standard_error=np.array([[0.01, 0.02, 0.03]]),
        feature_names=["a", "b", "c"],
    )  # fmt: skip
    assert asking.largest(found, 0, 2) == [
        {"input": "b", "value": 8.0, "attribution": -3.0, "standard_error": 0.02},
        {"input": "c", "value": 9.0, "attribution": 2.0, "standard_error": 0.03},
    ]


def test_pixels_and_several_inputs_are_named_by_place():
    image = explanation(np.zeros((1, 2, 2, 1)), np.zeros((1, 2, 2, 1)), kind="image")
    assert [part["input"] for part in asking.largest(image, 0)][-1] == "pixel (1, 1)"
    values, inputs = (
        {"left": np.ones((1, 1)), "right": np.zeros((1, 2))},
        {"left": np.ones((1, 1)), "right": np.ones((1, 2))},
    )
    named = [part["input"] for part in asking.largest(explanation(values, inputs), 0)]
    assert named == ["left position (0)", "right position (0)", "right position (1)"]


def test_an_example_that_did_not_converge_says_so():
    found = explanation(np.ones((1, 2)), np.ones((1, 2)), error=np.array([0.2]), gap=np.array([0.01]))
    assert "estimated error of the whole map 20.0" in asking.accuracy(found, 0)
    assert "NOT converged" not in asking.accuracy(found, 0)
    object.__setattr__(found, "converged", np.array([False]))
    assert "NOT converged" in asking.accuracy(found, 0)


def test_a_unit_is_named_as_it_is_asked_for():
    net = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Conv2D(4, 3, name="inner"), keras.layers.Flatten()])
    for text in ("inner[*,*,3]", "inner[0,2,1]"):
        found = pl.explain(net, np.ones((1, 6, 6, 1)), pl.Gradient(), asking.output(text, None))
        place = text.removeprefix("inner[").removesuffix("]").replace(",", ", ")
        assert asking.heading(found, 0, 4).startswith(f"row 4: unit {place} of inner is ")


def test_a_word_stands_beside_its_place():
    ids = np.array([[3, 1, 0]])
    one = np.ones(1)
    made = Explanation(
        values=np.array([[0.5, -2.0, 0.0]]), inputs=ids, output=one, classes=one.astype(int), converged=one > 0,
        evaluations=one, selector=np.ones((1, 2)), kind="text", vocabulary=("", "[?]", "not", "good"),
    )  # fmt: skip
    assert [part["input"] for part in asking.largest(made, 0, 2)] == ["position (1) “[?]”", "position (0) “good”"]
