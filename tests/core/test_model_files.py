import pickle

import keras
import numpy as np
import pytest

from pellucid.core.model_files import load_model
from pellucid.errors import UnreadableFile, UnsafeModel


@pytest.fixture
def saved(tmp_path):
    net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="softmax")])
    net.compile("adam", "sparse_categorical_crossentropy")
    net.save(tmp_path / "net.keras")
    return net, tmp_path / "net.keras"


def test_a_whole_file_gives_the_same_model(saved):
    net, path = saved
    x = np.random.default_rng(0).normal(size=(4, 3))
    found = load_model(path)
    np.testing.assert_array_equal(found.predict(x, verbose=0), net.predict(x, verbose=0))
    assert found.compiled


@pytest.mark.parametrize("share", [0.3, 0.9, 0.99])
def test_a_cut_file_is_told(saved, share):
    _, path = saved
    raw = path.read_bytes()
    path.write_bytes(raw[: int(share * len(raw))])
    with pytest.raises(UnreadableFile, match="cut short"):
        load_model(path)


def test_a_damaged_file_is_told(saved):
    _, path = saved
    raw = bytearray(path.read_bytes())
    at = len(raw) // 2
    raw[at : at + 50] = bytes(b ^ 0xFF for b in raw[at : at + 50])
    path.write_bytes(raw)
    with pytest.raises(UnreadableFile, match="damaged"):
        load_model(path)


class Trap:
    def __reduce__(self):
        return (exec, ("raise SystemExit('the pickle was run')",))


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_pickles_are_never_opened(tmp_path, protocol):
    path = tmp_path / "model.keras"
    path.write_bytes(pickle.dumps(Trap(), protocol=protocol))
    for trust in (False, True):
        with pytest.raises(UnsafeModel, match="pickle"):
            load_model(path, trust=trust)


def test_code_runs_only_where_the_owner_allows_it(tmp_path):
    path = tmp_path / "lambda.keras"
    net = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x * 2, output_shape=(2,))])
    net.save(path)
    with pytest.raises(UnsafeModel, match=r"Lambda.*trust=True.*--trust-model"):
        load_model(path)
    assert load_model(path, trust=True).predict(np.ones((1, 2)), verbose=0).tolist() == [[2, 2]]


def test_other_files_are_told(tmp_path):
    for name, content, message in [
        ("a.keras", b"", "empty"), ("b.keras", b"hello there", "neither"), ("c.h5", b"\x89HDF\r\n\x1a\nxx", "damaged"),
    ]:  # fmt: skip
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnreadableFile, match=message):
            load_model(tmp_path / name)
    with pytest.raises(UnreadableFile, match="folder"):
        load_model(tmp_path)
    with pytest.raises(UnreadableFile, match="no such file"):
        load_model(tmp_path / "none.keras")
