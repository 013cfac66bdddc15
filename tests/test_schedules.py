import pytest

from vaebench.schedules import SCHEDULES, linear


@pytest.mark.parametrize(("progress", "value"), [(0.0, 1.0), (0.1, 2.0), (0.2, 3.0), (0.9, 3.0)])
def test_linear_rises_then_stays(progress, value):
    assert linear(progress, start=1.0, stop=3.0, over=0.2) == pytest.approx(value)


def test_defaults_are_a_warm_up_from_0_to_1():
    assert SCHEDULES["linear"](0.0) == 0.0
    assert SCHEDULES["linear"](1.0) == 1.0
