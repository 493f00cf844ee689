"""The verb `verify`: order, records, costs, and state."""

import numpy as np
import pytest

import pellucid as pl
from pellucid.errors import InvalidInput, InvalidOption


@pytest.fixture
def case(random_mlp, generator):
    x = generator.normal(size=(20, 6))
    return random_mlp, pl.explain(random_mlp, x, pl.IntegratedGradients())


def test_results_come_in_order_with_their_cost(case):
    checks = [pl.ParameterRandomization(repeats=1), pl.Insertion(), pl.Deletion()]
    v = pl.verify(*case, checks, seed=4)
    assert [r.name for r in v] == ["parameter_randomization", "insertion", "deletion"]
    assert [r.provenance.method for r in v] == checks
    assert all(r.provenance.seed == 4 and r.provenance.evaluations > 0 and r.provenance.seconds > 0 for r in v)
    assert v[1].provenance.evaluations == 20 * 7 * 21
    assert len(v) == 3


def test_same_seed_same_numbers_and_another_seed_others(case):
    first, again, other = (pl.verify(*case, pl.Deletion(), seed=s)[0] for s in (1, 1, 2))
    np.testing.assert_array_equal(first.detail["random_areas"], again.detail["random_areas"])
    assert np.abs(first.detail["random_areas"] - other.detail["random_areas"]).max() > 0


def test_a_saved_explanation_can_be_verified_and_the_verification_saved(case, tmp_path):
    model, e = case
    direct = pl.verify(model, e)
    loaded = pl.verify(model, pl.load(e.save(tmp_path / "e")))
    assert [r.value for r in loaded] == [r.value for r in direct]
    assert pl.load(direct.save(tmp_path / "v")) == direct
    assert str(direct).startswith(direct.verdict)


def test_several_inputs(generator):
    f = lambda x: x["a"].sum(1) + 3 * x["b"][:, 0]  # noqa: E731
    model = pl.wrap(f)
    x = {"a": np.abs(generator.normal(size=(30, 3))), "b": np.abs(generator.normal(size=(30, 2)))}
    e = pl.explain(model, x, pl.Occlusion())
    assert pl.verify(model, e, pl.Deletion())[0].verdict == "better than random"


def test_what_is_refused(case):
    with pytest.raises(InvalidOption, match="expected checks such as"):
        pl.verify(*case, ["deletion"])
    with pytest.raises(InvalidInput, match="expected an Explanation"):
        pl.verify(case[0], np.zeros(3))
