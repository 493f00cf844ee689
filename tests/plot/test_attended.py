"""Where one position looks: its weights lie where they belong on the example."""

import numpy as np
import pytest

import pellucid as pl
from pellucid.errors import InvalidInput, UnknownName
from pellucid.explain.attention.reading import AttentionReading
from pellucid.plot.heat import faded
from pellucid.plot.scene import Box, Raster, Text
from pellucid.plot.words import STRONGEST


def reading(weights, inputs, kind, **more):
    return AttentionReading({"layer": weights}, inputs, np.ones((len(weights), 2)), kind=kind, **more)


def of(kind, picture):
    return [m for m in picture.marks if isinstance(m, kind)]


def texts(picture):
    return [m.text for m in of(Text, picture)]


@pytest.fixture
def weights(generator):
    """Makes weights (1, 2, K, K)."""

    def made(count):
        e = generator.uniform(size=(1, 2, count, count))
        return e / e.sum(-1, keepdims=True)

    return made


def test_patches_lie_over_the_image(weights, generator):
    image, w = generator.uniform(size=(1, 6, 6, 1)), weights(10)
    shown, ground, over, _ = of(Raster, pl.plot.attention_map(reading(w, image, "image")))
    row = w[0, :, 0, 1:].mean(0).reshape(3, 3)
    assert over.pixels[..., 3] == pytest.approx(255 * np.clip(row / np.quantile(row, 0.995), 0, 1), abs=0.51)
    assert (ground.pixels == faded(image[0])).all()
    assert (ground.x, ground.y, ground.width, ground.height) == (over.x, over.y, over.width, over.height)
    assert shown.x < over.x


def test_another_query_and_head(weights):
    w = weights(9)
    picture = pl.plot.attention_map(reading(w, np.ones((1, 6, 6, 1)), "image"), 5, "layer", 1, beside=False)
    row = w[0, 1, 5].reshape(3, 3)
    assert of(Raster, picture)[1].pixels[..., 3].argmax() == row.argmax()
    assert picture.title == "Where patch 1, 2 looks, in layer, head 1"


def test_words_have_the_colour_of_their_weights(weights):
    w, ids = weights(5), np.array([[4, 9, 7, 0]])
    picture = pl.plot.attention_map(reading(w, ids, "text"), tokens=("not", "so", "<b>"))
    row = w[0, :, 0, 1:4].mean(0)
    expected = [round(STRONGEST * value, 3) for value in row / row.max()]
    assert [b.opacity for b in of(Box, picture)] == expected
    assert {b.colour for b in of(Box, picture)} == {"accent"}
    assert picture.title == "Where [class] looks, in layer, mean of all 2 heads"
    assert "<b>" not in picture.svg()
    assert "“so”" in pl.plot.attention_map(reading(w, ids, "text"), 2, tokens=("not", "so", "good")).title


def test_columns_are_bars(weights):
    w = weights(4)
    picture = pl.plot.attention_map(reading(w, np.array([[1.5, 2.0, 3.0]]), "tabular", feature_names=("a", "b", "c")))
    row = w[0, :, 0, 1:].mean(0)
    assert [r[0] for r in picture.table.rows] == [("a", "b", "c")[i] for i in np.argsort(-row)]
    assert "1.5" in texts(picture)
    assert len(of(Box, picture)) == 3


def test_patches_of_a_spectrogram_and_blocks_of_time(weights, generator):
    w = weights(9)
    *_, drawn, _ = of(Raster, pl.plot.attention_map(reading(w, generator.uniform(size=(1, 16, 8)), "audio")))
    row = w[0, :, 0, 1:].mean(0).reshape(4, 2).T[::-1]
    assert drawn.pixels[..., 3] == pytest.approx(255 * np.clip(row / np.quantile(row, 0.995), 0, 1), abs=0.51)
    behind = of(Raster, pl.plot.attention_map(reading(w, generator.uniform(size=(1, 32, 1)), "sequence")))[0]
    blocks = np.repeat(w[0, :, 0, 1:].mean(0), 4)
    assert behind.pixels[0, :, 3] == pytest.approx(255 * np.clip(blocks / np.quantile(row, 0.995), 0, 1), abs=0.51)


def test_what_cannot_be_placed_is_told(weights):
    with pytest.raises(InvalidInput, match="8 positions cannot be placed on video inputs"):
        pl.plot.attention_map(reading(weights(8), np.ones((1, 4, 6, 6, 1)), "video"))
    with pytest.raises(InvalidInput, match="query: the layer has 7 queries, numbered from 0; got 7"):
        pl.plot.attention_map(reading(weights(7), np.ones((1, 7)), "tabular"), 7)
    with pytest.raises(UnknownName):
        pl.plot.attention_map(reading(weights(7), np.ones((1, 7)), "tabular"), 0, "other")


def test_words_come_from_the_vocabulary(weights):
    made = reading(weights(5), np.array([[4, 9, 7, 0]]), "text", vocabulary=tuple(f"w{i}" for i in range(10)))
    picture = pl.plot.attention_map(made)
    assert [t.text for t in of(Text, picture) if t.text.startswith("w")] == ["w4", "w9", "w7"]
    assert "“w9”" in pl.plot.attention_map(made, 2).title
    assert {"w4", "w9", "w7"} <= {t.text for t in of(Text, pl.plot.attention_lines(made))}
    assert any(cell in ("w4", "w9", "w7", "[class]") for cell in pl.plot.attention_grid(made).table.rows[0])
