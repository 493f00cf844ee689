"""Datasets hold what a person needs to read them: the words of a text, by number."""

import numpy as np
import pytest

import pellucid as pl
from pellucid.errors import InvalidInput

WORDS = ("", "[?]", "not", "good")
IDS = np.array([[2, 3, 0], [3, 1, 2]])


def test_words_make_it_a_text_and_stay_with_the_examples():
    data = pl.Dataset(IDS, [0, 1], vocabulary=list(WORDS))
    assert data.kind == "text"
    assert data.vocabulary == WORDS
    assert data.take([1]).vocabulary == WORDS
    assert pl.Dataset(IDS).vocabulary is None
    assert pl.Dataset(IDS.astype(float), kind="text", vocabulary=WORDS).vocabulary == WORDS


def test_only_whole_numbers_of_an_input_of_several_are_tokens():
    x = {"input_ids": IDS, "weights": np.ones((2, 3)) * 9.5}
    assert pl.Dataset(x, vocabulary=WORDS).kind == "text"
    with pytest.raises(InvalidInput, match="x holds 0 to 9"):
        pl.Dataset({**x, "segments": np.array([[0, 9, 0], [0, 0, 0]])}, vocabulary=WORDS)


@pytest.mark.parametrize(
    "x, more, told",
    [
        (IDS, {"kind": "tabular"}, "kind must be \"text\", got 'tabular'"),
        (IDS + 1, {}, "the words of 4 tokens, numbered from 0, but x holds 1 to 4"),
        (IDS - 1, {}, "but x holds -1 to 2"),
        (IDS / 2, {}, "but x holds fractions"),
    ],
)
def test_words_that_do_not_fit_are_refused(x, more, told):
    with pytest.raises(InvalidInput, match=told):
        pl.Dataset(x, vocabulary=WORDS, **more)
