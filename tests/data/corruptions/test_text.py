import numpy as np
import pytest

import pellucid as pl
from pellucid.data.corruptions import TEXT, Reference, negation, reference, synonyms
from pellucid.data.corruptions.text import slip
from pellucid.errors import NotApplicable

WORDS = ["", "[UNK]", *["good", "film", "bad", "plot", "The", "the", "dog", "god", "not", "never", "a"]]
CASES = lambda levels: list(zip((1, 2, 3, 4, 5), levels))  # noqa: E731
SHARES = (0.05, 0.1, 0.2, 0.3, 0.5)
LONG = np.random.default_rng(0).integers(2, len(WORDS) - 1, (300, 40))
WIDE = [" ".join(f"word{i}x" for i in row) for row in LONG]


def put(function, x, severity, seed=0, words=WORDS):
    function = TEXT.get(function, function)
    return function(np.asarray(x), severity, np.random.default_rng(seed), Reference(words=tuple(words)))


def tokens(*texts, width=0):
    rows = [[WORDS.index(w) for w in text.split()] for text in texts]
    width = width or max(map(len, rows))
    return np.array([row + [0] * (width - len(row)) for row in rows])


def test_a_slip_is_one_of_four_and_all_of_them_happen():
    word = "film"
    found = {slip(word, np.random.default_rng(i)) for i in range(400)}
    swapped = {"iflm", "flim", "fiml"}
    lost = {"flm", "fim", "fil"}
    twice = {"ffilm", "fiilm", "fillm"}
    beside = {"gilm", "folm", "fikm"}  # the key to the right; l is the last of its row
    assert found == swapped | lost | twice | beside
    assert slip("a", np.random.default_rng(0)) == "a"
    assert slip("42", np.random.default_rng(3)) in {"42", "24", "4", "442"}


@pytest.mark.parametrize("severity, share", CASES(SHARES))
def test_typos_hit_their_share_of_the_words(severity, share):
    found = put("typos", WIDE, severity, words=())
    pairs = [(a, b) for old, new in zip(WIDE, found) for a, b in zip(old.split(), new.split(), strict=True)]
    changed = np.mean([a != b for a, b in pairs])
    assert changed == pytest.approx(share, abs=0.04)


@pytest.mark.parametrize("severity, share", CASES(SHARES))
def test_what_the_vocabulary_does_not_hold_is_unknown(severity, share):
    found = put("typos", LONG, severity)
    changed = found != LONG
    long = np.array([len(w) > 1 for w in WORDS])[LONG]
    assert changed[long].mean() == pytest.approx(share, abs=0.04)
    others = {WORDS[t] for t in found[changed]}
    assert "[UNK]" in others
    assert others <= {"[UNK]", "god", "good"} | {w for w in WORDS if len(w) == 3}


def test_without_an_unknown_token_the_word_is_lost_and_the_padding_stays_on_its_side():
    words = [w for w in WORDS if w != "[UNK]"]
    after = np.array([[2, 3, 2, 3, 2, 3, 0, 0]] * 40)
    before = after[:, ::-1]
    for x, side in ((after, slice(-2, None)), (before, slice(None, 2))):
        found = put("typos", x, 5, words=words)
        np.testing.assert_array_equal(found[:, side], 0)
        assert ((found > 0).sum(1) < 6).any()
        assert ((found > 0).sum(1) >= 1).all()
        gaps = np.abs(np.diff((found > 0).astype(int), axis=1)).sum(1)
        assert (gaps == 1).all()  # no hole where the word was


def test_case_by_hand():
    found = [put("case", tokens("the dog The"), 5, seed=i)[0] for i in range(40)]
    unknown, lower, upper = 1, WORDS.index("the"), WORDS.index("The")
    assert {row[0] for row in found} == {lower, unknown}  # THE is no word
    assert {row[2] for row in found} == {upper, lower}
    with pytest.raises(NotApplicable, match="no capitals"):
        put("case", tokens("the dog"), 5, words=[w.lower() for w in WORDS])
    assert put("case", ["ab CD ef"] * 50, 5, words=()).tolist().count("AB cd EF") > 0


@pytest.mark.parametrize("severity, share", CASES(SHARES))
def test_words_lost_are_as_many_as_said_and_the_rest_in_order(severity, share):
    found = put("deletion", LONG, severity)
    assert (found == 0).mean() == pytest.approx(share, abs=0.02)
    for old, new in zip(LONG, found):
        rest = iter(old)
        assert all(any(token == other for other in rest) for token in new[new > 0])
    assert (put("deletion", tokens("good").repeat(50, axis=0), 5) == 2).all()


@pytest.mark.parametrize("severity, share", CASES(SHARES))
def test_neighbours_change_places(severity, share):
    row = np.arange(2, 42)
    words = [""] * 2 + [f"w{i}" for i in range(40)]
    found = put("swap", np.tile(row, (400, 1)), severity, words=words)
    np.testing.assert_array_equal(np.sort(found, axis=1), np.tile(row, (400, 1)))
    # in a run of exchanges one word goes to the right, and each exchange moves exactly one to the left
    assert (found > row).mean() * 40 / 39 == pytest.approx(share, abs=0.02)


def test_tokens_without_words_can_be_lost_and_exchanged_but_not_misspelt():
    data = pl.Dataset(LONG, kind="text")
    for name in ("deletion", "swap"):
        assert (TEXT[name](LONG, 3, np.random.default_rng(0), reference(data)) != LONG).any()
    with pytest.raises(NotApplicable, match="vocabulary"):
        put("typos", LONG, 3, words=())


@pytest.mark.parametrize("severity, share", CASES((0.1, 0.2, 0.4, 0.6, 1.0)))
def test_synonyms_replace_their_share_of_what_they_know(severity, share):
    change = synonyms({"good": ["bad", "film"]})
    found = put(change, LONG, severity)
    good = LONG == 2
    np.testing.assert_array_equal(found[~good], LONG[~good])
    assert (found[good] != 2).mean() == pytest.approx(share, abs=0.05)
    assert {WORDS[t] for t in found[good]} <= {"good", "bad", "film"}
    assert put(change, ["a Good film"], 5, words=())[0] in ("a bad film", "a film film")


def test_negation_by_hand():
    x = tokens("a good film", "a not good film", "never", width=5)
    found = put(negation, x, 5)
    wanted = tokens("a good not film", "a good film", width=5)
    np.testing.assert_array_equal(found[:2], wanted)
    np.testing.assert_array_equal(found[2], 0)
    assert put(negation, ["it is good", "it is not good"], 5, words=()).tolist() == ["it is not good", "it is good"]
    turned = [np.mean(put(negation, WIDE, s, words=()) != np.array(WIDE)) for s in (1, 2, 3, 4, 5)]
    assert turned == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0], abs=0.08)


def test_an_empty_text_and_a_full_one():
    x = np.vstack([np.zeros((1, 6), int), np.full((1, 6), 2)])
    for function in (*TEXT, negation, synonyms({"good": ["bad"]})):
        found = put(function, x, 5)
        np.testing.assert_array_equal(found[0], 0)
        assert found.shape == x.shape
