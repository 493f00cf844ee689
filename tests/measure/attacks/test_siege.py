import numpy as np
import pytest

from pellucid.measure.attacks.siege import Fallen, masking, union

ROWS = 200


def fallen(share, epsilon=0.1):
    at = np.where(np.arange(ROWS) < share * ROWS, epsilon, np.inf)
    return Fallen(at, np.zeros((ROWS, 1), "float32"))


def signs(flat=0.0, **shares):
    return masking(
        {n.replace("_", "-"): fallen(s) for n, s in shares.items()}, np.arange(ROWS) < flat * ROWS, (0.1,), 0.95
    )


def test_signs_by_hand():
    assert signs(fgsm=0.3, pgd=0.5, apgd_ce=0.5, square=0.4, noise=0.1) == {
        "masked": False, "flat": 0.0, "blind": pytest.approx(-0.1), "single": pytest.approx(-0.2)}  # fmt: skip
    assert signs(pgd=0.3, square=0.4)["masked"]
    assert not signs(pgd=0.3, square=0.315)["masked"]  # 3 of 200 rows may be chance
    assert signs(fgsm=0.5, pgd=0.3)["single"] == pytest.approx(0.2)
    assert signs(fgsm=0.5, pgd=0.3)["masked"]
    assert not signs(fgsm=0.3, apgd_ce=0.5, noise=0.45)["masked"]
    assert signs(flat=0.2, pgd=0.3)["masked"]
    assert not signs(flat=0.05, pgd=0.3)["masked"]
    assert masking({"square": fallen(0.5)}, np.zeros(0, bool), (0.1,), 0.95) == {"masked": False}


def test_what_the_attacks_did_together_is_the_nearest_of_each():
    one = Fallen(np.array([0, 0.1, np.inf, 0.5]), np.full((4, 1), 1.0))
    two = Fallen(np.array([0, 0.5, np.inf, 0.1]), np.full((4, 1), 2.0))
    both = union([one, two])
    np.testing.assert_array_equal(both.at, [0, 0.1, np.inf, 0.1])
    np.testing.assert_array_equal(both.points[[1, 3], 0], [1, 2])
    np.testing.assert_array_equal(both.standing(0.1), [False, False, True, False])
