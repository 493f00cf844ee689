import numpy as np
import pytest

import pellucid as pl
from improve.by_hand import GROUP, WEIGHTS, X, Y, check, data_loss, logs, of_label
from pellucid.errors import InvalidInput, InvalidOption

W = [w.astype(float) for w in WEIGHTS]
BOTH = pytest.mark.parametrize("softmax", [True, False])


def by_group(w):
    return np.array([-of_label(w)[g == GROUP].mean() for g in (0, 1)])


@BOTH
def test_the_worst_group_counts_more(softmax):
    shares = np.exp(0.5 * (by_group(W) + 2 / np.sqrt(np.bincount(GROUP))))
    shares /= shares.sum()
    check(pl.GroupDro(GROUP, 0.5, adjustment=2.0), lambda w: shares @ by_group(w), softmax)


def test_shares_move_on_from_step_to_step():
    """Two steps at a rate of zero: the second has the shares of the first, moved once more by the same losses."""
    from improve.by_hand import build
    from pellucid.improve.step import Step
    from pellucid.training import fit, fresh

    remedy = pl.GroupDro(GROUP, 0.5)
    step = Step(fresh(build(rate=0.0)), [remedy], pl.Dataset(X, Y))
    fit(step.model, pl.Dataset(step.given(), Y), settings={"epochs": 3, "batch_size": 64}, progress=False)
    shares = np.exp(3 * 0.5 * by_group(W))
    np.testing.assert_allclose(np.asarray(step.held["group_dro"].share.numpy()), shares / shares.sum(), rtol=1e-5)


@BOTH
def test_the_slope_of_a_factor_on_the_scores(softmax):
    def loss(w):
        each, price = by_group(w), []
        for g in (0, 1):
            its, y = logs(w)[g == GROUP], Y[g == GROUP]
            price.append(((np.exp(its) * its).sum(1) - its[np.arange(len(y)), y]).mean())
        return each.mean() + 5 * np.mean(np.square(price))

    check(pl.InvariantRisk(GROUP, 5.0), loss, softmax)


def test_the_variance_of_the_losses():
    check(pl.InvariantRisk(GROUP, 5.0, "vrex"), lambda w: by_group(w).mean() + 5 * by_group(w).var())
    check(pl.InvariantRisk(GROUP, 5.0, "vrex", warm_up=1), lambda w: by_group(w).mean() + by_group(w).var())


def test_its_strength_leaves_other_prices_as_they_are():
    """Divided by the strength, the loss would be small beside what the layers of the model add, and weights fall to zero."""
    recipe = pl.Recipe(pl.InvariantRisk(GROUP, 5.0, "vrex"), pl.L2(0.01))
    calm = lambda w: 0.01 * sum(np.square(kernel).sum() for kernel in w[::2])  # noqa: E731
    check(recipe, lambda w: by_group(w).mean() + 5 * by_group(w).var() + calm(w))


def test_weights_of_examples_count_within_their_group():
    weight = np.random.default_rng(5).random(64)

    def loss(w):
        each = np.array([np.average(-of_label(w)[g == GROUP], weights=weight[g == GROUP]) for g in (0, 1)])
        return each.mean() + 5 * each.var()

    check(pl.InvariantRisk(GROUP, 5, "vrex"), loss, sample_weight=weight)


@BOTH
def test_covariances_of_domains(softmax):
    def loss(w):
        h = np.tanh(X @ w[0] + w[1])
        one, two = (np.cov(h[g == GROUP].T) for g in (0, 1))
        return data_loss(w) + 5 * ((one - two) ** 2).sum() / (4 * 8**2)

    run = check(pl.Coral(GROUP, 5.0), loss, softmax)
    assert set(run.history["penalty"]) == {"coral"}


def test_three_domains_are_compared_in_pairs_and_a_lone_example_is_left_out():
    three = np.where(np.arange(64) % 3 == 0, 2, GROUP)
    lone = np.where(np.arange(64) == 5, 2, GROUP)

    def loss(names):
        def of(w):
            h = np.tanh(X @ w[0] + w[1])
            found = [np.cov(h[names == g].T) for g in np.unique(names) if (names == g).sum() > 1]
            pairs = [(a, b) for i, a in enumerate(found) for b in found[:i]]
            return data_loss(w) + np.mean([((a - b) ** 2).sum() for a, b in pairs]) / (4 * 8**2)

        return of

    for names in (three, lone):
        check(pl.Coral(names, 1.0), loss(names))


def test_groups_of_the_data_are_used():
    data = pl.Dataset(X, Y, groups=np.array(["a", "b"])[GROUP])
    shares = np.exp(0.5 * by_group(W))
    check(pl.GroupDro(rate=0.5), lambda w: shares @ by_group(w) / shares.sum(), train=data)


@pytest.mark.parametrize(
    ("remedy", "told"),
    [
        (pl.GroupDro(), "needs the group of each training example"),
        (pl.Coral([0, 1]), "64 training examples"),
        (pl.InvariantRisk(np.zeros(64)), "all training examples are of"),
    ],
)
def test_groups_that_do_not_fit_are_told(remedy, told):
    with pytest.raises(InvalidInput, match=told):
        check(remedy, data_loss)


def test_what_cannot_be_used_together_is_told():
    with pytest.raises(InvalidOption, match="both replace the mean over a batch"):
        pl.Recipe(pl.GroupDro(GROUP), pl.InvariantRisk(GROUP))
    with pytest.raises(InvalidOption, match="kind"):
        pl.InvariantRisk(GROUP, kind="rex")
