"""Agreement of attention with gradients and with leaving out: against SciPy, pair counting and NumPy's own models."""

import keras
import numpy as np
import pytest
from keras import layers
from scipy.stats import kendalltau

import pellucid as pl
from pellucid.errors import InvalidOption, UnknownName
from pellucid.verify.attention.agreement import rank_agreement
from pellucid.verify.attention.site import over_examples


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def by_pairs(x, y):
    """Kendall's tau-b, counted."""
    pairs = [(i, j) for i in range(len(x)) for j in range(i)]
    a = np.array([np.sign(x[i] - x[j]) for i, j in pairs])
    b = np.array([np.sign(y[i] - y[j]) for i, j in pairs])
    return (a * b).sum() / np.sqrt((a != 0).sum() * (b != 0).sum())


def test_the_rank_agreement_is_scipys_and_that_of_counted_pairs(generator):
    a, b = generator.normal(size=(2, 7, 9))
    a[:3], b[2:5] = np.round(a[:3]), np.round(b[2:5])  # ties in one, in both, in the other
    seen = np.ones((7, 9), bool)
    seen[1, 6:] = seen[4, :2] = False
    found = rank_agreement(a, b, seen)
    for row in range(7):
        x, y = a[row][seen[row]], b[row][seen[row]]
        assert found[row] == pytest.approx(kendalltau(x, y).statistic, abs=1e-12)
        assert found[row] == pytest.approx(by_pairs(x, y), abs=1e-12)
    assert rank_agreement(np.ones((1, 4)), b[:1, :4], np.ones((1, 4), bool)).tolist() == [0]
    assert rank_agreement(a[:1] * 1e-9, b[:1], seen[:1]).tolist() == [0], "rounding is no ranking"


def test_every_number_is_numpys(picking, flagged):
    keras.utils.set_random_seed(1)
    net = picking(6, 3, layers.Dense(4), gain=2.0)
    x = np.random.default_rng(5).normal(size=(12, 6, 4)).astype("float32")
    kernel, bias = (np.asarray(w, np.float64) for w in net.get_weights())
    say = lambda x: (softmax(2 * x[..., 0])[:, None] @ x[..., 1:])[:, 0] @ kernel + bias  # noqa: E731
    attention, before = softmax(2.0 * x[..., 0].astype(float)), say(x.astype(float))
    moves = np.zeros((12, 6))
    for t in range(6):
        less = x.astype(float)
        less[:, t] = 0
        moves[:, t] = np.abs(softmax(say(less)) - softmax(before)).sum(1) / 2
    classes, step, slopes = before.argmax(1), 1e-5, np.zeros(x.shape)
    for t in range(6):
        for f in range(4):
            ends = [x.astype(float) for _ in range(2)]
            ends[0][:, t, f] -= step
            ends[1][:, t, f] += step
            slopes[:, t, f] = np.subtract(*(say(end)[np.arange(12), classes] for end in ends[::-1])) / (2 * step)
    e = pl.explain(net, x, pl.Gradient())
    found, norm = pl.verify(net, e, [pl.AttentionAgreement(), pl.AttentionAgreement(gradient="norm")])
    np.testing.assert_allclose(found.detail["attention"], attention, atol=1e-6)
    np.testing.assert_allclose(found.detail["moves"], moves, atol=2e-6)
    np.testing.assert_allclose(found.detail["slopes"], np.abs((slopes * x).sum(-1)), atol=1e-4)
    np.testing.assert_allclose(norm.detail["slopes"], np.sqrt((slopes**2).sum(-1)), atol=1e-4)
    taus = [kendalltau(a, m).statistic for a, m in zip(attention, moves, strict=True)]
    np.testing.assert_allclose(found.detail["per_example"], taus, atol=1e-9)
    assert found.value == pytest.approx(np.mean(taus))
    half = 2.200985160082949 * np.std(taus, ddof=1) / np.sqrt(12)  # Student's t with 11 degrees of freedom
    assert tuple(found.interval) == pytest.approx((np.mean(taus) - half, np.mean(taus) + half))
    settled = [
        kendalltau(np.where(a < 1 / 12, 0, a), np.where(m < 0.01, 0, m)).statistic
        for a, m in zip(attention, moves, strict=True)
    ]
    np.testing.assert_allclose(found.detail["settled_per_example"], settled, atol=1e-9)


