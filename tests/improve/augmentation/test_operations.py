"""Operations on images, against Pillow and SciPy."""

import numpy as np
import pytest
from keras import ops
from PIL import Image, ImageEnhance, ImageOps
from scipy.ndimage import affine_transform

from pellucid.core.tensors import to_array
from pellucid.improve.augmentation import operations
from pellucid.improve.augmentation.operations import COLOURS, GEOMETRY, done

BYTES = np.random.default_rng(0).integers(30, 220, (5, 12, 10, 3)).astype("uint8")
BYTES[..., 1] //= 2
X = (BYTES / 255).astype("float32")
NAMES = ("nothing", *GEOMETRY, *COLOURS)


def one(name, amount, x=X):
    which, by = ops.full((len(x),), NAMES.index(name), dtype="int32"), ops.full((len(x),), amount)
    return to_array(done(ops.convert_to_tensor(x), which, by, NAMES))


def pillow(change):
    return np.stack([np.asarray(change(Image.fromarray(image))) for image in BYTES]) / 255


@pytest.mark.parametrize("amount", [-0.5, 0.3])
@pytest.mark.parametrize(
    ("name", "enhance"),
    [
        ("brightness", ImageEnhance.Brightness),
        ("contrast", ImageEnhance.Contrast),
        ("colour", ImageEnhance.Color),
        ("sharpness", ImageEnhance.Sharpness),
    ],
)
def test_enhancements_are_those_of_pillow(name, enhance, amount):
    expected = pillow(lambda image: enhance(image).enhance(1 + 0.9 * amount))
    inner = (slice(None), slice(1, -1), slice(1, -1))  # the border is Pillow's own affair
    np.testing.assert_allclose(one(name, amount)[inner], expected[inner], atol=2.1 / 255)


def test_posterize_solarize_and_autocontrast_are_those_of_pillow():
    np.testing.assert_allclose(one("posterize", -0.5), pillow(lambda i: ImageOps.posterize(i, 6)), atol=1e-6)
    np.testing.assert_allclose(one("solarize", 0.602), pillow(lambda i: ImageOps.solarize(i, 102)), atol=1e-6)
    np.testing.assert_allclose(one("autocontrast", 0.3), pillow(ImageOps.autocontrast), atol=1.1 / 255)


@pytest.mark.parametrize("name", GEOMETRY)
def test_geometry_is_an_affine_map_about_the_middle(name):
    amount = 0.6
    angle = operations.TURN * amount
    turn, shift = np.eye(2), np.zeros(2)
    if name == "rotate":
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    elif name.startswith("shear"):
        turn[(1, 0) if name == "shear_x" else (0, 1)] = operations.SHEAR * amount
    else:
        shift[int(name == "shift_x")] = operations.SHIFT * amount * X.shape[1 + int(name == "shift_x")]
    middle = (np.array(X.shape[1:3]) - 1) / 2
    offset = middle - turn @ middle + shift
    expected = [
        np.stack([affine_transform(x[..., c], turn, offset, order=1, mode="nearest") for c in range(3)], -1) for x in X
    ]
    np.testing.assert_allclose(one(name, amount), expected, atol=1e-4)


def test_each_image_has_its_own_operation_and_nothing_is_nothing():
    which = np.array([0, 1, 7, 8, 11], "int32")
    amount = np.array([0.3, -0.2, 0.4, 0.5, -0.6], "float32")
    found = to_array(done(*map(ops.convert_to_tensor, (X, which, amount)), NAMES))
    np.testing.assert_allclose(found[0], X[0], atol=1e-6)
    for i in range(1, 5):
        np.testing.assert_allclose(found[i], one(NAMES[which[i]], float(amount[i]))[i], atol=1e-6)


def test_other_numbers_of_channels_are_taken():
    for channels in (1, 4):
        x = X[..., :1].repeat(channels, -1)
        np.testing.assert_array_equal(one("colour", 0.5, x), x)
        expected = np.clip(x.mean((1, 2, 3), keepdims=True) + 1.45 * (x - x.mean((1, 2, 3), keepdims=True)), 0, 1)
        np.testing.assert_allclose(one("contrast", 0.5, x), expected, atol=1e-5)
