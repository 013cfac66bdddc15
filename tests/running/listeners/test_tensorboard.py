"""TensorBoard reads back what was written of a run."""

import math
import sys
import types

import pytest

from vaebench.core.errors import InputError
from vaebench.results import Labels, Metric, Record, Training
from vaebench.running.listeners import opened

event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

LABELS = Labels("digits", "bernoulli", "elbo", "{}", "elbo", 1, "space", "", 0)
POINT = {"loss_nats": 90.5, "rate_nats": 7.25, "grad_norm": math.nan}


def config(run):
    return types.SimpleNamespace(id=run, variant="beta_elbo(beta=0.5/2)", seed=3)


def record(run, **contents):
    return Record(run=run, study="s", labels=LABELS, status="done", **contents)


@pytest.fixture
def written(tmp_path):
    """Two runs side by side; the first is begun again, and the second is stopped."""
    (to,) = opened([f"tensorboard:{tmp_path}"])
    for run in ("first", "second", "first"):
        to.run_started(config(run))
    for step in (10, 20):
        to.curve_point("first", {"step": float(step), **POINT})
        to.curve_point("second", {"step": float(step), "loss_nats": -1.0})
    metrics = [Metric("nll", 80.125, "nats", False), Metric("kid", None, "1", False)]
    to.run_recorded(record("first", metrics=metrics, training=Training(20, 20, 20)))
    to.run_recorded(record("never begun"))
    to.close()
    return tmp_path


def scalars(folder, run):
    (of_run,) = (path for path in folder.iterdir() if path.name.endswith(run))
    events = event_accumulator.EventAccumulator(str(of_run)).Reload()
    return {
        tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]
    }


def test_curves_and_grades_are_scalars_of_the_run(written):
    first = scalars(written, "first")
    assert first["curves/loss_nats"] == [(10, 90.5), (20, 90.5)]
    assert first["curves/rate_nats"] == [(10, 7.25), (20, 7.25)]
    assert all(math.isnan(value) for _, value in first["curves/grad_norm"])
    assert first["grades/nll"] == [(20, 80.125)]
    assert len(first) == 4
    assert scalars(written, "second") == {"curves/loss_nats": [(10, -1.0), (20, -1.0)]}
    assert len(list(written.iterdir())) == 2


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"needs a folder; .*file is a file"):
        opened([f"tensorboard:{tmp_path / 'file'}"])


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match=r"install the extra, \.\[tensorboard\]"):
        opened(["tensorboard:out"])
