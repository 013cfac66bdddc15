"""Optuna's warnings do not reach the terminal where they say nothing of a user's doing."""

import logging

import optuna
import pytest
from optuna.exceptions import ExperimentalWarning

from vaebench.running.sweeps.figures import _drawn
from vaebench.running.sweeps.quiet import quiet


class Kept(logging.Handler):
    """Keeps what is logged."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


@pytest.fixture
def logged():
    handler, logger = Kept(), logging.getLogger("optuna")
    logger.addHandler(handler)
    yield handler.lines
    logger.removeHandler(handler)


def alike():
    """A search whose trials drew one value of a parameter."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study()
    ranges = {name: optuna.distributions.FloatDistribution(0.0, 1.0) for name in "ab"}
    for i in range(3):
        values = {"a": 0.5, "b": i / 4}
        study.add_trial(
            optuna.trial.create_trial(params=values, distributions=ranges, value=float(i))
        )
    return study


def test_a_contour_of_one_value_is_drawn_without_a_word(logged):
    pytest.importorskip("matplotlib").use("Agg")
    draw = _drawn(alike())["contour"]
    with pytest.warns(ExperimentalWarning):
        draw()
    assert any("unique value length" in line for line in logged), "there is nothing to silence"
    logged.clear()
    before = optuna.logging.get_verbosity()
    with quiet():
        draw()
    assert not logged
    assert optuna.logging.get_verbosity() == before
