"""A listener of the user's own: the page's, by its name and from Python; and the examples."""

import json
import re
import sys
import types

import pytest

import vaebench as vb
from tests.running.listeners.test_tensorboard import record
from tests.support import ROOT
from tests.support.runs import run_config, tiny
from tests.test_cli import STUDY, call
from vaebench.core.sources import load_file
from vaebench.results import Metric, Training
from vaebench.running.listeners import LISTENERS, opened

PAGE = (ROOT / "docs" / "command-line.md").read_text()


@pytest.fixture
def forgotten():
    """Takes back what files of a test have registered."""
    before = {*LISTENERS}
    yield
    for name in {*LISTENERS} - before:
        del LISTENERS._entries[name]


def test_the_one_of_the_page_writes_a_line_for_each_run(tmp_path, forgotten):
    (text,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "mine.py").write_text(text)
    (tmp_path / "s.toml").write_text(STUDY)
    done = call(
        *("run", tmp_path / "s.toml", "--out", tmp_path / "out", "--executor", "inline"),
        *("--no-timings", "--set", "axes.seed=0", "--plugin", tmp_path / "mine.py"),
        *("--listen", f"lines:{tmp_path / 'runs.jsonl'}", "--quiet"),
    )
    assert done.exit_code == 0, done.output
    assert done.stderr == ""
    lines = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    assert [line["status"] for line in lines] == ["done", "done"]
    assert all(line["nll"] > 0 for line in lines)


def test_a_listener_object_from_python(tmp_path, tiny_npz):
    heard = []

    class Mine:
        def run_started(self, config):
            heard.append("started")

        def curve_point(self, run, point):
            heard.append("point")

        def run_recorded(self, record):
            heard.append(record.status)

        def close(self):
            heard.append("closed")

    configs = [tiny(tiny_npz)]
    vb.run(configs, tmp_path, executor="inline", timings=False, listeners=[Mine()])
    assert (heard[0], heard[1], *heard[-2:]) == ("started", "point", "done", "closed")


def heard_by(name, package, monkeypatch):
    """What a package is calls by an example's listener of one run, from start to end."""
    monkeypatch.setitem(sys.modules, name, package)
    load_file(str(ROOT / "examples" / f"listen_{name}.py"))
    config = run_config()
    (to,) = opened([f"{name}:mine"])
    to.run_started(config)
    to.curve_point(config.id, {"step": 10.0, "loss_nats": 3.0})
    metrics = [Metric("nll", 80.0, "nats", False), Metric("kid", None, "1", False)]
    to.run_recorded(record(config.id, metrics=metrics, training=Training(20, 20, 20)))
    to.run_recorded(record("never begun"))
    to.close()
    return config


def test_the_example_for_mlflow(monkeypatch, forgotten):
    """By a stub with the signatures of mlflow 3's client."""
    calls = []

    class Client:
        def __init__(self, tracking_uri=None):
            calls.append(("client", tracking_uri))

        def get_experiment_by_name(self, name):
            return None

        def create_experiment(self, name):
            return "7"

        def create_run(self, experiment_id, run_name=None):
            return types.SimpleNamespace(
                info=types.SimpleNamespace(run_id=f"run of {experiment_id}")
            )

        def log_param(self, run_id, key, value):
            calls.append(("param", key))

        def log_metric(self, run_id, key, value, step=None):
            calls.append((run_id, key, value, step))

        def set_terminated(self, run_id, status=None):
            calls.append((run_id, status))

    package = types.SimpleNamespace(MlflowClient=Client)
    heard_by("mlflow", package, monkeypatch)
    assert calls[0] == ("client", "mine")
    assert ("param", "train.num_steps") in calls
    assert [one for one in calls if one[0] == "run of 7"] == [
        ("run of 7", "loss_nats", 3.0, 10),
        ("run of 7", "nll", 80.0, 20),
        ("run of 7", "FINISHED"),
    ]


def test_the_example_for_weights_and_biases(monkeypatch, forgotten):
    """By a stub with the signatures of wandb 0.2x."""
    calls = []

    class Run:
        def __init__(self):
            self.summary = {}

        def log(self, data, step=None):
            calls.append((step, data))

        def finish(self, exit_code=None):
            calls.append((self.summary, exit_code))

    def init(*, project, id, name, group, config, reinit, resume):
        calls.append((project, reinit))
        return Run()

    heard_by("wandb", types.SimpleNamespace(init=init), monkeypatch)
    assert calls == [
        ("mine", "create_new"),
        (10, {"loss_nats": 3.0}),
        ({"status": "done", "nll": 80.0}, 0),
    ]