def test_padding_is_left_out_and_short_examples_are_counted(picking, flagged):
    keras.utils.set_random_seed(1)
    x = flagged(9, 8, 2)
    lengths = np.array([2, 3, 4, 5, 6, 7, 8, 8, 1])
    for row, length in enumerate(lengths):
        x[row, length:] = 0
        x[row, :length, 0] = 0
        x[row, 0, 0] = 1
    long = pl.wrap(picking(8, 2, layers.Dense(3), masked=True))
    e = pl.explain(long, x, pl.Gradient())
    found = pl.verify(long, e, pl.AttentionAgreement())[0]
    assert (found.detail["examples"], found.detail["left_out"]) == (7, 2)
    for row, example in enumerate(np.flatnonzero(lengths >= 3)):
        short = pl.wrap(picking(int(lengths[example]), 2, layers.Dense(3), masked=True))
        short.native.set_weights(long.native.get_weights())
        alone = pl.explain(short, x[example : example + 1, : lengths[example]], pl.Gradient())
        one = pl.verify(short, alone, pl.AttentionAgreement())[0]
        assert found.detail["per_example"][row] == pytest.approx(one.value, abs=1e-9)
        assert found.detail["gradient_per_example"][row] == pytest.approx(one.detail["gradient"], abs=1e-9)


def test_tokens_columns_and_patches_are_found_behind_a_class_token(generator):
    keras.utils.set_random_seed(0)
    small = {"width": 8, "depth": 1, "heads": 2}
    models = {
        "text": (pl.models.text_transformer(7, 20, 2, **small), generator.integers(1, 20, size=(5, 7)), 7),
        "tabular": (pl.models.tabular_transformer(5, 2, **small), generator.normal(size=(5, 5)), 5),
        "image": (pl.models.vision_transformer((8, 8, 1), 2, patch=4, **small), generator.normal(size=(5, 8, 8, 1)), 4),
    }
    for kind, (net, x, count) in models.items():
        net = pl.wrap(net)
        e = pl.explain(net, pl.Dataset(x, kind=kind), pl.Gradient())
        found = pl.verify(net, e, pl.AttentionAgreement())[0]
        assert found.detail["attention"].shape == (5, count), found
        changed = np.array(x)  # the second position alone
        changed[(slice(None), *((slice(0, 4), slice(4, 8)) if kind == "image" else (1,)))] = 0
        p, q = net.probabilities(x), net.probabilities(changed)
        np.testing.assert_allclose(found.detail["moves"][:, 1], np.abs(p - q).sum(1) / 2, atol=1e-5)


def moved(net, x, kind, part):
    """How far the output moves, by total variation, when one part of the input is black or silent."""
    changed = np.array(x)
    changed[(slice(None), *part)] = 0
    p, q = net.probabilities(x), net.probabilities(changed)
    return np.abs(p - q).sum(1) / 2


