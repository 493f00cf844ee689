"""Attention drawn: cells have the colour of their weights, lines are the largest, padding is left out, text is escaped."""

import time

import numpy as np
import pytest

import pellucid as pl
from pellucid.errors import InvalidInput, UnknownName
from pellucid.explain.attention.reading import AttentionReading
from pellucid.plot import lines
from pellucid.plot.attention import CELLS, means
from pellucid.plot.scene import Line, Raster, Text
from pellucid.plot.theme import HEAT_MAGNITUDE

IDS = np.array([[4, 9, 7, 0, 0], [3, 0, 0, 0, 0]])


def softmax(scores):
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.fixture
def read(generator):
    """Makes a reading of two layers, with weights of one's own or random ones."""

    def made(inputs=IDS, kind="text", shape=(2, 3, 6, 6), weights=None, **more):
        found = weights or {n: softmax(2 * generator.normal(size=shape)) for n in ("first", "second")}
        return AttentionReading(found, inputs, np.ones((len(next(iter(found.values()))), 2)), kind=kind, **more)

    return made


def of(kind, picture):
    return [m for m in picture.marks if isinstance(m, kind)]


def texts(picture):
    return [m.text for m in of(Text, picture)]


def test_a_cell_is_as_strong_as_its_weight_on_one_scale_for_all_maps(read):
    reading = read()
    *maps, key = of(Raster, pl.plot.attention_grid(reading, 0))
    shown = [reading[name][0, head, :4, :4] for name in reading for head in range(3)]  # class token and three words
    bound = np.quantile(shown, 0.995)
    assert len(maps) == 6
    for raster, weights in zip(maps, shown, strict=True):
        assert raster.pixels[..., 3] == pytest.approx(255 * np.clip(weights / bound, 0, 1), abs=0.51)
        assert (raster.pixels[..., :3] == HEAT_MAGNITUDE).all()
    assert key.pixels[0, -1, 3] == 255


def test_the_table_names_the_strongest_pair_and_how_many_keys_are_looked_at(read):
    uniform, sharp = np.full((4, 4), 0.25), np.eye(4)[[1, 1, 1, 1]] * 0.97 + 0.01
    weights = {"a": np.pad(np.stack([uniform, sharp])[None], ((0, 0), (0, 0), (0, 2), (0, 2)))}
    table = pl.plot.attention_grid(read(IDS[:1], weights=weights), tokens=("not", "so", "good")).table
    assert table.columns == ("layer", "head", "most from", "to", "weight", "keys a query looks at")
    entropy = -(0.98 * np.log(0.98) + 3 * 0.01 * np.log(0.01))
    assert table.rows[0] == ("a", 0, "[class]", "[class]", "0.250", "4.00")
    assert table.rows[1] == ("a", 1, "[class]", "not", "0.980", pl.core.numbers.figure(float(np.exp(entropy))))


def test_blocks_are_means(generator):
    values = generator.normal(size=(7, 5))
    found = means(means(values, 3, 0), 2, 1)
    expected = [[values[i : i + 3, j : j + 2].mean() for j in (0, 2, 4)] for i in (0, 3, 6)]
    assert found == pytest.approx(np.array(expected))


def test_a_long_input_is_drawn_as_means_of_blocks_and_says_so(read, generator):
    weights = {"long": softmax(3 * generator.normal(size=(1, 1, 300, 300)))}
    picture = pl.plot.attention_grid(read(np.ones((1, 300), int), weights=weights))
    raster = of(Raster, picture)[0]
    blocks = weights["long"][0, 0].reshape(100, 3, 100, 3).mean((1, 3))
    assert raster.pixels[..., 3] == pytest.approx(255 * np.clip(blocks / np.quantile(blocks, 0.995), 0, 1), abs=0.51)
    assert "each cell is the mean of 3 × 3 weights" in texts(picture)


