"""What trackio is told of a run, by a stub with the signatures of trackio 0.43.

The package itself is not installed for the tests: it needs another version of Pillow.
"""

import sys
import types

import pytest

from tests.running.listeners.test_tensorboard import record
from tests.support.runs import run_config
from vaebench.core.errors import InputError
from vaebench.results import Metric
from vaebench.running.listeners import opened


class Run:
    """A run of the stub: what was logged, and whether it is finished."""

    def __init__(self, project, **settings):
        self.project, self.settings, self.logged, self.finished = project, settings, [], False

    def log(self, metrics, step=None):
        assert not self.finished
        self.logged.append((step, metrics))

    def finish(self):
        assert not self.finished
        self.finished = True


@pytest.fixture
def runs(monkeypatch):
    """The runs that the stub was asked for."""
    asked_for = []

    def init(
        project,
        name=None,
        group=None,
        config=None,
        resume="never",
        embed=True,
        auto_log_gpu=None,
        auto_log_cpu=None,
    ):
        run = Run(project, name=name, group=group, config=config, resume=resume)
        asked_for.append(run)
        return run

    monkeypatch.setitem(sys.modules, "trackio", types.SimpleNamespace(init=init))
    return asked_for


def test_a_run_is_logged_to_its_project_and_finished(runs):
    config = run_config({"name": "beta_elbo", "hyper": {"beta": 2.0}})
    (to,) = opened(["trackio:mine"])
    for _ in range(2):  # begun again, as its worker was lost
        to.run_started(config)
    to.curve_point(config.id, {"step": 10.0, "loss_nats": 3.0})
    metrics = [Metric("nll", 80.0, "nats", False), Metric("kid", None, "1", False)]
    to.run_recorded(record(config.id, metrics=metrics))
    to.run_recorded(record("never begun"))
    (run,) = runs
    assert run.project == "mine" and run.settings["group"] == config.variant
    assert run.settings["config"]["objective"] == {"name": "beta_elbo", "hyper": {"beta": 2.0}}
    assert run.logged == [(10, {"loss_nats": 3.0}), (None, {"status": "done", "nll": 80.0})]
    assert run.finished


def test_runs_that_were_stopped_are_finished(runs):
    (to,) = opened(["trackio"])
    to.run_started(run_config())
    to.close()
    to.close()
    assert runs[0].finished and runs[0].project == "vaebench"


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "trackio", None)
    with pytest.raises(InputError, match=r"install the extra, \.\[trackio\]"):
        opened(["trackio"])
