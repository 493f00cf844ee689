import numpy as np
import pytest

import pellucid as pl
from improve.by_hand import X, check, data_loss, logs
from pellucid.errors import InvalidInput

TAUGHT = np.random.default_rng(3).dirichlet(np.ones(3), 64)


def at(temperature, found):
    softer = found / temperature
    return softer - np.log(np.exp(softer).sum(1, keepdims=True))


@pytest.mark.parametrize("softmax", [True, False])
def test_the_divergence_from_the_teacher(softmax):
    its = at(2, np.log(TAUGHT))

    def loss(w):
        return data_loss(w) + 0.7 * 4 * (np.exp(its) * (its - at(2, logs(w)))).sum(1).mean()

    check(pl.Distill(TAUGHT, 2.0, 0.7), loss, softmax)


def test_a_model_teaches_by_its_probabilities():
    def teacher(x):
        return TAUGHT[: len(x)].astype("float32")

    its = np.log(TAUGHT)

    def loss(w):
        return data_loss(w) + (np.exp(its) * (its - logs(w))).sum(1).mean()

    check(pl.Distill(pl.wrap(teacher, output="probabilities"), 1.0), loss)


def test_answers_that_do_not_fit_are_told():
    for given, told in ((TAUGHT[:5], "64 examples"), (2 * TAUGHT, "sum to one"), (np.full((64, 2), 0.5), "3 classes")):
        with pytest.raises(InvalidInput, match=told):
            check(pl.Distill(given), data_loss)
    assert X.shape == (64, 4)
