import numpy as np
import pytest

import pellucid as pl
from pellucid.errors import InvalidOption, NotApplicable
from pellucid.improve.augmentation.texts import beside, characters, mistyped

WORDS = ["", "[UNK]", "[CLS]", "film", "flim", "movie", "picture", "was", "good", "a", "plot", "dull"]
DRAW = np.random.default_rng(0)
X = DRAW.integers(3, 12, (500, 12)).astype("int32")
LENGTH = DRAW.integers(1, 13, 500)
X[np.arange(12) >= LENGTH[:, None]] = 0
DATA = pl.Dataset(X, np.arange(500) % 2, vocabulary=WORDS)
FRONT = pl.Dataset(np.stack([np.r_[row[row == 0], row[row > 0]] for row in X]), DATA.y, vocabulary=WORDS)


def plain(row):
    return [int(t) for t in row if t]


@pytest.mark.parametrize("data", [DATA, FRONT], ids=["behind", "in front"])
def test_deletion_loses_what_was_drawn_and_closes_the_gap(apply, data):
    found, (drawn,) = apply(pl.TokenDeletion(0.3), data)
    assert found.dtype == np.int32
    lost = 0
    for old, new, u in zip(data.x, found, drawn, strict=True):
        word = old > 0
        kept = word & ((u >= 0.3) | (u == u[word].max()))  # one word stays
        assert plain(new) == plain(old[kept])
        where = np.flatnonzero(new)
        assert len(where) == where[-1] - where[0] + 1
        assert where[-1] == 11 if data is FRONT else where[0] == 0  # of full texts as well: as the data have it
        lost += word.sum() - kept.sum()
    assert abs(lost / LENGTH.sum() - 0.3) < 0.03


