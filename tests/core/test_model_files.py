"""Model files: the sound are read, all others refused with the reason."""

import pickle
import zipfile

import keras
import numpy as np
import pytest

from pellucid.core.model_files import load_model
from pellucid.errors import UnreadableFile, UnsafeModel


@pytest.fixture
def saved(tmp_path, random_mlp):
    path = tmp_path / "model.keras"
    random_mlp.save(path)
    return path


def test_a_saved_model_gives_the_same_answers(saved, random_mlp, generator):
    x = generator.normal(size=(5, 6)).astype("float32")
    np.testing.assert_allclose(load_model(saved).predict(x, verbose=0), random_mlp.predict(x, verbose=0), rtol=1e-6)


@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_truncated_file_is_told(saved, kept):
    whole = saved.read_bytes()
    saved.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(UnreadableFile, match="damaged"):
        load_model(saved)


def test_a_zip_whose_weights_are_cut_short_is_told(saved, tmp_path):
    damaged = tmp_path / "damaged.keras"
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(damaged, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name)[: 200 if name.endswith(".h5") else None])
    with pytest.raises(UnreadableFile, match="damaged"):
        load_model(damaged)


@pytest.mark.parametrize("name", ["model.pkl", "model.keras", "model.pt"])
def test_a_pickle_is_refused_by_name_and_by_content(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(UnsafeModel, match="pickle"):
        load_model(path)
    with pytest.raises(UnsafeModel, match="pickle"):
        load_model(path, trust=True)


def test_a_torch_archive_is_a_pickle_too(tmp_path):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x04.")
    with pytest.raises(UnsafeModel, match="pickle"):
        load_model(path)


def test_a_lambda_layer_is_refused_until_it_is_trusted(tmp_path):
    path = tmp_path / "lambda.keras"
    model = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: 2 * x)])
    model.save(path)
    with pytest.raises(UnsafeModel, match="--trust-model"):
        load_model(path)
    loaded = load_model(path, trust=True)
    assert loaded.predict(np.ones((1, 2), "float32"), verbose=0).tolist() == [[2.0, 2.0]]


@pytest.mark.parametrize("content", [b"", b"hello, this is text", b"PK\x03\x04"])
def test_something_else_is_told(tmp_path, content):
    path = tmp_path / "model.keras"
    path.write_bytes(content)
    with pytest.raises(UnreadableFile, match=r"empty|neither a \.keras|damaged"):
        load_model(path)


def test_a_file_that_is_not_there_and_a_folder(tmp_path):
    with pytest.raises(UnreadableFile, match="no such file"):
        load_model(tmp_path / "none.keras")
    with pytest.raises(UnreadableFile, match="folder"):
        load_model(tmp_path)
