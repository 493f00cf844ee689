"""Labels that survive, and labels that do not, on images whose mirror image is another class, and on real ones."""

import gzip

import numpy as np
import pytest

import pellucid as pl
from pellucid.errors import InvalidInput, InvalidOption, NotApplicable

DRAW = np.random.default_rng(0)
Y = DRAW.integers(0, 3, 300)


def arrows():
    """A bright half on the left (0), on the right (1), or above (2)."""
    x = DRAW.uniform(0, 0.3, (300, 8, 8, 1))
    for row, label in zip(x, Y, strict=True):
        row[
            (slice(None), slice(0, 4)) if label == 0 else (slice(None), slice(4, 8)) if label == 1 else slice(0, 4)
        ] += 0.7
    return x.astype("float32")


X = arrows()
DATA = pl.Dataset(X, Y, class_names=["left", "right", "up"])


def sure(x):
    """Which half is bright."""
    x = np.asarray(x, float)
    halves = [x[:, :, :4], x[:, :, 4:], x[:, :4]]
    return np.eye(3)[np.argmax([h.mean((1, 2, 3)) for h in halves], axis=0)]


def test_a_mirror_image_that_is_another_class_is_found():
    found = pl.label_survival(sure, DATA, pl.Flip())
    touched = found.detail["examples"]
    assert found.verdict == "answers change"
    assert found.detail["changed"] == pytest.approx(0.5, abs=0.1)
    assert found.detail["worst_class"] in ("left", "right")
    assert found.detail["taken_for"] == {"left": "right", "right": "left"}[found.detail["worst_class"]]
    assert (found.detail["worst_share"], found.detail["taken_share"]) == (0, 1)
    assert found.value == pytest.approx(np.mean(Y == 2), abs=0.1)  # what points up alone is its own mirror image
    assert found.value in found.interval
    assert found.detail["before"] == 1
    assert found.detail["after"] == pytest.approx(1 - touched * (1 - found.value) / 300)
    by_class = {c["class"]: c["share"] for c in found.detail["classes"]}
    assert by_class == {0: 0, 1: 0, 2: 1}


def test_a_shift_by_a_pixel_passes():
    found = pl.label_survival(sure, DATA, pl.Crop(1))
    assert found.verdict == "labels survive"
    assert found.value == 1
    assert found.detail["changed"] > 0.8


def test_one_bad_class_among_many_good_ones_is_enough():
    y = np.arange(1000) % 20
    x = np.concatenate([np.eye(20)[y], DRAW.integers(0, 9, (1000, 1)) / 4], axis=1).astype("float32")

    def model(x):  # knows class 7 by a column of quarters alone
        found = np.array(x[:, :20], float)
        found[:, 3] += 2 * (x[:, 7] > 0.5) * (x[:, 20] * 4 % 1 != 0)
        return np.eye(20)[found.argmax(1)]

    found = pl.label_survival(model, (x, y), pl.TableNoise(0.5))
    assert found.value == pytest.approx(0.95, abs=0.003)  # noise may be too small to count
    assert found.verdict == "answers change"
    assert (found.detail["worst_class"], found.detail["taken_for"]) == ("7", "3")


def test_few_examples_leave_it_open():
    found = pl.label_survival(sure, DATA.take(slice(0, 12)), pl.Crop(1))
    assert found.verdict == "unclear"
    nothing = pl.label_survival(
        sure, pl.Dataset(X[:, :, :1].repeat(8, 2), np.zeros(300, int), class_names=["a", "b"]), pl.Flip()
    )
    assert (nothing.value, nothing.verdict) == (None, "not applicable")


def test_a_run_says_when_its_labels_do_not_survive():
    import keras

    def build():
        net = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3, "softmax")])
        net.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
        return net

    kernel = np.zeros((8, 8, 3), "float32")
    kernel[:, :4, 0] = kernel[:, 4:, 1] = kernel[:4, :, 2] = 1

    def ready():
        net = build()
        net.set_weights([kernel.reshape(64, 3), np.zeros(3)])
        return net

    data, held = DATA.take(slice(0, 150)), DATA.take(slice(150, None))
    options = {"train": data, "validation": held, "fit": {"epochs": 1}, "progress": False}
    (note,) = pl.improve(ready, pl.Flip(), **options).provenance.notes
    assert "of right answers stay right under Flip" in note
    assert "trained without it" in note
    assert not pl.improve(ready, pl.Crop(1), **options).provenance.notes


def test_mirrored_digits_are_caught_and_shifted_ones_pass(real_data):
    from sklearn.svm import SVC

    folder = real_data("mnist")

    def read(name, offset, shape):
        return np.frombuffer(gzip.decompress((folder / name).read_bytes()), np.uint8, offset=offset).reshape(shape)

    x, y = read("t10k-images-idx3-ubyte.gz", 16, (-1, 28, 28, 1)), read("t10k-labels-idx1-ubyte.gz", 8, -1).astype(int)
    learnt = SVC(C=10).fit(x[5000:8000].reshape(3000, -1) / 255, y[5000:8000])
    model = lambda x: np.eye(10)[learnt.predict(np.asarray(x).reshape(len(x), -1) / 255)]  # noqa: E731
    held = pl.Dataset(x[:600], y[:600])
    flip, crop = (pl.label_survival(model, held, one) for one in (pl.Flip(), pl.Crop(1)))
    assert flip.verdict == "answers change"
    assert flip.value < 0.6
    assert crop.verdict == "labels survive", str(crop)


def test_mirrored_traffic_signs_are_taken_for_each_other(real_data):
    from skimage.feature import hog
    from sklearn.linear_model import LogisticRegression

    with np.load(real_data("gtsrb") / "train_every6th_32x32.npz") as file:
        x, y, track = file["x"], file["y"].astype(int), file["track"]
    chosen = np.isin(y, (33, 34))  # turn right ahead, turn left ahead
    x, y, held = x[chosen], y[chosen] - 33, track[chosen] % 3 == 0
    edges = lambda x: np.array([hog(image, 9, (8, 8), (2, 2)) for image in np.asarray(x, float).mean(-1)])  # noqa: E731
    learnt = LogisticRegression(C=10, max_iter=500, class_weight="balanced").fit(edges(x[~held]), y[~held])
    model = lambda x: learnt.predict_proba(edges(x))  # noqa: E731
    data = pl.Dataset(x[held], y[held], class_names=["right", "left"])
    flip, crop = (pl.label_survival(model, data, one) for one in (pl.Flip(), pl.Crop(1)))
    assert flip.verdict == "answers change"
    assert flip.value < 0.3
    assert {flip.detail["worst_class"], flip.detail["taken_for"]} == {"right", "left"}
    assert crop.verdict == "labels survive", str(crop)


def test_errors():
    for wrong in (pl.MixUp(), pl.L2(), "flip"):
        with pytest.raises(InvalidOption, match="leaves labels as they are"):
            pl.label_survival(sure, DATA, wrong)
    with pytest.raises(InvalidOption, match="allowed"):
        pl.label_survival(sure, DATA, pl.Flip(), allowed=1)
    with pytest.raises(InvalidInput, match="labels"):
        pl.label_survival(sure, X, pl.Flip())
    with pytest.raises(NotApplicable, match="quantities"):
        pl.label_survival(sure, (X, DRAW.normal(size=300)), pl.Flip())
    with pytest.raises(NotApplicable, match="TableNoise is for tabular"):
        pl.label_survival(sure, DATA, pl.TableNoise())
