"""Records made by hand, so that what is tested is the report alone; and one small audit that is real."""

import numpy as np
import pytest

import pellucid as pl
from pellucid.core.measurement import Measurement
from pellucid.core.resampling import Interval

NASTY = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)> ]]> --> {{ 7*7 }}"


def estimate(value, low, high):
    return {"value": value, "interval": Interval(low, high), "explanation": ""}


@pytest.fixture
def measured():
    """Makes a measurement: `measured("gap.accuracy", 0.1, (0.05, 0.2), "overfits", quality="accuracy")`."""

    def make(name, value, ends=None, verdict="", **detail):
        interval = None if ends is None else Interval(*ends)
        return Measurement(name, value, interval, verdict, {"explanation": f"{name} told.", **detail})

    return make


@pytest.fixture
def attended(measured):
    """Makes what AttentionFaithfulness gives: a verdict, the move under shuffled weights, the settled rank correlation."""

    def make(verdict, move=0.4, tau=0.1, idle=0, examples=20):
        around = lambda value: None if value is None else Interval(value - 0.1, value + 0.1)  # noqa: E731
        moves = "moves the output" if move > 0.15 else "does not move the output"
        agrees = "agrees" if tau is not None and tau > 0.43 else "does not agree"
        permutation = Measurement(
            "attention_permutation", move, around(move), moves, {"limit": 0.05, "unit": 1, "examples": examples}
        )
        agreement = Measurement(
            "attention_agreement", 0.2, Interval(0.1, 0.3), agrees,
            {"settled": tau, "settled_interval": around(tau), "gradient": 0.3, "gradient_interval": Interval(0.2, 0.4),
             "limit": 1 / 3, "idle": idle, "examples": examples},
        )  # fmt: skip
        detail = {"permutation": permutation, "agreement": agreement, "layer": "pool", "examples": examples}
        ends = None if tau is None else (tau - 0.1, tau + 0.1)
        return measured("attention_faithfulness", tau, ends, verdict, about="attention", **detail)

    return make


def network(columns=4, classes=2):
    import keras

    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [keras.Input((columns,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(classes, "softmax")], name="small"
    )


def datasets(names=("a", "b", "c", "d"), classes=("no", "yes"), data="toy"):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(160, 4)).astype(np.float32)
    model = pl.wrap(network())
    y = model.probabilities(x).argmax(1) ^ (generator.random(160) < 0.15)
    made = [
        pl.Dataset(x[part], y[part], feature_names=names, class_names=classes, name=f"{data} ({word})")
        for part, word in ((slice(0, 80), "train"), (slice(80, 160), "test"))
    ]
    return model, *made


@pytest.fixture(scope="session")
def audited():
    """A real audit of a small model."""
    model, train, test = datasets()
    return pl.audit(model, train=train, test=test, seed=0, progress=False, notes=("Made for a test.",))


@pytest.fixture(scope="session")
def hostile():
    """A real audit in which every name tries to be markup."""
    model, train, test = datasets([f"{NASTY}{i}" for i in range(4)], [NASTY, f"2{NASTY}"], NASTY)
    model.native.name = "net"
    return pl.audit(
        model, train=train, test=test, seed=0, progress=False, notes=(NASTY,), measures=[pl.Performance(), pl.Gap()]
    )
