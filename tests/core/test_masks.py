"""Players and hidden scores against plain NumPy loops."""

import numpy as np
import pytest

import pellucid as pl
from pellucid.core.baselines import resolve_baseline
from pellucid.core.masks import hidden_scores, make_players
from pellucid.core.target import resolve
from pellucid.errors import InvalidInput, InvalidOption


def test_columns_of_one_origin_make_one_player():
    players = make_players([np.zeros((2, 5))], "tabular", columns=["age", "job", "job", "sex", "job"])
    assert players.assignment[0].tolist() == [0, 1, 1, 2, 1]
    assert players.count == 3


def test_patches_cover_an_image_channels_together():
    players = make_players([np.zeros((1, 5, 4, 3))], "image", patch=2)
    grid = players.assignment[0]
    assert players.count == 6
    assert (grid == grid[..., :1]).all()
    assert grid[..., 0].tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3], [4, 4, 5, 5]]
    assert make_players([np.zeros((1, 28, 28, 1))], "image").count == 49
    assert make_players([np.zeros((1, 9, 2))], "sequence").count == 9


def test_several_inputs_share_one_numbering():
    players = make_players([np.zeros((1, 2)), np.zeros((1, 3))], "tabular")
    assert [a.tolist() for a in players.assignment] == [[0, 1], [2, 3, 4]]


def test_gather_and_spread_are_sums_and_even_shares(generator):
    players = make_players([np.zeros((1, 4, 4, 2))], "image", patch=(2, 4))
    maps = generator.normal(size=(3, 4, 4, 2))
    total = players.gather([maps])
    np.testing.assert_allclose(total, np.stack([maps[:, :2].sum((1, 2, 3)), maps[:, 2:].sum((1, 2, 3))], axis=1))
    np.testing.assert_allclose(players.gather(players.spread(total)), total)


@pytest.mark.parametrize("patch", [0, (2, 2, 2), np.zeros((2, 2), int), np.full((4, 4, 1), 0.5)])
def test_patches_that_do_not_fit(patch):
    with pytest.raises(InvalidOption, match="patch"):
        make_players([np.zeros((1, 4, 4, 1))], "image", patch=patch)


@pytest.mark.parametrize("examples", [1, 3, 70])
@pytest.mark.parametrize("masks", [1, 5, 150])
def test_hidden_scores_are_the_plain_loop(examples, masks, generator):
    x, fill = generator.normal(size=(examples, 6)).astype(np.float32), np.linspace(0, 1, 6)
    weights = generator.normal(size=6)
    model = pl.wrap(lambda t: np.tanh(t @ weights))
    inputs = model.prepare(x)
    players = make_players(inputs, "tabular", columns=list("aabbcd"))
    hide = generator.random((masks, 4)) < 0.5
    target = resolve(0, model.scores(x), None, binary=False)
    found = hidden_scores(model, inputs, resolve_baseline(fill, model, inputs), target, players, hide)
    away = hide[:, [0, 0, 1, 1, 2, 3]]
    expected = np.stack([[np.tanh(np.where(m, fill, row) @ weights) for m in away] for row in x])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_each_example_may_hide_its_own(generator):
    x = generator.normal(size=(4, 3)).astype(np.float32)
    model = pl.wrap(lambda t: t.sum(1))
    inputs = model.prepare(x)
    hide = generator.random((4, 7, 3)) < 0.5
    players = make_players(inputs, "tabular")
    target = resolve(0, model.scores(x), None, binary=False)
    found = hidden_scores(model, inputs, resolve_baseline(0, model, inputs), target, players, hide)
    np.testing.assert_allclose(found, np.where(hide, 0, x[:, None]).sum(2), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("baseline", [np.zeros(2), np.full(3, np.nan), "blur", {"x": 0, "z": 1}, np.zeros((2, 3))])
def test_baselines_that_do_not_fit(baseline):
    model = pl.wrap(lambda t: t.sum(1))
    inputs = model.prepare(np.zeros((4, 3)))
    with pytest.raises(InvalidInput, match="baseline"):
        resolve_baseline(baseline, model, inputs)