def test_swap_exchanges_pairs_of_words_at_the_rate(apply):
    found, _ = apply(pl.TokenSwap(0.4), pl.Dataset(np.arange(1, 13) * (X > 0), vocabulary=list("abcdefghijklm")))
    np.testing.assert_array_equal(np.sort(found, axis=1), np.sort(np.arange(1, 13) * (X > 0), axis=1))
    np.testing.assert_array_equal(found > 0, X > 0)
    moved = (found != np.arange(1, 13)) & (X > 0)
    assert abs(moved.sum() / (2 * (LENGTH // 2)).sum() - 0.4) < 4 * np.sqrt(0.24 / (LENGTH // 2).sum())


def test_words_are_mistyped_at_the_rate_and_looked_up_again(apply):
    found, _ = apply(pl.Typos(0.25), DATA)
    words = np.array(WORDS)
    np.testing.assert_array_equal(found > 0, X > 0)  # there is an unknown token, so that nothing is lost
    changed = found != X
    long = np.char.str_len(words[X]) > 1
    assert not changed[~long].any()
    assert abs(changed.sum() / long.sum() - 0.25) < 4 * np.sqrt(0.1875 / long.sum())
    assert set(np.unique(found[changed])) <= {1, 3, 4}
    assert set(np.unique(X[changed & (found == 4)])) == {3}  # film becomes flim, which is a word


def test_without_an_unknown_token_a_mistyped_word_is_lost_but_not_all(apply):
    words = ["", *WORDS[3:]]
    found, _ = apply(pl.Typos(0.5), pl.Dataset(np.maximum(X - 2, 0), vocabulary=words))
    assert (found > 0).any(1).all()
    assert (found > 0).sum() < 0.8 * LENGTH.sum()
    assert np.all(np.diff((found > 0).astype(int), axis=1) <= 0)


def test_what_a_word_becomes_is_one_slip_away():
    table = mistyped(WORDS)
    assert table.shape == (12, 8)
    np.testing.assert_array_equal(table[[0, 1, 2, 9]], np.array([0, 1, 2, 9])[:, None].repeat(8, 1))
    assert set(table[5]) == {1}
    assert set(mistyped(["", "on", "no"])[1]) <= {0, 2}
    assert characters(["", "<unk>", "a", " "])
    assert not characters(WORDS)
    np.testing.assert_array_equal(beside(["", "a", "s", "p", "!"])[:, 0], [0, 2, 2, 3, 4])


def test_characters_are_exchanged_lost_or_the_key_beside(apply):
    letters = ["", *"asdfghjkl"]  # the key to the right is the next number
    x = np.tile(np.array([1, 3, 5, 7, 2, 4, 6, 0], "int32"), (4000, 1))
    found, (hits, kind, _) = apply(pl.Typos(0.2), pl.Dataset(x, vocabulary=letters))
    for old, new, hit, k in zip(x[:300], found, hits, kind, strict=False):
        text, hit = list(old), hit & (old > 0)
        swap = hit & (k == 2) & np.r_[old[1:] > 0, False]
        swap[1:] &= ~swap[:-1]
        for at in np.flatnonzero(hit):
            if k[at] < 2:
                text[at] = 0 if k[at] else old[at] + 1
        for at in np.flatnonzero(swap):
            text[at], text[at + 1] = text[at + 1], text[at]
        assert plain(new) == [t for t in text if t]
    lost = 1 - (found > 0).sum() / (x > 0).sum()
    assert abs(lost - 0.2 / 3) < 4 * np.sqrt(0.0667 / (7 * 4000))


def test_synonyms_are_drawn_from_the_list_and_nothing_else_changes(apply):
    one = pl.Synonyms({"film": ["movie", "picture", "flick"], "good": ["fine"], "dull": ["plot"]}, rate=0.4)
    found, _ = apply(one, DATA)
    changed = found != X
    assert set(np.unique(X[changed])) == {3, 11}
    for token, options in ((3, {5, 6}), (11, {10})):
        at = token == X
        assert set(np.unique(found[at & changed])) == options
        assert abs(changed[at].mean() - 0.4) < 4 * np.sqrt(0.24 / at.sum())
    movies = (found[(X == 3) & changed] == 5).mean()
    assert abs(movies - 0.5) < 4 * 0.5 / np.sqrt(((X == 3) & changed).sum())


@pytest.mark.parametrize("one", [pl.TokenDeletion, pl.TokenSwap, pl.Typos])
def test_spared_tokens_stay_where_they_are(apply, one):
    x = X.copy()
    x[:, 0] = 2
    found, _ = apply(one(0.5, spared=(2,)), pl.Dataset(x, vocabulary=WORDS))
    assert np.all(found[:, 0] == 2)
    assert np.any(found != x)


def test_an_empty_text_stays_empty(apply):
    empty = pl.Dataset(np.zeros((5, 4), "int32"), vocabulary=WORDS)
    for one in (pl.TokenDeletion(), pl.TokenSwap(), pl.Typos(), pl.Synonyms({"film": ["movie"]})):
        assert not apply(one, empty)[0].any()


def test_errors():
    for wrong in (
        lambda: pl.TokenDeletion(0), lambda: pl.TokenSwap(1), lambda: pl.Typos(0.1, spared=("a",)),
        lambda: pl.Synonyms({}), lambda: pl.Synonyms({"a": "b"}), lambda: pl.Synonyms(["a"]),
    ):  # fmt: skip
        with pytest.raises(InvalidOption):
            wrong()
    unnamed = pl.Dataset(X, kind="text")
    for one in (pl.Typos(), pl.Synonyms({"film": ["movie"]})):
        with pytest.raises(NotApplicable, match="vocabulary"):
            one.attach(None, unnamed, 0)
    with pytest.raises(NotApplicable, match="no word of the vocabulary"):
        pl.Synonyms({"sea": ["ocean"]}).attach(None, DATA, 0)
    with pytest.raises(NotApplicable, match="TokenSwap is for text data"):
        pl.TokenSwap().attach(None, pl.Dataset(X), 0)
    with pytest.raises(InvalidOption, match="marks would not move"):
        pl.Recipe(pl.TokenSwap(), pl.AttentionSupervision(np.ones((2, 3))))
