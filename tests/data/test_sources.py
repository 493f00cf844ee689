import numpy as np
import pytest

import pellucid as pl
from pellucid.core.splitting import holdout
from pellucid.errors import InvalidInput, InvalidOption, UnknownName, UnreadableFile


def test_breast_cancer_is_the_one_of_scikit_learn():
    from sklearn.datasets import load_breast_cancer

    truth = load_breast_cancer()
    data = pl.data.load("breast-cancer", seed=3)
    assert sorted([*data.train.ids, *data.test.ids]) == list(range(569))
    for part in data:
        np.testing.assert_allclose(part.x, truth.data[part.ids], rtol=1e-6)
        np.testing.assert_array_equal(part.y, truth.target[part.ids])
        assert abs(part.y.mean() - truth.target.mean()) < 0.01
    assert data.train.feature_names == tuple(truth.feature_names)
    assert data.train.class_names == ("malignant", "benign")


def test_digits_are_images_between_zero_and_one():
    data = pl.data.load("digits", test=0.5)
    assert data.train.x.shape[1:] == (8, 8, 1)
    assert (data.train.x.min(), data.train.x.max()) == (0, 1)
    counts = [np.bincount(part.y, minlength=10) for part in data]
    assert np.abs(counts[0] - counts[1]).max() <= 1


def test_the_seed_decides_the_split():
    one, two, other = (pl.data.load("digits", seed=s).test.ids for s in (1, 1, 2))
    assert one.tolist() == two.tolist()
    assert one.tolist() != other.tolist()


def test_names_have_a_description_and_a_licence():
    for source in pl.data.names():
        assert source.description
        assert "CC BY" in source.licence


def test_unknown_names_and_files(tmp_path):
    with pytest.raises(UnknownName, match="did you mean 'breast-cancer'"):
        pl.data.load("breast_cancer")
    (tmp_path / "patients.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UnreadableFile, match=r"did you mean 'patients.csv'"):
        pl.data.load(tmp_path / "patient.csv", target="b")
    with pytest.raises(UnreadableFile, match="is a folder"):
        pl.data.load(tmp_path)
    (tmp_path / "x.pkl").write_bytes(b"\x80\x04.")
    with pytest.raises(UnreadableFile, match="not read"):
        pl.data.load(tmp_path / "x.pkl")
    with pytest.raises(InvalidOption, match="share"):
        pl.data.load("digits", test=1.5)


def test_npz_is_parted_or_taken_as_it_is(tmp_path):
    x = np.arange(40 * 16, dtype=np.uint8).reshape(40, 4, 4)
    y = np.arange(40) % 4
    np.savez(tmp_path / "one.npz", x=x, y=y[:, None], track=np.arange(40) // 4)
    data = pl.data.load(tmp_path / "one.npz")
    assert data.train.kind == "image"
    assert data.train.x.shape == (30, 4, 4, 1)
    np.testing.assert_allclose(data.train.x[0, ..., 0], x[data.train.ids[0]] / 255, rtol=1e-6)
    grouped = pl.data.load(tmp_path / "one.npz", groups="track")
    assert not set(grouped.train.groups) & set(grouped.test.groups)
    np.savez(tmp_path / "two.npz", train_images=x[:30], train_labels=y[:30], test_images=x[30:], test_labels=y[30:])
    assert [len(part) for part in pl.data.load(tmp_path / "two.npz")] == [30, 10]
    np.savez(tmp_path / "held.npz", x=x[:5], y=y[:5])
    assert [len(part) for part in pl.data.load(tmp_path / "one.npz", test=tmp_path / "held.npz")] == [40, 5]


def test_bad_npz_is_told(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.array([{"a": 1}], object), y=np.zeros(1))
    with pytest.raises(UnreadableFile, match="pickle"):
        pl.data.load(path)
    np.savez(path, inputs=np.zeros((3, 2)))
    with pytest.raises(UnreadableFile, match="the file holds inputs"):
        pl.data.load(path)
    np.savez(path, x=np.zeros((3, 2)), y=np.zeros(2))
    with pytest.raises(UnreadableFile, match="x has 3 examples, but y has 2"):
        pl.data.load(path)
    np.savez(path, x=np.array([[1.0, np.nan], [0, 0]]), y=np.arange(2))
    with pytest.raises(UnreadableFile, match=r"\(0, 1\) is nan"):
        pl.data.load(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UnreadableFile, match=r"cut short|not a readable"):
        pl.data.load(path)


def test_holdout_keeps_classes_and_rare_ones():
    y = np.array([0] * 80 + [1] * 20 + [2])
    kept, held = holdout(y, 0.25, seed=7)
    assert sorted([*kept, *held]) == list(range(101))
    assert np.bincount(y[held], minlength=3).tolist() in ([20, 5, 0], [21, 5, 0], [20, 6, 0])
    with pytest.raises(InvalidInput, match="one group"):
        holdout(y, 0.25, groups=np.zeros(101))
    with pytest.raises(InvalidInput, match="two rows"):
        holdout(np.zeros(1), 0.5)


def test_real_images(real_data):
    data = pl.data.load(real_data("pneumoniamnist/pneumoniamnist.npz"))
    assert data.train.x.shape == (2428, 28, 28, 1)
    assert data.test.task == "classification"


def test_npz_may_bring_the_words_of_a_text(tmp_path):
    x = np.array([[1, 2, 0]] * 10)
    np.savez(tmp_path / "text.npz", x=x, y=np.arange(10) % 2, vocabulary=np.array(["", "good", "film"]))
    train, test = pl.data.load(tmp_path / "text.npz")
    assert (train.kind, train.vocabulary, test.vocabulary) == ("text", ("", "good", "film"), ("", "good", "film"))