@pytest.mark.parametrize("pool", ["class", "attention"])
@pytest.mark.parametrize(
    "name, shape, patch, second, last",
    [
        ("audio", (16, 8), (4, 4), np.s_[0:4, 4:8], np.s_[12:16, 4:8]),
        ("audio", (16, 8), (2, 4), np.s_[0:2, 4:8], np.s_[14:16, 4:8]),  # as many patches as there are frames
        ("video", (4, 6, 6, 1), (2, 3, 2), np.s_[0:2, 0:3, 2:4], np.s_[2:4, 3:6, 4:6]),
        ("vision", (8, 8, 3), (4, 2), np.s_[0:4, 2:4], np.s_[4:8, 6:8]),
        ("sequence", (12, 2), 3, np.s_[3:6,], np.s_[9:12,]),
    ],
)
def test_parts_of_any_form_are_what_positions_have_grown_from(generator, pool, name, shape, patch, second, last):
    keras.utils.set_random_seed(0)
    kind = {"vision": "image"}.get(name, name)
    net = pl.wrap(
        getattr(pl.models, f"{name}_transformer")(shape, 2, patch=patch, width=8, depth=1, heads=2, pool=pool)
    )
    x = generator.normal(size=(5, *shape)).astype("float32")
    found = pl.verify(net, pl.explain(net, pl.Dataset(x, kind=kind), pl.Gradient()), pl.AttentionAgreement())[0]
    sizes = (patch,) if isinstance(patch, int) else patch
    count = int(np.prod([side // size for side, size in zip(shape, sizes, strict=False)]))
    assert found.detail["attention"].shape == found.detail["moves"].shape == (5, count), found
    assert found.detail["moves"][:, 1] == pytest.approx(moved(net, x, kind, second), abs=1e-5)
    assert found.detail["moves"][:, -1] == pytest.approx(moved(net, x, kind, last), abs=1e-5)
    own = pl.attention(net, x)[-1]
    assert found.detail["attention"] == pytest.approx(own.mean(1)[:, 0, -count:], abs=1e-6)


def test_where_no_position_alone_moves_the_output_its_order_is_not_held_against_attention(picking, flagged):
    """A model as sure as can be: only an example in which the flag decides between close answers says anything."""
    keras.utils.set_random_seed(1)
    net, x = picking(6, 2, layers.Dense(3), gain=20.0), flagged(40, 6, 2)
    e = pl.explain(net, x, pl.Gradient())
    soft = pl.verify(net, e, pl.AttentionAgreement(bound=0.3))[0]
    moves = soft.detail["moves"].max(1)
    idle = moves < 0.3
    assert 0 < idle.sum() < 40
    assert soft.detail["idle"] == idle.sum()
    assert np.isnan(soft.detail["settled_per_example"]).tolist() == idle.tolist()
    assert soft.detail["settled"] == pytest.approx(np.nanmean(soft.detail["settled_per_example"]))
    assert soft.verdict == "agrees"
    assert f"In {idle.sum()} of these no position alone moves the output" in soft.detail["explanation"]
    none = pl.verify(net, e, pl.AttentionAgreement(bound=0.999999))[0]
    assert (none.verdict, none.detail["settled"], none.detail["settled_interval"]) == ("unclear", None, None)


def test_the_interval_covers_as_often_as_it_says():
    draw = np.random.default_rng(3)
    mixed = lambda size: draw.choice([1.0, 0.6, 0.2, -0.2], p=[0.4, 0.3, 0.2, 0.1], size=size)  # noqa: E731
    truth = 0.4 + 0.18 + 0.04 - 0.02
    covered = np.mean([truth in over_examples(mixed(30), -1, 1) for _ in range(2000)])
    assert 0.93 < covered < 0.97


def test_what_cannot_be_asked_is_told(picking, flagged):
    net, x = picking(5, 2, layers.Dense(2)), flagged(4, 5, 2)
    e = pl.explain(net, x, pl.Gradient())
    with pytest.raises(UnknownName, match="did you mean 'pick'"):
        pl.verify(net, e, pl.AttentionAgreement(layer="pik"))
    with pytest.raises(InvalidOption, match="gradient"):
        pl.AttentionAgreement(gradient="size")
    plain = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    found = pl.verify(plain, pl.explain(plain, np.ones((3, 4)), pl.Gradient()), pl.AttentionAgreement())[0]
    assert (found.value, found.verdict) == (None, "not applicable")
    assert "no attention" in found.detail["explanation"]