def test_many_maps_of_long_inputs_stay_small_and_quick(read, generator):
    weights = {f"layer {i}": softmax(generator.normal(size=(1, 8, 1024, 1024)).astype("float32")) for i in range(4)}
    reading = read(np.ones((1, 1024), int), weights=weights)
    started = time.perf_counter()
    pictures = [pl.plot.attention_grid(reading), pl.plot.attention_lines(reading)]
    sizes = [len(p.svg()) for p in pictures]
    assert time.perf_counter() - started < 6
    assert max(sizes) < 1_500_000
    assert sum(r.pixels.shape[0] * r.pixels.shape[1] for r in of(Raster, pictures[0])) <= CELLS + 61
    assert len(of(Line, pictures[1])) <= lines.LINES
    assert len(of(Text, pictures[1])) < 4 * lines.WRITTEN + 10


def test_the_lines_are_the_largest_weights_and_as_strong(read):
    reading = read()
    picture = pl.plot.attention_lines(reading, "first", 1, 0, tokens=("not", "so", "good"))
    weights, names = reading["first"][0, 1, :4, :4], ("[class]", "not", "so", "good")
    order = np.argsort(-weights.ravel(), kind="stable")
    count = int(np.argmax(np.cumsum(weights.ravel()[order]) >= 0.8 * weights.sum())) + 1
    found = of(Line, picture)[::-1]
    assert len(found) == count
    for line, place in zip(found, order, strict=False):
        query, key = divmod(int(place), 4)
        assert line.tip.startswith(f"{names[query]} to {names[key]}: ")
        assert line.opacity == round(float(weights[query, key] / weights.max()), 3)
    ends = [{m.y for m in of(Text, picture) if m.text == name} for name in names]
    query, key = divmod(int(order[0]), 4)
    assert found[0].points[0][1] + 4 in ends[query]
    assert found[0].points[1][1] + 4 in ends[key]
    share = weights.ravel()[order[:count]].sum() / weights.sum()
    assert f"{count} of 16 weights, {pl.core.numbers.figure(share, percent=True)} of the attention" in texts(picture)


def test_several_heads_are_their_mean(read):
    reading = read()
    picture = pl.plot.attention_lines(reading, 1, (0, 2), 0)
    mean = reading["second"][0, [0, 2], :4, :4].mean(0)
    assert picture.table.rows[0][4] == pl.core.numbers.figure(float(mean.max()))
    assert "second, mean of 2 heads" in texts(picture)
    assert "second, mean of all 3 heads" in texts(pl.plot.attention_lines(reading))


def test_of_many_positions_only_the_ends_of_the_largest_are_written(read, generator):
    weights = softmax(4 * generator.normal(size=(1, 1, 90, 90)))
    tokens = [f"w{i}" for i in range(90)]
    reading = read(np.ones((1, 90), int), weights={"only": weights})
    picture = pl.plot.attention_lines(reading, tokens=tokens)
    largest = np.unravel_index(weights[0, 0].argmax(), (90, 90))
    assert picture.table.rows[0][2:4] == tuple(map(int, largest))
    left = [m for m in of(Text, picture) if m.anchor == "end" and m.text != "from"]
    counted = sum(int(m.text.split()[1]) for m in left if m.text.startswith("⋯"))
    assert counted + sum(m.text.startswith("w") for m in left) == 90, "every position is written or counted"
    assert sum(m.text.startswith("w") and m.colour == "ink" for m in left) <= lines.WRITTEN
    assert all(m.y < picture.height for m in of(Text, picture))


def test_weights_too_faint_to_see_are_not_drawn():
    weights = np.full((4, 4), 0.01)
    weights[0, 0] = 1.0
    assert lines.strongest(weights).tolist() == [[0, 0]]
    assert lines.strongest(np.zeros((3, 3))).shape == (0, 2)


