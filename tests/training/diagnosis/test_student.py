"""Points of Student's t distribution, as tables print them."""

import pytest

from training.diagnosis.student import point_of

HALF = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)  # of the 5 % beyond, up and down


@pytest.mark.parametrize("freedom, point", [*enumerate(HALF, 1), (30, 2.042), (120, 1.980), (5000, 1.960)])
def test_the_points_of_5_percent(freedom, point):
    assert point_of(0.05, freedom) == pytest.approx(point, abs=6e-4)


@pytest.mark.parametrize("freedom, point", [(1, 63.657), (4, 4.604), (9, 3.250), (100, 2.626)])
def test_the_points_of_1_percent(freedom, point):
    assert point_of(0.01, freedom) == pytest.approx(point, abs=6e-4)
