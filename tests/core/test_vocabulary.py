"""Words that are none of a text are told from words."""

from pellucid.core import vocabulary

BERT = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "[", "<")


def test_a_mask_says_nothing_before_an_unknown_word():
    assert vocabulary.blank(BERT) == 4
    assert vocabulary.blank(("", "oov", "good")) == vocabulary.unknown(("", "oov", "good")) == 1
    assert vocabulary.blank(("", "good")) is vocabulary.unknown(("", "good")) is None


def test_special_words_are_padding_unknown_ones_and_those_in_brackets():
    assert vocabulary.special(BERT) == (0, 1, 2, 3, 4)
    assert vocabulary.special(("pad", "unk", "</s>", "good")) == (0, 1, 2)