def test_one_query_looks_at_everything(read):
    reading = read(IDS[:1], weights={"pool": np.array([[[[0.7, 0.2, 0.1, 0.0, 0.0]]]])})
    picture = pl.plot.attention_lines(reading, tokens=("not", "so", "good"))
    assert {"query", "not", "so", "good"} <= set(texts(picture))
    assert [row[4] for row in picture.table.rows] == ["0.700", "0.200"]
    assert of(Raster, pl.plot.attention_grid(reading))[0].pixels.shape[:2] == (1, 3)


@pytest.mark.parametrize(
    ("inputs", "kind", "count", "expected"),
    [
        (np.ones((1, 3)), "tabular", 4, {"[class]", "age", "dose", "<b>"}),
        (np.ones((1, 4, 4, 1)), "image", 5, {"[class]", "0, 0", "1, 1", "patches by row and column"}),
        (np.ones((1, 3, 6, 6)), "image", 10, {"[class]", "0, 0", "2, 2"}),
        (np.ones((1, 6, 2)), "sequence", 3, {"0", "1", "2", "positions by number"}),
        (np.ones((1, 8, 4)), "audio", 5, {"[class]", "0", "3"}),
        ({"input_ids": np.array([[5, 6, 0]]), "mask": np.array([[1, 1, 0]])}, "text", 3, {"token 5", "token 6"}),
        ({"one": np.ones((1, 3))}, "tabular", 3, {"0", "1", "2"}),
    ],
)
def test_positions_are_called_what_they_are(read, inputs, kind, count, expected):
    names = ("age", "dose", "<b>") if kind == "tabular" and not isinstance(inputs, dict) else None
    reading = read(inputs, kind, weights={"a": np.full((1, 1, count, count), 1 / count)}, feature_names=names)
    assert expected <= set(texts(pl.plot.attention_lines(reading)))


def test_a_text_of_padding_alone_is_drawn(read):
    reading = read(np.zeros((1, 4), int), weights={"a": np.full((1, 1, 4, 4), 0.25)})
    assert len(of(Raster, pl.plot.attention_grid(reading))) == 2


@pytest.mark.parametrize("draw", [pl.plot.attention_grid, pl.plot.attention_lines])
def test_text_of_tokens_is_escaped_and_pictures_have_names(read, draw):
    picture = draw(read(), example=0, tokens=("<script>", "&", '"'))
    svg = picture.svg()
    assert "<script>" not in svg
    assert 'role="img" aria-label="Attention' in svg
    assert picture.description in pl.core.numbers.plain(picture.description)
    assert picture.table.rows


def test_mistakes_are_told(read):
    reading = read()
    with pytest.raises(InvalidInput, match="example: the reading has 2 examples, there is no number 2"):
        pl.plot.attention_grid(reading, 2)
    with pytest.raises(InvalidInput, match="head: the layer has 3 heads, numbered from 0; got 3"):
        pl.plot.attention_lines(reading, head=3)
    with pytest.raises(UnknownName):
        pl.plot.attention_lines(reading, "third")
    with pytest.raises(UnknownName):
        pl.plot.attention_lines(reading, 2)
    with pytest.raises(InvalidInput, match="expected 5 words, one for each token, or 3 without padding; got 2"):
        pl.plot.attention_grid(reading, tokens=("a", "b"))
    with pytest.raises(InvalidInput, match="tokens: expected 6 words, one for each position, got 2"):
        pl.plot.attention_grid(read(np.ones((2, 6, 3)), "sequence"), tokens=("a", "b"))


def test_what_a_model_attends_to_is_drawn():
    model = pl.models.text_transformer(6, 10, 2, depth=1, heads=2)
    reading = pl.attention(model, pl.Dataset(np.array([[1, 2, 3, 0, 0, 0]]), kind="text"))
    weights = reading[0][0, :, :4, :4]
    maps = of(Raster, pl.plot.attention_grid(reading, tokens=("a", "b", "c")))[:2]
    bound = np.quantile(weights, 0.995)
    for raster, own in zip(maps, weights, strict=True):
        assert raster.pixels[..., 3] == pytest.approx(255 * np.clip(own / bound, 0, 1), abs=0.51)
